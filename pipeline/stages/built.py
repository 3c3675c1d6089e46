"""What a build leaves for one architecture, `unsigned/<arch>/` and its `build.json`: written, read, put together.

`build.json` is what another machine is shown: its digest stands for every byte beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline.config.macos import version_number
from pipeline.disk import open_source
from pipeline.errors import BuildError, HostRefused, MalformedFile, VerificationError
from pipeline.macho import BuildVersion, FileType, Platform, read_slices
from pipeline.model import Built, Plan, Product
from pipeline.stages.context import Context

RECORD = "build.json"
_SCHEMA = 1


def architectures_of(plan: Plan) -> tuple[str, ...]:
    """Every architecture that a product is built for, in the order of the configuration."""
    return tuple(dict.fromkeys(arch for product in plan.configuration.products for arch in product.architectures))


def save_record(context: Context, plan: Plan, arch: str, built: Iterable[Built]) -> None:
    """Write `unsigned/<arch>/build.json`; the log gets its digest."""
    outputs = [
        {"product": one.product, "path": one.path, "debug": one.debug, "sha256": one.sha256, "size": one.size}
        for one in built
    ]
    record = {"schema": _SCHEMA, **_facts(context, plan), "arch": arch, "outputs": outputs}
    data = json.dumps(record, indent=2, sort_keys=True).encode() + b"\n"
    context.host.files.write(context.folder / "unsigned" / arch / RECORD, data)


def records(plan: Plan) -> tuple[str, ...]:
    """Paths of the records beside what was built, one an architecture."""
    return tuple(f"unsigned/{arch}/{RECORD}" for arch in sorted({one.arch for one in plan.builds}))


def record_digest(context: Context, arch: str) -> str:
    """The SHA-256 of an architecture's build.json, which another machine is told to expect."""
    return context.host.files.sha256(context.folder / "unsigned" / arch / RECORD)


def parse_record(data: bytes, where: str) -> tuple[dict[str, Any], tuple[Built, ...]]:
    """The facts of a build.json, and its outputs. Raises VerificationError for what is none."""
    try:
        document = json.loads(data)
        if document["schema"] != _SCHEMA:
            raise VerificationError(f"has schema {document['schema']}, and {_SCHEMA} is known here", where=where)
        built = tuple(manifest.built_from_json(entry | {"arch": document["arch"]}) for entry in document["outputs"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationError(f"is not a record of a build ({type(error).__name__}: {error})", where=where) from error
    for one in built:
        if one.path != f"unsigned/{one.arch}/{one.path.rpartition('/')[2]}":
            raise VerificationError(f"names {one.path}, which is not beside it", where=where)
    return dict(document), built


def demand_same(context: Context, plan: Plan, record: Mapping[str, Any], where: str) -> None:
    """The build is of this version, commit, source and configuration. Raises VerificationError."""
    for name, ours in _facts(context, plan).items():
        if record.get(name) != ours:
            raise VerificationError(
                f"was built with another {name}: {record.get(name)}, and here it is {ours}",
                where=where,
                remedy="build and finish from the same commit, with the same release.toml",
            )


def demand_whole(plan: Plan, arch: str, built: Iterable[Built], where: str) -> None:
    """Every product's binary for this architecture is there, with its twin, and nothing besides."""
    wanted = {
        (product.name, debug, f"unsigned/{arch}/{product.file_name(debug=debug)}")
        for product in plan.configuration.products
        if arch in product.architectures
        for debug in product.variants
    }
    found = [(one.product, one.debug, one.path) for one in built]
    if set(found) != wanted or len(found) != len(wanted):
        names = ", ".join(sorted(path for _, _, path in wanted ^ set(found))) or "an output"
        raise VerificationError(f"does not hold what the release builds: {names}", where=where)


def gathered(context: Context, plan: Plan, known: Iterable[Built] = ()) -> Plan:
    """The plan with the builds of every architecture, or none where one is missing or of another state.

    `known` were made just now; what lies there besides is held against its record.
    """
    built = list(known)
    present = {one.arch for one in built}
    for arch in architectures_of(plan):
        if arch in present:
            continue
        try:
            built += _left(context, plan, arch)
        except (VerificationError, HostRefused) as error:
            context.host.console.say(f"build: {arch} is still to come: {error.message}")
            return plan
    order = [product.name for product in plan.configuration.products]
    built.sort(key=lambda one: (order.index(one.product), one.debug, one.arch))
    return replace(plan, builds=tuple(built))


def is_whole(plan: Plan) -> bool:
    return {one.arch for one in plan.builds} == set(architectures_of(plan))


def _left(context: Context, plan: Plan, arch: str) -> tuple[Built, ...]:
    path = context.folder / "unsigned" / arch / RECORD
    if not path.is_file():
        raise VerificationError("not built here and not adopted")
    record, built = parse_record(context.host.files.read(path), str(path))
    demand_same(context, plan, record, str(path))
    demand_whole(plan, arch, built, str(path))
    for one in built:
        if context.host.files.sha256(context.folder / one.path) != one.sha256:
            raise VerificationError(f"{one.path} is not as it was built")
    return built


def demand_fit(path: Path, product: Product, arch: str, place: str) -> None:
    """What the compiler left is one Mach-O executable of this architecture, and links what it must."""
    try:
        with open_source(path) as source:
            slices = read_slices(source)
    except MalformedFile as error:
        raise BuildError(f"the build left something that is not a Mach-O file: {error.message}", where=place) from error
    if [one.arch for one in slices] != [arch]:
        raise BuildError(f"built for {', '.join(one.arch for one in slices)} instead of {arch}", where=place)
    image = slices[0].image
    if image.filetype != FileType.EXECUTE:
        raise BuildError("the build left a Mach-O file that is not an executable", where=place)
    _demand_runs(image.build, product.build.minimum_macos[arch], place)
    linked = {name.rpartition("/")[2] for name in image.libraries}
    missing = [name for name in product.require_frameworks if name not in linked]
    missing += [name for name in product.require_sections if image.section(*name.split(",", 1)) is None]
    if missing:
        raise BuildError(f"does not contain what the release requires: {', '.join(missing)}", where=place)


def _demand_runs(build: BuildVersion | None, declared: str, place: str) -> None:
    """What the release tells its users of the lowest macOS (Info.plist, the manifest) holds for what was compiled."""
    if build is None:
        return
    needed = (build.minimum >> 16, build.minimum >> 8 & 0xFF, build.minimum & 0xFF)
    if build.platform != Platform.MACOS:
        raise BuildError(f"was built for platform {build.platform} of mach-o/loader.h, which is not macOS", where=place)
    if needed > version_number(declared):
        raise BuildError(
            f"needs macOS {'.'.join(map(str, needed))}, and minimum-macos says {declared}",
            where=place,
            remedy="tell the compiler, with {minimum} in the build's command; or raise minimum-macos",
        )


def _facts(context: Context, plan: Plan) -> dict[str, Any]:
    """What two machines must agree on."""
    return {
        "release": plan.configuration.release,
        "version": plan.version,
        "source_epoch": plan.source_epoch,
        "commit": plan.commit,
        "dirty": plan.dirty,
        "sources": dict(context.source_keys),
        "configuration": context.host.files.sha256(plan.configuration.path),
    }
