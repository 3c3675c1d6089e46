"""Take what another machine built: the fleet builds an architecture each, one machine joins, signs and notarizes.

Nothing of it is believed but the digest that the caller was told on another way: it stands for `build.json`, which
stands for every byte beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BuildError, ConfigurationError, VerificationError
from pipeline.model import Built, Plan
from pipeline.stages.built import (
    RECORD,
    architectures_of,
    demand_fit,
    demand_same,
    demand_whole,
    gathered,
    parse_record,
)
from pipeline.stages.context import Context

_STAGE = "build"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A folder with a build.json and what it names, and the SHA-256 that the build.json must have."""

    folder: Path
    expected: str


def offers(folders: Sequence[str], expected: Sequence[str]) -> tuple[Offer, ...]:
    """Pairs as they were given on a command line. Raises ConfigurationError."""
    if len(folders) != len(expected):
        raise ConfigurationError(
            f"{len(folders)} --adopt and {len(expected)} --expect",
            remedy="say for each folder which digest its build.json must have: invoke build --arch prints it",
        )
    found = []
    for folder, text in zip(folders, expected, strict=True):
        digest = _DIGEST.fullmatch(text.strip())
        if digest is None:
            raise ConfigurationError(f'"{text}" is not a SHA-256', where="--expect")
        if not Path(folder).is_dir():
            raise ConfigurationError("no such folder", where=folder)
        found.append(Offer(folder=Path(folder).absolute(), expected=digest[1].lower()))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An offer whose build.json is the expected one, and fits this release."""

    folder: Path
    arch: str
    data: bytes
    """The build.json."""
    built: tuple[Built, ...]


def judge(context: Context, plan: Plan, offer: Offer) -> Judged:
    """What is offered, as far as its build.json tells, before anything here gives way to it. VerificationError."""
    path = offer.folder / RECORD
    if not path.is_file():
        raise VerificationError(f"holds no {RECORD}", where=str(offer.folder))
    data = context.host.files.read(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != offer.expected:
        raise VerificationError(
            f"has the SHA-256 {digest}, and {offer.expected} was expected", where=str(path), remedy="build it again"
        )
    record, built = parse_record(data, str(path))
    demand_same(context, plan, record, str(path))
    arch = record["arch"]
    if arch not in architectures_of(plan):
        raise VerificationError(f"was built for {arch}, which this release is not made for", where=str(path))
    demand_whole(plan, arch, built, str(path))
    _demand_nothing_else(offer.folder, built)
    return Judged(folder=offer.folder, arch=arch, data=data, built=built)


def adopt(context: Context, plan: Plan, given: Sequence[Judged]) -> Plan:
    """Copy what each offer names to `unsigned/<arch>/`, everything checked on the copy. Raises VerificationError."""
    for offer in given:
        _adopt(context, plan, offer)
    return gathered(context, plan)


def _adopt(context: Context, plan: Plan, offer: Judged) -> None:
    files = context.host.files
    work = context.work(f"adopt-{offer.arch}")
    try:
        for one in offer.built:
            _take(context, plan, one, offer.folder, work)
        files.write(work / RECORD, offer.data)
        files.move_folder(work, context.folder / "unsigned" / offer.arch)
    finally:
        files.remove(work)
    outputs = {one.path: one.sha256 for one in offer.built}
    digest = hashlib.sha256(offer.data).hexdigest()
    context.event(_STAGE)("adopted", arch=offer.arch, record=digest, outputs=outputs)


def _demand_nothing_else(folder: Path, built: Sequence[Built]) -> None:
    """What nobody signed for has no business beside what is signed next."""
    known = {RECORD, *(one.name for one in built)}
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if strangers:
        raise VerificationError(f"holds {', '.join(strangers)}, which {RECORD} does not name", where=str(folder))


def _take(context: Context, plan: Plan, one: Built, folder: Path, work: Path) -> None:
    name = one.name
    source, copy = folder / name, work / name
    if source.is_symlink() or not source.is_file():
        raise VerificationError("is missing, or not a plain file", where=str(source))
    context.host.files.copy(source, copy, mode=0o755)
    if (context.host.files.sha256(copy), copy.stat().st_size) != (one.sha256, one.size):
        raise VerificationError(f"is not the file that {RECORD} names: it was changed on the way", where=str(source))
    try:
        demand_fit(copy, plan.product(one.product), one.arch, str(source))
    except BuildError as error:
        raise VerificationError(error.message, where=error.where) from error
