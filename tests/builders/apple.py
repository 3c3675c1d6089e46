"""A checkout that Apple's toolchain releases, with doubles for tools."""

from __future__ import annotations

from pathlib import Path

from doubles.bench import PROGRAM, Bench

from builders.workshop import Workshop, new_workshop
from pipeline.host import system_host
from pipeline.rehearsal import Rehearsal


def new_apple_workshop(
    folder: Path, prebuilt: Path, *, keys: Path | None = None, more: str = "", program: str = PROGRAM
) -> Workshop:
    """Doubles lie in `folder/tools`. `keys`: another rehearsal's, so that both sign alike."""
    workshop = new_workshop(folder / "a checkout", prebuilt)
    rehearsal = workshop.outputs / "rehearsal"
    if keys is not None:
        system_host().files.copy_folder(keys / "keys", rehearsal / "keys")
    with Rehearsal(rehearsal, system_host()):
        pass  # makes the keys that are not there
    Bench.install(folder / "tools", rehearsal, program)
    workshop.configure(tools=folder / "tools", more=more)
    return workshop


def bench_of(workshop: Workshop) -> Bench:
    return Bench(folder=workshop.folder.parent / "tools")
