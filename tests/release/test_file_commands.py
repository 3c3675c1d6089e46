"""`invoke file.…` on what a release left: real processes, exit codes, and what lies on disk afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import plistlib
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from builders.workshop import ROOT, Ran, Workshop

from pipeline.host import Files
from pipeline.tickets.package import staple_package


@pytest.fixture
def tool(finished: Workshop, tmp_path: Path) -> Path:
    """A copy of the release's universal binary."""
    return Path(shutil.copy2(finished.outputs / "universal" / "meshagent", tmp_path / "tool"))


@pytest.fixture
def anchors(finished: Workshop) -> str:
    return str(finished.outputs / "rehearsal" / "anchors")


def run(workshop: Workshop, *words: object, code: int = 0) -> Ran:
    ran = workshop.invoke_plain(*map(str, words))
    assert ran.code == code, ran.err
    return ran


def test_what_the_release_signed_is_verified(finished: Workshop, tool: Path, anchors: str) -> None:
    """With the rehearsal's roots every slice is valid; with Apple's the chain leads nowhere, exit 9."""
    found = json.loads(run(finished, "file.verify", tool, "--anchors", anchors, "--json").out)
    assert [(one["arch"], one["flags"]) for one in found] == [("x86_64", ["runtime"]), ("arm64", ["runtime"])]
    refused = run(finished, "file.verify", tool, code=9)
    assert "Traceback" not in refused.err


def test_a_folder_without_roots_is_a_wrong_argument(finished: Workshop, tool: Path, tmp_path: Path) -> None:
    """`--anchors` with no folder, or one without the files of roots: exit 2, and what is missing is named."""
    for folder, named in ((tmp_path / "nowhere", "nowhere"), (tmp_path, "code.pem")):
        assert named in run(finished, "file.verify", tool, "--anchors", folder, code=2).err


def test_a_requirement_decides(finished: Workshop, tool: Path, anchors: str) -> None:
    """`--requirement` is compiled and asked of every slice; one that is no requirement is exit 2."""
    words = ("file.verify", tool, "--anchors", anchors, "--requirement")
    run(finished, *words, 'identifier "com.example.meshagent" and anchor apple generic')
    run(finished, *words, 'identifier "com.example.other"', code=9)
    run(finished, *words, "identifier and or", code=2)


def test_signed_again_it_comes_out_the_same(finished: Workshop, tool: Path) -> None:
    """`file.reproduce` finds the era that the release was signed with."""
    found = json.loads(run(finished, "file.reproduce", tool, "--json").out)
    assert found["identical"] is True
    assert all("macos-26" in one["eras"] and "resign" in one["mode"] for one in found["slices"])


def test_stripped_and_joined_is_what_was_built(finished: Workshop, tool: Path, tmp_path: Path) -> None:
    """Thinning and joining give the same file again; stripping a thin file gives back the unsigned x86_64 binary."""
    for arch in ("x86_64", "arm64"):
        run(finished, "file.thin", tool, "--arch", arch, "--output", tmp_path / arch)
        assert (tmp_path / arch).read_bytes() == (finished.outputs / arch / "meshagent").read_bytes()
    joined = tmp_path / "joined"
    run(finished, "file.universal", "--slice", tmp_path / "x86_64", "--slice", tmp_path / "arm64", "--output", joined)
    assert joined.read_bytes() == tool.read_bytes()
    again = ("--slice", tmp_path / "arm64", "--slice", tmp_path / "arm64", "--output", tmp_path / "twice")
    assert "arm64" in run(finished, "file.universal", *again, code=2).err
    assert not (tmp_path / "twice").exists()
    run(finished, "file.strip", tmp_path / "x86_64", "--output", tmp_path / "bare")
    bare = (tmp_path / "bare").read_bytes()
    built = (finished.outputs / "unsigned" / "x86_64" / "meshagent").read_bytes()
    # The linker left no padding behind __LINKEDIT; the signature's place was rounded up to 16 bytes.
    assert len(bare) - len(built) in range(16)
    run(finished, "file.verify", tmp_path / "bare", code=9)


def test_signed_ad_hoc_in_place(finished: Workshop, tool: Path) -> None:
    """`file.sign` without an identity signs ad hoc, in place by default, and the result verifies."""
    before = tool.stat().st_ino
    run(finished, "file.sign", tool, "--identifier", "org.example.tool")
    assert tool.stat().st_ino != before
    assert tool.stat().st_mode & 0o777 == 0o755
    found = json.loads(run(finished, "file.verify", tool, "--json").out)
    assert {(one["identifier"], tuple(one["flags"])) for one in found} == {("org.example.tool", ("adhoc",))}


