"""A release whose app holds more than its program: nested code of every kind with entitlements of its own."""

from __future__ import annotations

import io
import json
import plistlib
import subprocess
import zipfile
from pathlib import Path

import pytest
from builders import bundles
from builders.clients import need
from builders.submissions import signed_ticket
from builders.workshop import LEVERED, Workshop, new_workshop

from pipeline.model import STAPLED_TICKET
from pipeline.tickets.s8ch import HashType

MORE = """\
icon = "art/Agent.icns"
provisioning-profile = "agent.provisionprofile"
sign-archives = true

[app.contents]
"Contents/Frameworks/Engine.framework" = "parts/Engine.framework"
"Contents/XPCServices/Service.xpc" = "parts/Service.xpc"
"Contents/Resources/native.jar" = "parts/native.jar"

[app.entitlements]
"Contents/XPCServices/*.xpc" = "service.plist"
"**/*.jar!/native/helper" = "helper.plist"
"""
APP = "universal/meshagent.app"
SERVICE = f"{APP}/Contents/XPCServices/Service.xpc"


def jar() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("native/helper", bundles.universal())
        opened.writestr("native/libnative.dylib", bundles.universal("dylib"))
    return stream.getvalue()


def furnish(workshop: Workshop, more: str = MORE) -> Workshop:
    """Everything that MORE names, and a release.toml with it."""
    parts = bundles.under("parts/Engine.framework", bundles.framework("Engine"))
    parts |= bundles.under("parts/Service.xpc", bundles.plugin("com.example.service", "Service", "XPC!"))
    parts |= {
        "parts/native.jar": jar(),
        "art/Agent.icns": b"icns" + bytes(60),
        "agent.provisionprofile": b"a profile",
        "service.plist": plistlib.dumps({"com.apple.security.network.client": True}),
        "helper.plist": plistlib.dumps({"com.apple.security.cs.allow-jit": True}),
    }
    bundles.write(workshop.folder, parts)
    workshop.configure(more=more)
    return workshop


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> Workshop:
    """A whole rehearsal release of such an app. Not to be changed."""
    workshop = furnish(new_workshop(tmp_path_factory.mktemp("furnished") / "a checkout", prebuilt))
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


def seen(workshop: Workshop, path: str) -> list[dict[str, object]]:
    """The slices that `file.verify` finds in a file or a bundle of the outputs, under the rehearsal's roots."""
    anchors = workshop.outputs / "rehearsal" / "anchors"
    ran = workshop.invoke_plain("file.verify", str(workshop.outputs / path), "--anchors", str(anchors), "--json")
    assert ran.code == 0, ran.err
    slices: list[dict[str, object]] = json.loads(ran.out)
    return slices


def test_audit_report_and_provenance_know_nested_code(furnished: Workshop) -> None:
    """Every CDHash that the notary lists is ours, in a framework, a service or a jar; provenance tells the sealed."""
    where = ("--folder", str(furnished.outputs))
    ran = furnished.invoke_plain("audit", *where, "--json")
    assert ran.code == 0, ran.err
    (app,) = [one for one in json.loads(ran.out)["artifacts"] if one["path"] == APP]
    nested = app["nested"]
    jar = "Contents/Resources/native.jar"
    assert {f"{jar}!/native/helper", f"{jar}!/native/libnative.dylib"} < nested.keys()
    (log,) = (furnished.outputs / "notary").glob("*.log.json")
    listed = {(one["cdhash"], one["arch"]) for one in json.loads(log.read_text())["ticketContents"]}
    inside = {(cdhash, arch) for slices in nested.values() for arch, cdhash in slices.items()}
    assert inside <= listed
    assert furnished.invoke_plain("report", *where).code == 0
    page = (furnished.outputs / "report.html").read_text()
    assert "not ours" not in page
    assert f"Each of the {len(listed)} CDHashes that it lists is ours" in page
    document = json.loads((furnished.outputs / "provenance.json").read_text())
    told = {one["name"].removeprefix(f"{APP}/"): one["annotations"] for one in document["subject"]}
    sealed = {path: slices for path, slices in nested.items() if "!" not in path}
    assert sealed
    for path, slices in sealed.items():
        assert {one["arch"]: one["cdhash"] for one in told[path]["slices"]} == slices


