"""Build the (experimental) application bundle around the universal binary and sign it: `universal/<name>.app`.

Around the binary: Info.plist, PkgInfo, and what the configuration gives: icon, provisioning profile, further contents.
Signing gives the binary inside the bundle's identity: its Info.plist and its seal enter the CodeDirectory, so its
CDHash differs from the bare tool's. That is Apple's rule, not an accident; the log says so.
"""

from __future__ import annotations

import os
import plistlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pipeline.codesign.property_list import parse_plist
from pipeline.config.placeholders import demand_filled
from pipeline.disk import tree_digest
from pipeline.errors import ConfigurationError, MalformedFile
from pipeline.host import Files
from pipeline.model import STAPLED_TICKET, AppOptions, Artifact, Kind, Plan, Product
from pipeline.stages.context import Context, digests, text_of
from pipeline.toolchain import SignRequest

NAME = "app"


def inputs(plan: Plan) -> Mapping[str, str]:
    return digests(tool for tool in plan.of(Kind.UNIVERSAL, debug=False) if plan.product(tool.product).app)


def options(context: Context, plan: Plan) -> Mapping[str, object]:
    return {
        product.name: {
            "plist": text_of(information(context.host.files, product, plan.version)),
            "era": product.sign.era,
            "identity": product.sign.identity,
            "entitlements": text_of(context.entitlements(product, debug=False)),
            "contents": {place: tree_digest(source) for place, source in _copied(product.app).items()},
            "nested_entitlements": {
                pattern: text_of(plist) for pattern, plist in _nested_entitlements(context, product.app).items()
            },
            "sign_archives": product.app.sign_archives,
        }
        for product in plan.configuration.products
        if product.app
    }


def information(files: Files, product: Product, version: str) -> bytes:
    """Info.plist: what [app] info-plist gives, and over it what the release knows better."""
    assert product.app is not None
    plist: dict[str, object] = {
        "CFBundleDevelopmentRegion": "en",
        "CFBundleName": product.name,
        "CFBundleSupportedPlatforms": ["MacOSX"],
        **(_given(files, product.app.info_plist) if product.app.info_plist is not None else {}),
        "CFBundleDisplayName": product.app.display_name,
        "CFBundleExecutable": product.name,
        "CFBundleIdentifier": product.identifier,
        "CFBundleInfoDictionaryVersion": "6.0",
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": version,
        "CFBundleVersion": version,
        "LSMinimumSystemVersion": product.app.minimum_system,
    }
    if product.app.background:
        plist["LSUIElement"] = True
    if product.app.icon is not None:
        plist["CFBundleIconFile"] = product.app.icon.name
    return demand_filled(plistlib.dumps(plist), str(product.app.info_plist or f"{product.name}.app"))


def _given(files: Files, path: Path) -> dict[str, object]:
    """Raises MalformedFile for what is no Info.plist."""
    try:
        values = parse_plist(files.read(path), "an Info.plist")
        plistlib.dumps(values)
    except MalformedFile as error:
        raise error.at(str(path)) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedFile(f"holds what XML cannot: {error}", where=str(path)) from error
    return values


def _copied(app: AppOptions) -> dict[str, Path]:
    """Place in the bundle → what the configuration gives for it; whole folders first, since others may go into them."""
    copied = dict(app.contents)
    if app.icon is not None:
        copied[f"Contents/Resources/{app.icon.name}"] = app.icon
    if app.provisioning_profile is not None:
        copied["Contents/embedded.provisionprofile"] = app.provisioning_profile
    return copied


def _nested_entitlements(context: Context, app: AppOptions) -> dict[str, bytes | None]:
    return {
        pattern: context.entitlements_in(path) if path is not None else None
        for pattern, path in app.entitlements.items()
    }


def run(context: Context, plan: Plan) -> Plan:
    files = context.host.files
    work = context.work(NAME)
    made = []
    for tool in plan.of(Kind.UNIVERSAL, debug=False):
        product = plan.product(tool.product)
        if product.app is None:
            continue
        event = context.timed(NAME)
        bundle = work / "unsigned" / f"{product.name}.app"
        _lay_out(files, bundle, product, context.path(tool), plan.version)
        signed = work / "signed" / bundle.name
        request = SignRequest(
            identifier=product.identifier,
            entitlements=context.entitlements(product, debug=False),
            era=product.sign.era,
            nested_entitlements=_nested_entitlements(context, product.app),
            sign_archives=product.app.sign_archives,
            told=partial(_tell, context, f"universal/{bundle.name}"),
        )
        slices = context.toolchain.sign_bundle(bundle, signed, request)
        output = context.folder / "universal" / bundle.name
        files.move_folder(signed, output)
        artifact = Artifact(
            product=product.name,
            path=f"universal/{bundle.name}",
            kind=Kind.APP,
            sha256=tree_digest(output, frozenset({STAPLED_TICKET}), request.contents),
            size=sum(entry.stat().st_size for entry in output.rglob("*") if entry.is_file() and not entry.is_symlink()),
            slices=slices,
        )
        event(
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


def _lay_out(files: Files, bundle: Path, product: Product, binary: Path, version: str) -> None:
    assert product.app is not None
    for place, source in _copied(product.app).items():
        _demand_free(bundle, place)
        if source.is_dir():
            files.copy_folder(source, bundle / place)
        else:
            files.copy(source, bundle / place)
    written = (f"Contents/MacOS/{product.name}", "Contents/Info.plist", "Contents/PkgInfo")
    for place in written:
        _demand_free(bundle, place)
    files.copy(binary, bundle / written[0], mode=0o755)
    files.write(bundle / written[1], information(files, product, version))
    files.write(bundle / written[2], b"APPL????")


def _demand_free(bundle: Path, place: str) -> None:
    """Nothing that the configuration gives is overwritten in silence, nor written through a link that it brought."""
    if os.path.lexists(bundle / place) or not (bundle / place).parent.resolve().is_relative_to(bundle.resolve()):
        raise ConfigurationError(
            f"{place} is written by the release itself, and [app.contents] brings one",
            where=bundle.name,
            remedy="leave it out of the folder that is copied",
        )


def _tell(context: Context, artifact: str, path: str, words: str) -> None:
    context.host.console.say(f"  {artifact}/{path}: {words}")
    context.event(NAME)("told", artifact=artifact, path=path, words=words)
