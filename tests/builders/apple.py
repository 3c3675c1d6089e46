"""Checkouts that Apple's toolchain releases, with doubles for tools, and their twins for the portable one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from doubles.bench import PROGRAM, Bench

from builders.workshop import BODY, VERSION, Workshop, new_workshop
from pipeline.host import system_host
from pipeline.rehearsal import Rehearsal

EACH = '\n[notary]\narchives = "each"\n'
# Four archives.
TWO_PRODUCTS = (
    BODY.replace("[product]", "[[product]]", 1).replace(
        "[build]",
        """\
[[product]]
name = "meshrelay"
identifier = "com.example.meshrelay"
source = "source"
architectures = ["x86_64", "arm64"]

[build]""",
        1,
    )
    + "\n"
)
# Two archives, and every kind of call to Apple's tools.
SMALL = BODY.replace("debug = true\n", "")


def new_apple_workshop(
    folder: Path, prebuilt: Path, *, keys: Path | None = None, body: str = BODY, more: str = "", program: str = PROGRAM
) -> Workshop:
    """Doubles lie in `folder/tools`; slices that are started tell VERSION. `keys`: another rehearsal's, so that both
    sign alike; `program`: what a double is (`doubles.server`)."""
    workshop = new_workshop(folder / "a checkout", prebuilt)
    rehearsal = workshop.outputs / "rehearsal"
    take_keys(workshop, keys)
    with Rehearsal(rehearsal, system_host()):
        pass  # makes the keys that are not there
    Bench.install(folder / "tools", rehearsal, program).set(version=VERSION)
    workshop.configure(tools=folder / "tools", body=body, more=more)
    return workshop


def new_portable_workshop(
    folder: Path, prebuilt: Path, *, keys: Path | None = None, body: str = BODY, more: str = ""
) -> Workshop:
    """The same checkout for the portable toolchain."""
    workshop = new_workshop(folder / "a checkout", prebuilt)
    take_keys(workshop, keys)
    workshop.configure(body=body, more=more)
    return workshop


def take_keys(workshop: Workshop, rehearsal: Path | None) -> None:
    if rehearsal is not None:
        system_host().files.copy_folder(rehearsal / "keys", workshop.outputs / "rehearsal" / "keys")


def bench_of(workshop: Workshop) -> Bench:
    return Bench(folder=workshop.folder.parent / "tools")


def pull(workshop: Workshop, *faults: Any, **levers: object) -> None:
    """Faults and levers in place of those before; slices still tell VERSION unless a lever says otherwise."""
    bench_of(workshop).set(*faults, **{"version": VERSION, **levers})


def copy_of(workshop: Workshop, folder: Path) -> Workshop:
    """Checkout, outputs and doubles, to be changed."""
    shutil.copytree(workshop.folder.parent, folder, symlinks=True)
    return Workshop(folder=folder / workshop.folder.name)


def log_of(workshop: Workshop) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workshop.outputs / "audit.jsonl").read_text().splitlines()]


def calls(workshop: Workshop, *words: str) -> list[dict[str, Any]]:
    """The log's lines of every call of a double that had all these words; a path stands for its name."""
    ran = [line for line in log_of(workshop) if line["event"] == "ran" and "/tools/" in line["argv"][0]]
    return [line for line in ran if set(words) <= {*line["argv"], *map(os.path.basename, line["argv"])}]


def agreed(workshop: Workshop) -> dict[str, Any]:
    """A manifest without what the releases of two checkouts cannot have in common, whoever made them: the commit, the
    toolchain, and the time stamps in signatures with all digests and sizes that follow from them."""
    manifest = workshop.manifest()
    for name in ("commit", "toolchain", "doubles", "tools", "log", "build_records"):
        del manifest[name]
    for artifact in manifest["artifacts"]:
        del artifact["sha256"], artifact["size"]
        artifact.get("notarization", {}).pop("submission", None)
    return manifest
