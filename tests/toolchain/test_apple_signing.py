"""codesign and lipo through their doubles: what is asked, what is demanded of the result, every refusal."""

from __future__ import annotations

import plistlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from doubles.bench import Fault

from pipeline import disk
from pipeline.errors import ReleaseError, SigningError, VerificationError
from pipeline.model import World


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


def test_a_refusal_leaves_nothing_behind(mac: Mac, tool: Path, tmp_path: Path) -> None:
    """Neither a file under the output's name nor a copy in the folder of work, whatever kind of refusal it was."""
    for text, tries in (("errSecInternalComponent", 1), ("The timestamp service is not available.", 6)):
        mac.events.clear()
        mac.bench.set(Fault(tool="codesign", words=("--sign",), err=f"{tool}: {text}\n"))
        with pytest.raises(ReleaseError, match=re.escape(text)):
            mac.toolchain().sign(tool, tmp_path / "out", REQUEST)
        assert mac.calls("codesign", "--sign") == tries
        assert not (tmp_path / "out").exists()
        assert not list((mac.folder / ".work" / "apple").iterdir())


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


def test_exit_0_without_the_words_is_no_verification(mac: Mac, signed: Path) -> None:
    """codesign has to say both sentences: silence, half of them and unknown words are failures."""
    for words in ("", "x: valid on disk\n", "all is well\n"):
        mac.bench.set(Fault(tool="codesign", words=("--verify",), exit=0, err=words))
        with pytest.raises(VerificationError, match="without saying"):
            mac.toolchain().verify(signed)


def test_a_display_that_shows_another_cdhash_is_caught(mac: Mac, signed: Path) -> None:
    """Where codesign sees another CDHash than our verifier, one of both is wrong, and nothing goes on."""
    shown = "Identifier=com.example.tool\nCDHash=" + "0" * 40 + "\n"
    mac.bench.set(Fault(tool="codesign", words=("-d",), exit=0, err=shown))
    with pytest.raises(VerificationError, match="codesign shows CDHash 0000"):
        mac.toolchain().verify(signed)


def test_each_slice_is_asked_for_alone(mac: Mac, both: dict[str, Path], tmp_path: Path) -> None:
    """A universal file is verified whole and slice by slice; one slice that fails is named."""
    toolchain = mac.toolchain()
    toolchain.join(list(both.values()), tmp_path / "both")
    bad = "both: invalid signature (code or signature have been modified)\nIn architecture: x86_64\n"
    mac.bench.set(Fault(tool="codesign", words=("--verify", "--arch", "x86_64"), err=bad))
    with pytest.raises(VerificationError, match="both: x86_64"):
        toolchain.verify(tmp_path / "both")


def test_lipo_joins_what_our_own_code_joins(mac: Mac, both: dict[str, Path], tmp_path: Path) -> None:
    """The joined file has both slices with the CDHashes of the thin files, and is the file that our code writes."""
    joined = mac.toolchain().join(list(both.values()), tmp_path / "both")
    assert {one.arch: (one,) for one in joined} == {arch: mac.engine.verify(path) for arch, path in both.items()}
    mac.engine.join(list(both.values()), tmp_path / "ours")
    assert (tmp_path / "both").read_bytes() == (tmp_path / "ours").read_bytes()


def test_a_lipo_that_refuses_leaves_no_file(mac: Mac, both: dict[str, Path], tmp_path: Path) -> None:
    """A lipo that refuses, does nothing or finds other slices leaves no universal file."""
    same = "fatal error: /x/lipo: a and b have the same architectures (arm64) and can't be in the same fat output file"
    for fault, words in (
        (Fault(tool="lipo", words=("-create",), err=same), "same slice"),
        (Fault(tool="lipo", words=("-create",), exit=0), "exited 0"),
        (Fault(tool="lipo", words=("-archs",), exit=0, out="arm64\n"), "lipo finds arm64"),
    ):
        mac.bench.set(fault)
        with pytest.raises(SigningError, match=words):
            mac.toolchain().join(list(both.values()), tmp_path / "both")
        assert not (tmp_path / "both").exists()


def test_a_lipo_that_damages_is_caught(mac: Mac, both: dict[str, Path], tmp_path: Path) -> None:
    """One changed bit in what lipo wrote fails before the file has its name."""
    mac.bench.set(**{"lipo-damages": True})
    with pytest.raises(ReleaseError):
        mac.toolchain().join(list(both.values()), tmp_path / "both")
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
