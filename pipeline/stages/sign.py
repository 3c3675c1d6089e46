"""Sign the thin binaries and their DEBUG twins, each into a file of its own: `<arch>/<name>`, `<arch>/DEBUG_<name>`.

Thins are signed before they are joined, because users ship them too (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipeline.disk import tree_digest
from pipeline.model import Artifact, Built, Kind, Plan
from pipeline.stages.context import Context, side_by_side, text_of
from pipeline.toolchain import SignRequest

NAME = "sign"


def inputs(plan: Plan) -> Mapping[str, str]:
    return {built.path: built.sha256 for built in plan.builds}


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {
        product.name: {
            "identifier": product.identifier,
            "identity": product.sign.identity,
            "era": product.sign.era,
            "entitlements": text_of(context.entitlements(product, debug=False)),
            "debug_entitlements": text_of(context.entitlements(product, debug=True)),
        }
        for product in plan.configuration.products
    }


def run(context: Context, plan: Plan) -> Plan:
    def sign(built: Built) -> Artifact:
        event = context.timed(NAME)
        product = plan.product(built.product)
        name = product.file_name(debug=built.debug)
        output = context.folder / built.arch / name
        request = SignRequest(
            identifier=product.identifier,
            entitlements=context.entitlements(product, debug=built.debug),
            era=product.sign.era,
            told=partial(_tell, context, f"{built.arch}/{name}"),
        )
        slices = context.toolchain.sign(context.folder / built.path, output, request)
        artifact = Artifact(
            product=product.name,
            path=f"{built.arch}/{name}",
            kind=Kind.THIN,
            debug=built.debug,
            sha256=tree_digest(output, contents=request.contents),
            size=output.stat().st_size,
            unsigned_sha256=built.sha256,
            slices=slices,
        )
        event(
            "signed",
            artifact=artifact.path,
            sha256=artifact.sha256,
            cdhashes={entry.arch: entry.cdhash for entry in slices},
            unsigned_sha256=built.sha256,
        )
        return artifact

    return plan.with_artifacts(*side_by_side(context, NAME, (partial(sign, built) for built in plan.builds)))


def _tell(context: Context, artifact: str, _name: str, words: str) -> None:
    context.host.console.say(f"  {artifact}: {words}")
    context.event(NAME)("told", artifact=artifact, words=words)
