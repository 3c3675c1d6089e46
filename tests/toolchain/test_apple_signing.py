"""codesign and lipo through their doubles: what is asked, what is demanded of the result, every refusal."""

from __future__ import annotations

import plistlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from doubles.bench import Fault

from pipeline import disk
from pipeline.errors import CredentialsError, ReleaseError, ServiceUnavailable, SigningError, VerificationError
from pipeline.model import World

# The text, its error, and how often codesign is called.
REFUSALS = [
    ("{}: errSecInternalComponent", CredentialsError, 1, "set-key-partition-list"),
    (
        'Warning: unable to build chain to self-signed root for signer "Developer ID Application: X (TEAM)"\n'
        "{}: errSecInternalComponent",
        CredentialsError,
        1,
        "G1 and G2",
    ),
    ("error: The specified item could not be found in the keychain.", CredentialsError, 1, "list-keychains"),
    ("Developer ID Application: X: no identity found", CredentialsError, 1, "find-identity"),
    (
        'Developer ID: ambiguous (matches "A" and "B" in /Users/x/Library/Keychains/login.keychain-db)',
        CredentialsError,
        1,
        "SHA-1",
    ),
    ("{}: User interaction is not allowed.", CredentialsError, 1, "unlock-keychain"),
    ("{}: CSSMERR_TP_NOT_TRUSTED", CredentialsError, 1, "G2"),
    ("{}: A timestamp was expected but was not found.", ServiceUnavailable, 6, "never with --timestamp=none"),
    ("{}: The timestamp service is not available.", ServiceUnavailable, 6, "growing pauses"),
    ("{}: The timestamp transaction is not permitted or supported.", ServiceUnavailable, 6, "pauses"),
    ("{}: A timestamp transaction was rejected.", ServiceUnavailable, 6, "cache"),
    ("{}: timestamps differ by 158 seconds - check your system clock", SigningError, 1, "sntp"),
    ("{}: resource fork, Finder information, or similar detritus not allowed", SigningError, 1, "xattr -cr"),
    ("{}: code object is not signed at all\nIn subcomponent: {}/x.dylib", SigningError, 1, "inside out"),
    ("{}: bundle format unrecognized, invalid, or unsuitable", SigningError, 1, "Contents/Resources"),
    ("{}: unsealed contents present in the bundle root", SigningError, 1, "Contents"),
    ("{}: main executable failed strict validation", SigningError, 1, "never append"),
    ("{}: is already signed", SigningError, 1, "--force"),
    ("{}: the codesign_allocate helper tool cannot be found or used", SigningError, 1, "xcode-select"),
    ("{}: Encountered an invalid entitlement plist", SigningError, 1, "XML"),
    ("{}: a text that nobody knows", SigningError, 1, ""),
    ("Usage: codesign -s identity [-fv*] path ... # sign", SigningError, 1, ""),
]
INVALID = [
    ("invalid signature (code or signature have been modified)\nIn architecture: arm64", "sign last"),
    ("a sealed resource is missing or invalid\nfile added: x/Contents/._CodeResources", "AppleDouble"),
    ("invalid Info.plist (plist or signature have been modified)", "Info.plist first"),
    ("nested code is modified or invalid", "inside out"),
    ("nested code is unsigned", "inside out"),
    ("code object is not signed at all", "inside out"),
    ("main executable failed strict validation", "never append"),
    ("Notarization indicates this code has been revoked", "new version"),
    ("something that nobody knows", ""),
]