def test_every_choice_of_a_signature_is_in_it(finished: Workshop, tool: Path, tmp_path: Path) -> None:
    """Prefix, runtime version, digest algorithms, page size and constraints, as `file.inspect` reads them back."""
    constraint = tmp_path / "constraint.plist"
    demanded = {"team-identifier": "ABCDE12345", "on-system-volume": False}
    constraint.write_bytes(plistlib.dumps(demanded))
    places = ("launch-constraint-self", "launch-constraint-parent", "launch-constraint-responsible")
    given = [word for place in (*places, "library-constraint") for word in (f"--{place}", constraint)]
    words = ("--prefix", "com.example.", "--runtime-version", "13.1", "--digest-algorithm", "sha256,sha1")
    run(finished, "file.sign", tool, *words, "--page-size", "8192", *given, "--options", "runtime")
    run(finished, "file.verify", tool)
    for one in json.loads(run(finished, "file.inspect", tool, "--json").out):
        signature = one["signature"]
        assert signature["identifier"] == f"com.example.{tool.name}"
        assert [each["hash_type"] for each in signature["code_directories"]] == ["sha1", "sha256"]
        assert {(each["runtime"], each["page_size"]) for each in signature["code_directories"]} == {("13.1", 8192)}
        assert [value for name, value in signature.items() if "constraint" in name] == [demanded] * 4


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--page-size", "many", "not a number of bytes"),
        ("--page-size", "5000", "a power of two"),
        ("--runtime-version", "thirteen", "not a version"),
        ("--digest-algorithm", "md5", "unknown digest algorithm"),
        ("--launch-constraint-self", "absent.plist", "no such file"),
    ],
)
def test_a_choice_that_is_none_is_refused(finished: Workshop, tool: Path, option: str, value: str, words: str) -> None:
    """Nothing is signed: the message says what may stand there."""
    before = tool.read_bytes()
    ran = finished.invoke_plain("file.sign", str(tool), option, value)
    assert ran.code in (2, 4)
    assert words in ran.err
    assert tool.read_bytes() == before


def test_two_signatures_are_compared(finished: Workshop, tool: Path, tmp_path: Path) -> None:
    """`file.diff` is silent on the same signature, and exit 9 with the fields where another identifier was given."""
    other = tmp_path / "other"
    run(finished, "file.sign", tool, "--identifier", "one.tool", "--output", other)
    run(finished, "file.diff", other, other)
    differs = run(finished, "file.diff", tool, other, code=9)
    assert "x86_64: signature: identifier\n  - com.example.meshagent\n  + one.tool\n" in differs.out
    # An ad hoc signature has no time stamp: that side of the field is left out.
    assert re.search(r"^x86_64: signature: cms: timestamp\n  - .*\n(?!  )", differs.out, re.MULTILINE)


def test_trust_follows_the_designated_requirement(finished: Workshop, tool: Path, anchors: str, tmp_path: Path) -> None:
    """The DEBUG twin satisfies the release's requirement; the same code signed ad hoc does not."""
    twin = finished.outputs / "universal" / "DEBUG_meshagent"
    run(finished, "file.trust", tool, twin, "--anchors", anchors)
    ad_hoc = tmp_path / "ad hoc"
    run(finished, "file.sign", tool, "--output", ad_hoc)
    run(finished, "file.trust", tool, ad_hoc, "--anchors", anchors, code=9)


def test_a_ticket_proves_its_slices(finished: Workshop, tool: Path, anchors: str) -> None:
    """`file.ticket` proves the release's slices and no others; a ticket of the rehearsal is none under Apple's root."""
    ticket = finished.outputs / "universal" / "meshagent.ticket"
    run(finished, "file.ticket", ticket, "--for", tool, "--anchors", anchors)
    run(
        finished,
        "file.ticket",
        ticket,
        "--for",
        finished.outputs / "arm64" / "DEBUG_meshagent",
        "--anchors",
        anchors,
        code=9,
    )
    run(finished, "file.ticket", ticket, code=9)


