"""Build the thin binaries and their DEBUG twins into `unsigned/<arch>/`, and record what was made in `build.json`.

What an earlier build left is removed before the compiler starts, here and in a makefile's own places: a failed build
leaves nothing that a later stage could take for a fresh one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.config.placeholders import expand
from pipeline.disk import open_source
from pipeline.errors import BuildError, MalformedFile
from pipeline.macho import FileType, read_slices
from pipeline.model import Built, Plan, Product
from pipeline.stages.context import Context, side_by_side

NAME = "build"


def inputs(plan: Plan) -> Mapping[str, str]:
    return {}


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {
        "version": plan.version,
        "epoch": plan.source_epoch,
        "compiler": context.toolchain.compiler()["CC"],
        "products": {
            product.name: {
                "source": context.source_keys[product.name],
                "command": product.build.command,
                "values": {name: dict(values) for name, values in product.build.values.items()},
                "architectures": product.architectures,
                "minimum": dict(product.build.minimum_macos),
                "debug": product.debug,
                "collect": [product.build.output, product.build.debug_output],
                "frameworks": product.require_frameworks,
                "sections": product.require_sections,
            }
            for product in plan.configuration.products
        },
    }


def run(context: Context, plan: Plan) -> Plan:
    files = context.host.files
    unsigned = context.folder / "unsigned"
    files.remove(unsigned)
    work = context.work(NAME)
    products = plan.configuration.products
    try:

        def build(group: list[tuple[Product, str]]) -> list[Built]:
            made: list[Built] = []
            for position, (product, arch) in enumerate(group):
                if position and product.build.clean:
                    values = _values(product, arch, plan.version)
                    _execute(context, product, arch, tuple(expand(word, values) for word in product.build.clean), plan)
                made += _build(context, plan, product, arch, work / product.name / arch)
            return made

        built = [
            one
            for made in side_by_side(context, NAME, (partial(build, group) for group in _groups(products)))
            for one in made
        ]
        for arch in sorted({one.arch for one in built}):
            files.write(unsigned / arch / "build.json", _build_record(plan, context, arch, built))
    except BaseException:
        files.remove(unsigned)
        raise
    finally:
        files.remove(work)
    order = [product.name for product in products]
    built.sort(key=lambda one: (order.index(one.product), one.debug, one.arch))
    return replace(plan, builds=tuple(built))


def _groups(products: tuple[Product, ...]) -> list[list[tuple[Product, str]]]:
    """What can be built side by side; inside a group one after another, because the builds share a tree."""
    shared = {product.source for product in products if product.build.serial}
    groups: dict[tuple[Path | str, ...], list[tuple[Product, str]]] = {}
    for product in products:
        for arch in product.architectures:
            key = (product.source,) if product.source in shared else (product.name, arch)
            groups.setdefault(key, []).append((product, arch))
    return list(groups.values())


def _build(context: Context, plan: Plan, product: Product, arch: str, work: Path) -> list[Built]:
    files = context.host.files
    wanted = {False: work / product.name} | ({True: work / f"DEBUG_{product.name}"} if product.debug else {})
    places = _values(product, arch, plan.version) | {
        "output": str(wanted[False]),
        # A makefile that always makes a twin may put it here even where the release has none.
        "debug_output": str(work / f"DEBUG_{product.name}"),
    }
    own = {False: product.build.output, True: product.build.debug_output}
    taken = {debug: product.source / expand(own[debug] or str(path), places) for debug, path in wanted.items()}
    for path in taken.values():
        files.remove(path)
    files.make_folder(work)
    command = tuple(expand(word, places) for word in product.build.command)
    _execute(context, product, arch, command, plan)
    built = []
    for debug, path in taken.items():
        place = f"product {product.name}, {arch}{', DEBUG' if debug else ''}"
        if not path.is_file():
            raise BuildError(f"the build succeeded but left no {path.name}", where=place)
        _demand_fit(path, product, arch, place)
        output = context.folder / "unsigned" / arch / wanted[debug].name
        files.copy(path, output, mode=0o755)
        one = Built(
            product=product.name,
            arch=arch,
            debug=debug,
            path=output.relative_to(context.folder).as_posix(),
            sha256=files.sha256(output),
            size=output.stat().st_size,
        )
        context.event(NAME)("built", artifact=one.path, sha256=one.sha256, size=one.size)
        built.append(one)
    return built


def _execute(context: Context, product: Product, arch: str, command: tuple[str, ...], plan: Plan) -> None:
    variables = {
        name: context.host.environment[name] for name in product.build.environment if name in context.host.environment
    }
    variables |= dict(context.toolchain.compiler()) | {"SOURCE_DATE_EPOCH": str(plan.source_epoch)}
    if product.build.xcode:
        variables["DEVELOPER_DIR"] = product.build.xcode
    began = context.host.clock.monotonic()
    completed = context.host.runner.run(command, cwd=product.source, environment=variables)
    context.event(NAME)(
        "ran",
        argv=list(command),
        exit=completed.returncode,
        seconds=round((context.host.clock.monotonic() - began).total_seconds(), 3),
        words=completed.last_lines(),
    )
    if completed.returncode != 0:
        how = (
            f"exited {completed.returncode}" if completed.returncode > 0 else f"died of signal {-completed.returncode}"
        )
        raise BuildError(
            f"{command[0]} {how}; its last lines:\n{completed.last_lines()}", where=f"product {product.name}, {arch}"
        )


def _values(product: Product, arch: str, version: str) -> dict[str, str]:
    own = {name: values[arch] for name, values in product.build.values.items() if arch in values}
    return {"arch": arch, "version": version, "minimum": product.build.minimum_macos[arch], **own}


def _demand_fit(path: Path, product: Product, arch: str, place: str) -> None:
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
    linked = {name.rpartition("/")[2] for name in image.libraries}
    missing = [name for name in product.require_frameworks if name not in linked]
    missing += [name for name in product.require_sections if image.section(*name.split(",", 1)) is None]
    if missing:
        raise BuildError(f"does not contain what the release requires: {', '.join(missing)}", where=place)


def _build_record(plan: Plan, context: Context, arch: str, built: list[Built]) -> bytes:
    record = {
        "schema": 1,
        "release": plan.configuration.release,
        "version": plan.version,
        "commit": plan.commit,
        "dirty": plan.dirty,
        "arch": arch,
        "sources": dict(context.source_keys),
        "outputs": [
            {"product": one.product, "path": one.path, "debug": one.debug, "sha256": one.sha256, "size": one.size}
            for one in built
            if one.arch == arch
        ],
    }
    return json.dumps(record, indent=2, sort_keys=True).encode() + b"\n"
