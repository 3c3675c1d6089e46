"""Join the signed thins, byte for byte, into `universal/<name>` and its DEBUG twin."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipeline.disk import Contents, tree_digest
from pipeline.errors import SigningError
from pipeline.model import Artifact, Kind, Plan
from pipeline.stages.context import Context, digests, side_by_side

NAME = "universal"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(plan.of(Kind.THIN))


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {}


def run(context: Context, plan: Plan) -> Plan:
    def join(product: str, debug: bool, thins: tuple[Artifact, ...]) -> Artifact:
        event = context.timed(NAME)
        name = plan.product(product).file_name(debug=debug)
        output = context.folder / "universal" / name
        contents = Contents()
        slices = context.toolchain.join([context.path(thin) for thin in thins], output, contents)
        signed = {entry.arch: entry.cdhash for thin in thins for entry in thin.slices}
        for entry in slices:
            if signed.get(entry.arch) != entry.cdhash:
                raise SigningError(
                    f"CDHash {entry.cdhash} differs from the thin file's {signed.get(entry.arch)}",
                    where=f"universal/{name}: {entry.arch}",
                )
        artifact = Artifact(
            product=product,
            path=f"universal/{name}",
            kind=Kind.UNIVERSAL,
            debug=debug,
            sha256=tree_digest(output, contents=contents),
            size=output.stat().st_size,
            slices=slices,
        )
        event("joined", artifact=artifact.path, sha256=artifact.sha256, cdhashes={s.arch: s.cdhash for s in slices})
        return artifact

    groups: dict[tuple[str, bool], tuple[Artifact, ...]] = {}
    for thin in plan.of(Kind.THIN):
        key = (thin.product, thin.debug)
        groups[key] = (*groups.get(key, ()), thin)
    jobs = [partial(join, product, debug, thins) for (product, debug), thins in groups.items()]
    return plan.with_artifacts(*side_by_side(context, NAME, jobs))
