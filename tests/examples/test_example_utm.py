"""UTM's configuration, on an archive of the same shape: an app that others built, signed anew with all it holds."""

from __future__ import annotations

import json
import plistlib
import shutil
import sys
from pathlib import Path

import pytest
from builders import bundles
from builders.workshop import ROOT, Workshop

APP = "build/UTM.xcarchive/Products/Applications/UTM.app"
HELPER = "Contents/XPCServices/QEMUHelper.xpc"
LAUNCHER = f"{HELPER}/Contents/MacOS/QEMULauncher.app"
QEMU = "Contents/Frameworks/qemu-aarch64-softmmu.framework"
HYPERVISOR = "com.apple.security.hypervisor"
# Stands for Apple's: the same argv, done by this project's own command.
_LIPO = """#!/bin/sh
exec "{python}" -m invoke --search-root "{root}" file.thin "$PWD/$1" --arch "$3" --output "$5"
"""


def archive() -> dict[str, bytes | str | None]:
    """What Xcode leaves, in shape: frameworks, a service with an app inside, a tool beside the program, resources."""
    built: dict[str, object] = {
        "CFBundleVersion": "117",
        "CFBundleShortVersionString": "4.7.5",
        "LSApplicationCategoryType": "public.app-category.business",
        "CFBundleURLTypes": [{"CFBundleURLName": "com.utmapp.UTM", "CFBundleURLSchemes": ["UTM"]}],
    }
    launcher = bundles.plugin("com.utmapp.QEMULauncher", "QEMULauncher", "APPL")
    return {
        f"{APP}/Contents/Info.plist": bundles.info("UTM", "com.utmapp.UTM", "APPL", **built),
        f"{APP}/Contents/MacOS/UTM": bundles.universal(),
        f"{APP}/Contents/MacOS/utmctl": bundles.universal(),
        f"{APP}/Contents/Resources/Assets.car": b"assets",
        f"{APP}/Contents/Resources/qemu/edk2.fd": b"firmware",
        **bundles.under(f"{APP}/{QEMU}", bundles.framework("qemu-aarch64-softmmu")),
        **bundles.under(f"{APP}/Contents/Frameworks/spice.1.framework", bundles.framework("spice.1")),
        **bundles.under(f"{APP}/{HELPER}", bundles.plugin("com.utmapp.QEMUHelper", "QEMUHelper", "XPC!")),
        **bundles.under(f"{APP}/{LAUNCHER}", launcher),
    }


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment with a `lipo`."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "lipo").write_text(_LIPO.format(python=sys.executable, root=ROOT))
    (folder / "lipo").chmod(0o755)
    return {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, tools: dict[str, str]) -> Workshop:
    """A whole rehearsal release of the archive. Not to be changed."""
    folder = tmp_path_factory.mktemp("utm") / "a checkout"
    shutil.copytree(ROOT / "examples" / "utm", folder)
    (folder / ".gitignore").write_text("build/\n")
    bundles.write(folder, archive())
    workshop = Workshop(folder=folder)
    workshop.commit()
    ran = workshop.invoke("release", environment=tools)
    assert ran.code == 0, ran.err
    return workshop


def seen(workshop: Workshop, path: str) -> list[dict[str, object]]:
    anchors = workshop.outputs / "rehearsal" / "anchors"
    place = str(workshop.outputs / "universal" / "UTM.app" / path)
    ran = workshop.invoke_plain("file.verify", place, "--anchors", str(anchors), "--json")
    assert ran.code == 0, ran.err
    slices: list[dict[str, object]] = json.loads(ran.out)
    return slices


def test_the_app_is_notarized_and_stapled(released: Workshop) -> None:
    """The notary takes the app with everything in it, and the ticket lies in it."""
    (app,) = [one for one in released.manifest()["artifacts"] if one["kind"] == "app"]
    assert app["notarization"]["status"] == "accepted"
    assert app["staple"]["status"] == "stapled"


@pytest.mark.parametrize(
    ("path", "entitlements"),
    [
        ("", "UTM"),
        (HELPER, "QEMUHelper"),
        (LAUNCHER, "QEMULauncher"),
        ("Contents/MacOS/utmctl", "utmctl"),
        (QEMU, None),
    ],
)
def test_each_program_carries_its_own_entitlements(released: Workshop, path: str, entitlements: str | None) -> None:
    """Both slices of each program have those of its file, the hypervisor's where QEMU is loaded; the framework none."""
    expected = None
    if entitlements is not None:
        expected = plistlib.loads((ROOT / "examples" / "utm" / f"{entitlements}.entitlements").read_bytes())
        assert (HYPERVISOR in expected) == (path in (HELPER, LAUNCHER))
    slices = seen(released, path)
    assert [one["arch"] for one in slices] == ["x86_64", "arm64"]
    assert [one["entitlements"] for one in slices] == [expected, expected]


def test_what_xcode_wrote_stays_and_the_version_is_ours(released: Workshop) -> None:
    """Keys that the release knows nothing of are kept; identity and version are the release's own."""
    contents = released.outputs / "universal" / "UTM.app" / "Contents"
    found = plistlib.loads((contents / "Info.plist").read_bytes())
    assert found["CFBundleURLTypes"][0]["CFBundleURLSchemes"] == ["UTM"]
    assert found["LSApplicationCategoryType"] == "public.app-category.business"
    version = released.manifest()["version"]
    assert found["CFBundleVersion"] == found["CFBundleShortVersionString"] == version
    assert (contents / "Resources/qemu/edk2.fd").read_bytes() == b"firmware"


def test_another_archive_is_another_build(released: Workshop, tmp_path: Path, tools: dict[str, str]) -> None:
    """git does not know the archive, and yet a new program in it is built anew; nothing else is stale either."""
    workshop = released.copy(tmp_path / "another checkout")
    steps = workshop.invoke("--dry", "release", environment=tools).out
    assert "would run" not in steps
    program = workshop.folder / APP / "Contents/MacOS/UTM"
    program.write_bytes(program.read_bytes() + bytes(16))
    steps = workshop.invoke("--dry", "release", environment=tools).out
    assert steps.startswith("build      would run")


def test_what_xcode_was_to_fill_in_is_refused(released: Workshop, tmp_path: Path, tools: dict[str, str]) -> None:
    """Entitlements or an Info.plist out of the source tree, with $(NAME) in it: exit 2, the file and the name."""
    workshop = released.copy(tmp_path / "a source tree's")
    for name, text in (
        ("QEMUHelper.entitlements", "$(TeamIdentifierPrefix)com.utmapp.UTM"),
        (f"{APP}/Contents/Info.plist", "${PRODUCT_NAME}"),
    ):
        kept = (workshop.folder / name).read_bytes()
        values = plistlib.loads(kept) | {"com.example.key": text}
        (workshop.folder / name).write_bytes(plistlib.dumps(values))
        ran = workshop.invoke("release", environment=tools)
        assert ran.code == 2
        assert name.rpartition("/")[2] in ran.err
        assert text.partition("com.")[0] in ran.err
        (workshop.folder / name).write_bytes(kept)