def test_a_signed_file_holds_what_was_asked_for(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """Identifier, hardened runtime, entitlements, team and time stamp are read back from the file."""
    entitlements = plistlib.dumps({"com.apple.security.cs.allow-jit": True})
    output = tmp_path / "out" / "tool"
    output.parent.mkdir()
    before = tool.read_bytes()
    (slice_,) = mac.toolchain().sign(tool, output, replace(REQUEST, entitlements=entitlements))
    (found,) = disk.verify_path(output, anchors=mac.rehearsal.services.anchors)
    assert (found.identifier, found.flags, found.cdhash) == ("com.example.tool", ("runtime",), slice_.cdhash)
    assert found.entitlements == {"com.apple.security.cs.allow-jit": True}
    assert found.timestamp is not None
    assert found.team is not None
    assert tool.read_bytes() == before
    assert not list((mac.folder / ".work" / "apple").iterdir())


def test_the_local_world_signs_ad_hoc(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """Without an identity the signature is ad hoc, hardened all the same, and no keychain is asked."""
    (slice_,) = mac.toolchain(world=World.LOCAL).sign(tool, tmp_path / "out", REQUEST)
    assert set(slice_.flags) == {"adhoc", "runtime"}
    assert mac.calls("security") == 0


@pytest.mark.parametrize(("text", "kind", "tries", "remedy"), REFUSALS, ids=[one[0][:50] for one in REFUSALS])
def test_every_refusal_of_codesign_is_told(
    mac: Mac, tool: Path, tmp_path: Path, text: str, kind: type[ReleaseError], tries: int, remedy: str
) -> None:
    """Each text gives its own kind of error with a remedy; only time stamps are tried again; nothing is left behind."""
    mac.bench.set(Fault(tool="codesign", words=("--sign",), err=text.replace("{}", str(tool)) + "\n"))
    with pytest.raises(ReleaseError) as caught:
        mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
    assert type(caught.value) is kind
    assert remedy in (caught.value.remedy or "")
    assert text.splitlines()[0].replace("{}", str(tool)) in str(caught.value)
    assert mac.calls("codesign", "--sign") == tries
    assert not (tmp_path / "out").exists()


def test_a_time_stamp_that_comes_late_is_enough(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """Two refusals of the time-stamp service cost two tries, never the time stamp."""
    text = f"{tool}: The timestamp service is not available.\n"
    mac.bench.set(Fault(tool="codesign", words=("--sign",), times=2, err=text))
    mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
    (found,) = disk.verify_path(tmp_path / "out", anchors=mac.rehearsal.services.anchors)
    assert found.timestamp is not None
    assert mac.calls("codesign", "--sign") == 3
    assert mac.calls("codesign", "--timestamp=none") == 0


@pytest.mark.parametrize(
    ("levers", "words"),
    [
        ({"no-runtime": True}, "no hardened runtime"),
        ({"no-timestamp": True}, "no secure time stamp"),
        ({"identifier": "tool"}, "identifier tool"),
    ],
)
def test_what_codesign_did_not_do_is_caught(
    mac: Mac, tool: Path, tmp_path: Path, levers: dict[str, object], words: str
) -> None:
    """codesign that exits 0 and left an option out fails the release: the file is read, not the exit code."""
    mac.bench.set(**levers)
    with pytest.raises(SigningError, match=words):
        mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
    assert not (tmp_path / "out").exists()


def test_options_before_sign_are_dropped_as_apple_drops_them(mac: Mac, tool: Path) -> None:
    """The double signs without the hardened runtime where --options comes first, and says nothing of it."""
    done = mac.tools.run("codesign", "--options", "runtime", "--force", "--sign", "REHEARSAL", tool)
    assert (done.returncode, done.stdout) == (0, b"")
    (found,) = disk.verify_path(tool, anchors=mac.rehearsal.services.anchors)
    assert found.flags == ()


def test_a_header_without_room_never_reaches_codesign(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """Where LC_CODE_SIGNATURE has no room codesign would write over code: it is refused before codesign is called."""
    data = bytearray((thins / "x86_64").read_bytes())
    end = 32 + int.from_bytes(data[20:24], "little")
    data[end : end + 16] = b"\x90" * 16
    (tmp_path / "tight").write_bytes(data)
    with pytest.raises(SigningError, match="no room for LC_CODE_SIGNATURE"):
        mac.toolchain().sign(tmp_path / "tight", tmp_path / "out", REQUEST)
    assert mac.calls("codesign", "--sign") == 0


@pytest.mark.parametrize(("text", "remedy"), INVALID, ids=[one[0][:50] for one in INVALID])
def test_every_complaint_of_a_verification_is_told(
    mac: Mac, tool: Path, tmp_path: Path, text: str, remedy: str
) -> None:
    """Whatever codesign has against a file that we find good is a failed verification with codesign's words."""
    toolchain = mac.toolchain()
    toolchain.sign(tool, tmp_path / "out", REQUEST)
    mac.bench.set(Fault(tool="codesign", words=("--verify",), err=f"{tmp_path / 'out'}: {text}\n"))
    with pytest.raises(VerificationError) as caught:
        toolchain.verify(tmp_path / "out")
    assert remedy in (caught.value.remedy or "")
    assert text.splitlines()[0] in str(caught.value)


@pytest.mark.parametrize("words", ["", "x: valid on disk\n", "all is well\n"])
def test_exit_0_without_the_words_is_no_verification(mac: Mac, tool: Path, tmp_path: Path, words: str) -> None:
    """codesign has to say both sentences: silence, half of them and unknown words are failures."""
    toolchain = mac.toolchain()
    toolchain.sign(tool, tmp_path / "out", REQUEST)
    mac.bench.set(Fault(tool="codesign", words=("--verify",), exit=0, err=words))
    with pytest.raises(VerificationError, match="without saying"):
        toolchain.verify(tmp_path / "out")


def test_a_display_that_shows_another_cdhash_is_caught(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """Where codesign sees another CDHash than our verifier, one of both is wrong, and nothing goes on."""
    toolchain = mac.toolchain()
    toolchain.sign(tool, tmp_path / "out", REQUEST)
    shown = "Identifier=com.example.tool\nCDHash=" + "0" * 40 + "\n"
    mac.bench.set(Fault(tool="codesign", words=("-d",), exit=0, err=shown))
    with pytest.raises(VerificationError, match="codesign shows CDHash 0000"):
        toolchain.verify(tmp_path / "out")


def test_each_slice_is_asked_for_alone(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """A universal file is verified whole and slice by slice; one slice that fails is named."""
    toolchain = mac.toolchain()
    for arch in ("x86_64", "arm64"):
        toolchain.sign(thins / arch, tmp_path / arch, REQUEST)
    toolchain.join([tmp_path / "x86_64", tmp_path / "arm64"], tmp_path / "both")
    bad = "both: invalid signature (code or signature have been modified)\nIn architecture: x86_64\n"
    mac.bench.set(Fault(tool="codesign", words=("--verify", "--arch", "x86_64"), err=bad))
    with pytest.raises(VerificationError, match="both: x86_64"):
        toolchain.verify(tmp_path / "both")


def test_lipo_joins_what_our_own_code_joins(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """The joined file has both slices with the CDHashes of the thin files."""
    toolchain = mac.toolchain()
    thin = {arch: toolchain.sign(thins / arch, tmp_path / arch, REQUEST)[0] for arch in ("x86_64", "arm64")}
    joined = toolchain.join([tmp_path / "x86_64", tmp_path / "arm64"], tmp_path / "both")
    assert {one.arch: one for one in joined} == thin


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            Fault(
                tool="lipo",
                words=("-create",),
                err="fatal error: /x/lipo: a and b have the same architectures (arm64) and can't be in the same fat "
                "output file\n",
            ),
            "same slice",
        ),
        (
            Fault(
                tool="lipo",
                words=("-create",),
                err="fatal error: /x/lipo: can't figure out the architecture type of: a\n",
            ),
            "no Mach-O",
        ),
        (Fault(tool="lipo", words=("-create",), exit=0), "exited 0"),
        (Fault(tool="lipo", words=("-archs",), exit=0, out="arm64\n"), "lipo finds arm64"),
        (Fault(tool="lipo", words=("-archs",), exit=0, out="Non-fat file: x is\n"), "tells no architectures"),
    ],
)
def test_every_refusal_of_lipo_is_told(mac: Mac, thins: Path, tmp_path: Path, fault: Fault, words: str) -> None:
    """A lipo that refuses, does nothing or finds other slices leaves no universal file."""
    toolchain = mac.toolchain()
    for arch in ("x86_64", "arm64"):
        toolchain.sign(thins / arch, tmp_path / arch, REQUEST)
    mac.bench.set(fault)
    with pytest.raises(SigningError, match=words):
        toolchain.join([tmp_path / "x86_64", tmp_path / "arm64"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_lipo_that_damages_is_caught(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """One changed bit in what lipo wrote fails before the file has its name."""
    toolchain = mac.toolchain()
    for arch in ("x86_64", "arm64"):
        toolchain.sign(thins / arch, tmp_path / arch, REQUEST)
    mac.bench.set(**{"lipo-damages": True})
    with pytest.raises(ReleaseError):
        toolchain.join([tmp_path / "x86_64", tmp_path / "arm64"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_every_call_is_logged_with_the_tools_own_words(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """The log has argv, exit code and words of each tool."""
    mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
    verified = next(entry for entry in mac.events if "--verify" in str(entry["argv"]))
    assert verified["exit"] == 0
    assert "satisfies its Designated Requirement" in str(verified["words"])


def test_code_inside_an_app_is_signed_before_the_app(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """Each helper is signed by a call of its own, with the entitlements of its pattern, as the portable engine does."""
    app = tmp_path / "unsigned" / "X.app"
    helper = app / "Contents" / "Helpers" / "helper"
    for place in (app / "Contents" / "MacOS" / "X", helper):
        place.parent.mkdir(parents=True)
        shutil.copy(thins / "arm64", place)
    information = {"CFBundleExecutable": "X", "CFBundleIdentifier": "com.example.tool", "CFBundlePackageType": "APPL"}
    (app / "Contents" / "Info.plist").write_bytes(plistlib.dumps(information))
    entitlements = plistlib.dumps({"com.apple.security.cs.allow-jit": True})
    request = replace(REQUEST, nested_entitlements={"Contents/Helpers/*": entitlements})
    slices = mac.toolchain().sign_bundle(app, tmp_path / "apple" / "X.app", request)
    assert slices == mac.engine.sign_bundle(app, tmp_path / "portable" / "X.app", request)
    hashes = [disk.code_hashes(tmp_path / name / "X.app") for name in ("apple", "portable")]
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"Contents/Helpers/helper", "Contents/MacOS/X"}
    assert mac.calls("codesign", "--sign") == 2
    assert not [entry for entry in mac.events if "--sign" in str(entry["argv"]) and "--deep" in str(entry["argv"])]
