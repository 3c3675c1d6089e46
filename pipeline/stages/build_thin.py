"""Build the thin binaries and their DEBUG twins into `unsigned/<arch>/`, each with its `build.json` (`built`).

What an earlier build left is removed before the compiler starts, here and in a makefile's own places: a failed build
leaves nothing that a later stage could take for a fresh one. A part of the architectures can be built alone, for
another machine to adopt (`adopt`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from pipeline.config.placeholders import expand
from pipeline.disk import tree_digest
from pipeline.errors import BuildError
from pipeline.host import seconds_since
from pipeline.model import Built, Plan, Product
from pipeline.stages.built import architectures_of, demand_fit, gathered, save_record
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
                "inputs": {
                    os.path.relpath(path, plan.configuration.path.parent): tree_digest(path) if path.exists() else None
                    for path in product.build.inputs
                },
                "serial": product.build.serial,
                "clean": product.build.clean,
                "environment": _digest_of(_passed_on(context, product)),
                "xcode": product.build.xcode,
                "collect": [product.build.output, product.build.debug_output],
                "frameworks": product.require_frameworks,
                "sections": product.require_sections,
            }
            for product in plan.configuration.products
        },
    }


def run(context: Context, plan: Plan) -> Plan:
    context.host.files.remove(context.folder / "unsigned")
    return run_some(context, plan, architectures_of(plan))


def run_some(context: Context, plan: Plan, architectures: Sequence[str]) -> Plan:
    """Build these architectures alone; what lies there of the others stays, and counts if it is of this plan."""
    files = context.host.files
    unsigned = context.folder / "unsigned"
    for arch in architectures:
        files.remove(unsigned / arch)
    work = context.work(NAME)
    try:

        def build(group: list[tuple[Product, str]]) -> list[Built]:
            made: list[Built] = []
            for product, arch in group:
                # Before the first one too: an earlier build may have left objects of another architecture.
                if product.build.clean:
                    values = _values(product, arch, plan.version)
                    _execute(context, product, arch, tuple(expand(word, values) for word in product.build.clean), plan)
                made += _build(context, plan, product, arch, work / product.name / arch)
            return made

        groups = _groups(plan.configuration.products, architectures)
        jobs = (partial(build, group) for group in groups)
        built = [one for made in side_by_side(context, NAME, jobs) for one in made]
        for arch in architectures:
            save_record(context, plan, arch, [one for one in built if one.arch == arch])
    except BaseException:
        for arch in architectures:
            files.remove(unsigned / arch)
        raise
    finally:
        files.remove(work)
    return gathered(context, plan, known=built)


def _groups(products: tuple[Product, ...], architectures: Sequence[str]) -> list[list[tuple[Product, str]]]:
    """What can be built side by side; inside a group one after another, because the builds share a tree."""
    shared = {product.source for product in products if product.build.serial}
    groups: dict[tuple[Path | str, ...], list[tuple[Product, str]]] = {}
    for product in products:
        for arch in (arch for arch in product.architectures if arch in architectures):
            key = (product.source,) if product.source in shared else (product.name, arch)
            groups.setdefault(key, []).append((product, arch))
    return list(groups.values())


def _build(context: Context, plan: Plan, product: Product, arch: str, work: Path) -> list[Built]:
    files = context.host.files
    wanted = {debug: work / product.file_name(debug=debug) for debug in product.variants}
    places = _values(product, arch, plan.version) | {
        "output": str(wanted[False]),
        # A makefile that always makes a twin may put it here even where the release has none.
        "debug_output": str(work / product.file_name(debug=True)),
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
        demand_fit(path, product, arch, place)
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
    variables = _passed_on(context, product)
    variables |= dict(context.toolchain.compiler()) | {"SOURCE_DATE_EPOCH": str(plan.source_epoch)}
    if product.build.xcode:
        variables["DEVELOPER_DIR"] = product.build.xcode
    began = context.host.clock.monotonic()
    completed = context.host.runner.run(command, cwd=product.source, environment=variables)
    context.event(NAME)(
        "ran",
        argv=list(command),
        exit=completed.returncode,
        seconds=seconds_since(context.host.clock, began),
        words=completed.last_lines(),
    )
    if completed.returncode != 0:
        how = (
            f"exited {completed.returncode}" if completed.returncode > 0 else f"died of signal {-completed.returncode}"
        )
        raise BuildError(
            f"{command[0]} {how}; its last lines:\n{completed.last_lines()}", where=f"product {product.name}, {arch}"
        )


def _passed_on(context: Context, product: Product) -> dict[str, str]:
    """The variables that [build] environment names, where they are set."""
    environment = context.host.environment
    return {name: environment[name] for name in product.build.environment if name in environment}


def _digest_of(variables: Mapping[str, str]) -> str:
    """Their values decide what is built, and are nobody's to read in a record."""
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()


def _values(product: Product, arch: str, version: str) -> dict[str, str]:
    own = {name: values[arch] for name, values in product.build.values.items() if arch in values}
    return {"arch": arch, "version": version, "minimum": product.build.minimum_macos[arch], **own}