def test_the_notary_takes_an_app_with_nested_code(furnished: Workshop) -> None:
    """The rehearsal's notary, which judges nested code too, accepted it, and its log lists every nested slice."""
    (app,) = [one for one in furnished.manifest()["artifacts"] if one["path"] == APP]
    assert app["notarization"]["status"] == "accepted"
    assert app["staple"]["status"] == "stapled"
    ran = furnished.invoke_plain(
        "file.ticket",
        str(furnished.outputs / APP),
        "--anchors",
        str(furnished.outputs / "rehearsal" / "anchors"),
        "--json",
    )
    assert ran.code == 0, ran.err
    slices = json.loads(ran.out)["slices"]
    assert len(slices) == 6
    assert all(one["proved"] for one in slices)


def test_a_log_without_a_nested_slice_is_not_enough(furnished: Workshop, tmp_path: Path) -> None:
    """Accepted, and one slice of the service is in neither log nor ticket: nothing is notarized by that."""
    workshop = furnished.copy(tmp_path / "a checkout that was not listed")
    service = seen(workshop, SERVICE)[0]
    assert workshop.invoke("clean", "--forget").code == 0
    levers = {"LEVERS": f"log-leaves-out={service['cdhash']}"}
    ran = workshop.invoke("release", lever=LEVERED, environment=levers)
    assert ran.code == 9, ran.err
    assert f"meshagent.app/Contents/XPCServices/Service.xpc/Contents/MacOS/Service ({service['arch']})" in ran.err
    assert "stapled" not in ran.out


def test_a_ticket_without_a_nested_slice_proves_nothing(furnished: Workshop, tmp_path: Path) -> None:
    """A genuine ticket that covers the app's own executable alone: `verify` misses the nested code's."""
    workshop = furnished.copy(tmp_path / "a checkout with another ticket")
    hashes = [(HashType.SHA256, bytes.fromhex(str(one["cdhash"]))) for one in seen(workshop, APP)]
    (workshop.outputs / APP / STAPLED_TICKET).write_bytes(signed_ticket(workshop.outputs, hashes))
    ran = workshop.invoke("verify")
    assert ran.code == 9
    nested = {str(one["cdhash"]) for one in seen(workshop, SERVICE)}
    assert any(cdhash in ran.err for cdhash in nested)
    assert f"{APP}/{STAPLED_TICKET}" in ran.err


def test_each_has_its_own_entitlements(furnished: Workshop) -> None:
    """The service has those of its pattern, the framework and the app have none."""
    found = {path: {str(one["entitlements"]) for one in seen(furnished, path)} for path in (APP, SERVICE)}
    assert found[SERVICE] == {"{'com.apple.security.network.client': True}"}
    assert found[APP] == {"None"}
    framework = seen(furnished, f"{APP}/Contents/Frameworks/Engine.framework")
    assert {one["entitlements"] for one in framework} == {None}


def test_code_in_the_archive_is_signed(furnished: Workshop, tmp_path: Path) -> None:
    """The jar's program and library verify, the program with the entitlements of its pattern."""
    with zipfile.ZipFile(furnished.outputs / APP / "Contents/Resources/native.jar") as opened:
        opened.extractall(tmp_path)
    assert seen(furnished, str(tmp_path / "native/helper"))[0]["entitlements"] == {
        "com.apple.security.cs.allow-jit": True
    }
    assert seen(furnished, str(tmp_path / "native/libnative.dylib"))[0]["entitlements"] is None


def test_contents_are_as_they_were_given(furnished: Workshop) -> None:
    """Links stay links, modes stay; icon and profile are where macOS looks for them."""
    contents = furnished.outputs / APP / "Contents"
    assert (contents / "Frameworks/Engine.framework/Versions/Current").readlink() == Path("A")
    assert (contents / "XPCServices/Service.xpc/Contents/MacOS/Service").stat().st_mode & 0o777 == 0o755
    assert (contents / "embedded.provisionprofile").read_bytes() == b"a profile"
    icon = plistlib.loads((contents / "Info.plist").read_bytes())["CFBundleIconFile"]
    assert (contents / "Resources" / icon).read_bytes() == b"icns" + bytes(60)


def test_what_signing_changes_is_told_and_logged(furnished: Workshop) -> None:
    """The audit log holds each change of entitlements with the code's path."""
    lines = [json.loads(line) for line in (furnished.outputs / "audit.jsonl").read_text().splitlines()]
    told = {line["path"]: line["words"] for line in lines if line["event"] == "told" and line["stage"] == "app"}
    assert told == {
        "Contents/XPCServices/Service.xpc/Contents/MacOS/Service": "entitlements "
        "+com.apple.security.network.client=True",
        "Contents/Resources/native.jar!/native/helper": "entitlements +com.apple.security.cs.allow-jit=True",
    }