def test_a_ticket_in_a_package_must_be_its_own(finished: Workshop, anchors: str, tmp_path: Path) -> None:
    """A genuine ticket that was put into another's package proves nothing of it; nor does one that was revoked."""
    ticket = finished.outputs / "universal" / "meshagent.ticket"
    table = zlib.compress(b"<xar><toc/></xar>")
    package = tmp_path / "a.pkg"
    package.write_bytes(struct.pack(">4sHHQQI", b"xar!", 28, 1, len(table), 17, 1) + table)
    staple_package(Files(), package, package, ticket.read_bytes())
    told = run(finished, "file.ticket", package, "--anchors", anchors, code=9)
    assert f"{hashlib.sha1(table).hexdigest()} is NOT in the ticket" in told.out
    vectors = Path(__file__).parents[1] / "vectors" / "tickets"
    run(finished, "file.ticket", vectors / "06.b64")
    assert "revoked" in run(finished, "file.ticket", vectors / "02.b64", code=9).err


@pytest.mark.parametrize("command", ["file.inspect", "file.verify", "file.reproduce"])
@pytest.mark.parametrize("kind", ["missing", "text", "java", "truncated"])
def test_what_is_no_macho_is_refused(finished: Workshop, tool: Path, tmp_path: Path, command: str, kind: str) -> None:
    """No such file, a text, a Java class (its magic is that of universal files): exit 2; a cut file: 2 or 9."""
    path = tmp_path / kind
    data = {
        "text": b"hello\n",
        "java": bytes.fromhex("cafebabe0000003d") + b"\0" * 400,
        "truncated": tool.read_bytes()[:9000],
    }
    if kind != "missing":
        path.write_bytes(data[kind])
    ran = finished.invoke_plain(command, str(path))
    assert ran.code in ((2, 9) if kind == "truncated" else (2,)), ran.err
    assert kind in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("file.verify", "TOOL", "--requirement", ""),
        ("file.sign", "TOOL", "--identifier="),
        ("file.inspect", ""),
        ("audit", "--head", ""),
        ("build", "--arch", ""),
        ("status", "--config", ""),
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_not_taken_for_none(finished: Workshop, tool: Path, words: tuple[str, ...]) -> None:
    """A variable of a script that is not set: exit 2 and which, before it could mean the default or nothing at all."""
    before = tool.read_bytes()
    refused = run(finished, *(str(tool) if word == "TOOL" else word for word in words), code=2)
    option = next((word.rstrip("=") for word in words if word.startswith("--")), "--path")
    assert f"{option}: is empty" in refused.err
    assert tool.read_bytes() == before


def test_dry_says_what_would_be_written_and_writes_nothing(finished: Workshop, tool: Path, tmp_path: Path) -> None:
    """Every command that leaves a file says which, in the dry run of Invoke."""
    before = tool.read_bytes()
    target, app = tmp_path / "new", finished.outputs / "universal" / "meshagent.app"
    ticket = app / "Contents" / "CodeResources"
    stapled = ticket.stat()
    for words in (
        ("file.sign", tool),
        ("file.sign", tool, "--output", target),
        ("file.strip", tool, "--output", target),
        ("file.thin", tool, "--arch", "arm64", "--output", target),
        ("file.universal", "--slice", finished.outputs / "arm64" / "meshagent", "--output", target),
        ("file.staple", app, "--anchors", finished.outputs / "rehearsal" / "anchors", "--ticket", ticket),
        ("report", "--folder", finished.outputs),
    ):
        assert run(finished, "--dry", *words).out.startswith("would "), words
    assert tool.read_bytes() == before
    assert not target.exists()
    assert ticket.stat() == stapled
    assert not (finished.outputs / "report.html").exists()


def test_the_executable_of_a_bundle_is_signed_with_it(released: Workshop) -> None:
    """Signing an app's executable alone, in its place, is refused: codesign would sign the app."""
    inside = released.outputs / "universal" / "meshagent.app" / "Contents" / "MacOS" / "meshagent"
    before = inside.read_bytes()
    assert "meshagent.app" in run(released, "file.sign", inside, code=2).err
    assert inside.read_bytes() == before


@pytest.mark.parametrize(
    ("closed", "requirement", "code"), [("stdout", "always", 141), ("stderr", "never", 9)], ids=["results", "messages"]
)
def test_who_reads_may_leave(tool: Path, anchors: str, closed: str, requirement: str, code: int) -> None:
    """A pipe that nobody reads any more ends a command without a word; an error keeps its exit code all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "invoke", "file.verify", str(tool), "--anchors", anchors]
    argv += ["--requirement", requirement]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {closed: writer}
    ended = subprocess.run(argv, cwd=ROOT, check=False, stdout=streams["stdout"], stderr=streams["stderr"])
    os.close(writer)
    assert (ended.returncode, ended.stdout or b"", ended.stderr or b"") == (code, b"", b"")
