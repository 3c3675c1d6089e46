"""The zip that users get, made after stapling, its SHA256SUMS, and the jobs that launchd is given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial

from pipeline.disk import tree_digest
from pipeline.launchd import render
from pipeline.model import Artifact, Kind, Plan
from pipeline.stages.context import Context, digests, side_by_side
from pipeline.stages.zipped import zipped

NAME = "package"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.of(Kind.UNIVERSAL, Kind.APP, debug=False))


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    """The ticket in an app is outside its digest, but not outside the zip."""
    stapled = {app.path: tree_digest(context.path(app)) for app in plan.of(Kind.APP) if context.path(app).is_dir()}
    launchd = plan.configuration.launchd
    return {
        "epoch": plan.source_epoch,
        "version": plan.version,
        "world": plan.configuration.world,
        "stapled": stapled,
        "launchd": asdict(launchd) if launchd else None,
    }


def run(context: Context, plan: Plan) -> Plan:
    ending = f"{plan.version}-macos-universal{plan.configuration.suffix}.zip"

    def write(product: str) -> Artifact:
        event = context.timed(NAME)
        ships = [ship for ship in plan.of(Kind.UNIVERSAL, Kind.APP, debug=False) if ship.product == product]
        artifact = zipped(context, plan, f"dist/{product}-{ending}", Kind.DISTRIBUTION, ships)
        event("packaged", artifact=artifact.path, sha256=artifact.sha256, contents=artifact.contents)
        return artifact

    packages = side_by_side(context, NAME, (partial(write, product.name) for product in plan.configuration.products))
    sums = "".join(f"{package.sha256}  {package.path.rpartition('/')[2]}\n" for package in packages)
    path = context.folder / "dist" / "SHA256SUMS"
    context.host.files.write(path, sums.encode())
    listing = Artifact(
        product=plan.configuration.release,
        path="dist/SHA256SUMS",
        kind=Kind.DISTRIBUTION,
        sha256=context.host.files.sha256(path),
        size=len(sums),
        contents=tuple(package.path for package in packages),
    )
    return plan.with_artifacts(*packages, listing, *_jobs(context, plan))


def _jobs(context: Context, plan: Plan) -> Iterator[Artifact]:
    """`launchd/<layout>/`: both jobs of the release's first product, for each layout."""
    launchd = plan.configuration.launchd
    for layout in launchd.layouts if launchd else ():
        assert launchd
        product = plan.configuration.release
        for name, data in render(launchd.installation(layout, product)).items():
            path = context.folder / "launchd" / layout / name
            context.host.files.write(path, data)
            artifact = Artifact(
                product=product,
                path=path.relative_to(context.folder).as_posix(),
                kind=Kind.LAUNCHD,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
            )
            context.event(NAME)("rendered", artifact=artifact.path, sha256=artifact.sha256)
            yield artifact