def test_another_part_makes_another_app(furnished: Workshop, tmp_path: Path) -> None:
    """A changed file among the contents runs the stage again, from the app on, and says why."""
    workshop = furnished.copy(tmp_path / "another checkout")
    (workshop.folder / "parts/Service.xpc/Contents/Resources/note.txt").write_bytes(b"another")
    ran = workshop.invoke("--dry", "release")
    steps = {line.split()[0]: line.split()[1] for line in ran.out.splitlines()}
    assert (steps["universal"], steps["app"], steps["archive"]) == ("done", "would", "would")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[app.entitlements]\n"Contents/Helpers/*" = "service.plist"', "the pattern matches no code"),
        (
            '[app.contents]\n"Contents/Frameworks/E.framework" = "parts/Engine.framework"\n'
            '[app.entitlements]\n"Contents/Frameworks/*" = "service.plist"',
            "get no entitlements",
        ),
        ('[app.contents]\n"Contents/MacOS" = "bin"', "Contents/MacOS/meshagent is written by the release itself"),
    ],
)
def test_what_cannot_be_meant_stops_the_release(workshop: Workshop, more: str, words: str) -> None:
    """A pattern without code, entitlements for a framework, and contents in the program's place are errors."""
    bundles.write(workshop.folder, {"bin/meshagent": b"mine"})
    ran = furnish(workshop, more).invoke("release")
    assert ran.code in (2, 4), ran.err
    assert words in ran.err
    assert not (workshop.outputs / APP).exists()


def test_a_signed_bundle_is_inspected_reproduced_stripped(furnished: Workshop, tmp_path: Path) -> None:
    """The commands for single files take the whole app: every signature is shown, made again, and taken off."""
    app = str(furnished.outputs / APP)
    shown = furnished.invoke_plain("file.inspect", app)
    assert shown.code == 0, shown.err
    assert shown.out.count("cdhash: ") >= 6
    again = furnished.invoke_plain("file.reproduce", app, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["identical"] is True
    assert furnished.invoke_plain("file.strip", app, "--output", str(tmp_path / "meshagent.app")).code == 0
    assert furnished.invoke_plain("file.verify", str(tmp_path / "meshagent.app")).code == 9


def test_sign_takes_entitlements_by_path(furnished: Workshop, tmp_path: Path) -> None:
    """`file.sign` signs an app anew: what is dropped is said, what is preserved stays."""
    app, output = str(furnished.outputs / APP), str(tmp_path / "meshagent.app")
    kept = "Contents/XPCServices/*=preserve"
    ran = furnished.invoke_plain("file.sign", app, "--output", output, "--nested-entitlements", kept)
    assert ran.code == 0, ran.err
    assert "Service" not in ran.err
    assert "native.jar: holds code, which the notary wants signed: native/helper" in ran.err
    ran = furnished.invoke_plain("file.sign", output)
    assert ran.code == 0, ran.err
    assert "Contents/MacOS/Service: entitlements -com.apple.security.network.client" in ran.err
    ran = furnished.invoke_plain("file.sign", output, "--nested-entitlements", "Contents/Nothing=preserve")
    assert ran.code == 2
    assert "matches no code" in ran.err


def test_a_changed_service_is_refused_by_name(furnished: Workshop, tmp_path: Path) -> None:
    """`invoke verify` on the outputs names a nested file that changed after the release."""
    workshop = furnished.copy(tmp_path / "a changed checkout")
    note = workshop.outputs / SERVICE / "Contents/Resources/note.txt"
    note.write_bytes(b"changed")
    ran = workshop.invoke("verify")
    assert ran.code == 9
    assert "Contents/XPCServices/Service.xpc/Contents/Resources/note.txt" in ran.err


def test_unzip_gives_links_back(furnished: Workshop, tmp_path: Path) -> None:
    """`unzip` gives the framework's links back as links."""
    (archive,) = (furnished.outputs / "dist").glob("*.zip")
    subprocess.run([need("unzip"), "-q", archive, "-d", tmp_path], check=True)
    assert (tmp_path / "meshagent.app/Contents/Frameworks/Engine.framework/Engine").is_symlink()
