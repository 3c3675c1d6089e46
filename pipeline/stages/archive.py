"""Zip for the notary: the bare tools and the apps side by side, one submission and one ticket. Never a DEBUG file.

A ticket is keyed by CDHash, not by path, and a thin file's CDHash is its slice's: thins need no entry of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipeline.model import ArchiveLayout, Artifact, Kind, Plan
from pipeline.stages.context import Context, digests, side_by_side
from pipeline.stages.zipped import zipped

NAME = "archive"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.of(Kind.UNIVERSAL, Kind.APP, debug=False))


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {"archives": plan.configuration.notary.archives, "epoch": plan.source_epoch, "version": plan.version}


def run(context: Context, plan: Plan) -> Plan:
    ships = plan.of(Kind.UNIVERSAL, Kind.APP, debug=False)
    ending = f"{plan.version}{plan.configuration.suffix}.zip"
    if plan.configuration.notary.archives is ArchiveLayout.ONE:
        groups = {f"{plan.configuration.release}-{ending}": ships}
    else:
        groups = {f"{ship.path.rpartition('/')[2]}-{ending}": (ship,) for ship in ships}

    def write(name: str, contents: tuple[Artifact, ...]) -> Artifact:
        event = context.timed(NAME)
        artifact = zipped(context, plan, f"archives/{name}", Kind.ARCHIVE, contents)
        event("archived", artifact=artifact.path, sha256=artifact.sha256, contents=artifact.contents)
        return artifact

    jobs = [partial(write, name, contents) for name, contents in groups.items()]
    return plan.with_artifacts(*side_by_side(context, NAME, jobs))
