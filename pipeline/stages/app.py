"""Build the (experimental) application bundle around the universal binary and sign it: `universal/<name>.app`.

Signing gives the binary inside the bundle's identity: its Info.plist and its seal enter the CodeDirectory, so its
CDHash differs from the bare tool's. That is Apple's rule, not an accident; the log says so.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping

from pipeline.disk import tree_digest
from pipeline.model import STAPLED_TICKET, Artifact, Kind, Plan, Product
from pipeline.stages.context import Context, digests, text_of
from pipeline.toolchain import SignRequest

NAME = "app"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(tool for tool in plan.of(Kind.UNIVERSAL, debug=False) if plan.product(tool.product).app)


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {
        product.name: {
            "plist": information(product, plan.version),
            "era": product.sign.era,
            "identity": product.sign.identity,
            "entitlements": text_of(context.entitlements(product, debug=False)),
        }
        for product in plan.configuration.products
        if product.app
    }


def information(product: Product, version: str) -> dict[str, object]:
    """The keys of Info.plist."""
    assert product.app is not None
    plist: dict[str, object] = {
        "CFBundleDevelopmentRegion": "en",
        "CFBundleDisplayName": product.app.display_name,
        "CFBundleExecutable": product.name,
        "CFBundleIdentifier": product.identifier,
        "CFBundleInfoDictionaryVersion": "6.0",
        "CFBundleName": product.name,
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": version,
        "CFBundleSupportedPlatforms": ["MacOSX"],
        "CFBundleVersion": version,
        "LSMinimumSystemVersion": product.app.minimum_system,
    }
    if product.app.background:
        plist["LSUIElement"] = True
    return plist


def run(context: Context, plan: Plan) -> Plan:
    files = context.host.files
    work = context.work(NAME)
    made = []
    for tool in plan.of(Kind.UNIVERSAL, debug=False):
        product = plan.product(tool.product)
        if product.app is None:
            continue
        bundle = work / "unsigned" / f"{product.name}.app"
        contents = bundle / "Contents"
        files.copy(context.path(tool), contents / "MacOS" / product.name, mode=0o755)
        files.write(contents / "Info.plist", plistlib.dumps(information(product, plan.version)))
        files.write(contents / "PkgInfo", b"APPL????")
        signed = work / "signed" / bundle.name
        request = SignRequest(
            identifier=product.identifier,
            entitlements=context.entitlements(product, debug=False),
            era=product.sign.era,
        )
        slices = context.toolchain.sign_bundle(bundle, signed, request)
        output = context.folder / "universal" / bundle.name
        files.move_folder(signed, output)
        artifact = Artifact(
            product=product.name,
            path=f"universal/{bundle.name}",
            kind=Kind.APP,
            sha256=tree_digest(output, exclude=frozenset({STAPLED_TICKET})),
            size=sum(entry.stat().st_size for entry in output.rglob("*") if entry.is_file()),
            slices=slices,
        )
        context.event(NAME)(
            "sealed",
            artifact=artifact.path,
            sha256=artifact.sha256,
            cdhashes={entry.arch: entry.cdhash for entry in slices},
            bare_cdhashes={entry.arch: entry.cdhash for entry in tool.slices},
            words="the seal and Info.plist enter the signature: these CDHashes differ from the bare tool's",
        )
        made.append(artifact)
    files.remove(work)
    return plan.with_artifacts(*made)
