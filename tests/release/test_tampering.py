"""One byte changed in what a release left: found, and its place named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.workshop import Workshop

from pipeline.disk import open_source
from pipeline.macho import read_slices


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


def places(path: Path) -> dict[str, tuple[int, str]]:
    """Name → (offset, words that the message must hold): one byte in every region of a universal file."""
    with open_source(path) as source:
        slices = read_slices(source)
        found: dict[str, tuple[int, str]] = {
            "fat magic": (0, "header"),
            "fat_arch": (13, "header"),
            "gap before the first slice": (slices[0].offset - 5, "gap"),
        }
        for one in slices:
            signature = one.image.signature
            assert signature is not None
            start = one.offset + signature.dataoff
            found |= {
                f"{one.arch} first page": (one.offset + 0x40, one.arch),
                f"{one.arch} code": (one.offset + signature.dataoff // 2, f"{one.arch}"),
                f"{one.arch} last page": (start - 1, one.arch),
                f"{one.arch} superblob": (start + 13, one.arch),
                f"{one.arch} directory": (start + 100, one.arch),
                f"{one.arch} signature": (start + 2500, one.arch),
                f"{one.arch} padding": (start + signature.datasize - 9, one.arch),
            }
        found["gap between the slices"] = (slices[1].offset - 1, "gap")
    return found


NAMES = [
    "fat magic",
    "fat_arch",
    "gap before the first slice",
    "gap between the slices",
    *(
        f"{arch} {name}"
        for arch in ("x86_64", "arm64")
        for name in ("first page", "code", "last page", "superblob", "directory", "signature", "padding")
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_found_and_placed(released: Workshop, name: str) -> None:
    """`invoke verify` exits 9 and names the file, and the slice or the region."""
    path = released.outputs / "universal" / "meshagent"
    offset, word = places(path)[name]
    flip(path, offset)
    ran = released.invoke("verify")
    assert ran.code == 9, ran.err
    assert "universal/meshagent" in ran.err
    assert word in ran.err


def test_a_flipped_code_byte_names_its_page(released: Workshop) -> None:
    """A byte in the code is placed to the page."""
    path = released.outputs / "universal" / "meshagent"
    offset, _ = places(path)["x86_64 code"]
    flip(path, offset)
    assert "page" in released.invoke("verify").err


@pytest.mark.parametrize(
    "path",
    [
        "x86_64/DEBUG_meshagent",
        "universal/meshagent.ticket",
        "universal/meshagent.app/Contents/Info.plist",
        "universal/meshagent.app/Contents/PkgInfo",
        "universal/meshagent.app/Contents/CodeResources",
        "universal/meshagent.app/Contents/_CodeSignature/CodeResources",
        "dist/SHA256SUMS",
    ],
)
def test_every_other_file_counts(released: Workshop, path: str) -> None:
    """A changed byte in any artifact is found and its file named; nothing else is blamed."""
    target = released.outputs / path
    flip(target, target.stat().st_size // 2)
    ran = released.invoke("verify")
    assert ran.code == 9
    assert path.split("/Contents")[0] in ran.err


def test_a_missing_and_an_added_file(released: Workshop) -> None:
    """A file that is gone, and one that was put into the app, are both found."""
    (released.outputs / "universal/meshagent.app/Contents/extra").write_text("x")
    assert "extra" in released.invoke("verify").err
    (released.outputs / "universal/meshagent.app/Contents/extra").unlink()
    (released.outputs / "arm64" / "meshagent").unlink()
    ran = released.invoke("verify")
    assert ran.code == 9
    assert "arm64/meshagent" in ran.err


def test_audit_accepts_what_the_release_left(finished: Workshop) -> None:
    """`invoke audit` finds nothing, and tells the story."""
    ran = finished.invoke_plain("audit", "--folder", str(finished.outputs))
    assert ran.code == 0, ran.err
    assert "REHEARSAL" in ran.out.upper()


def test_audit_finds_a_changed_manifest(released: Workshop) -> None:
    """A byte of release.json changed: exit 9, and the manifest is named."""
    path = released.outputs / "release.json"
    manifest = json.loads(path.read_text())
    manifest["artifacts"][0]["size"] += 1
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    ran = released.invoke_plain("audit", "--folder", str(released.outputs))
    assert ran.code == 9
    assert "release.json" in ran.err


@pytest.mark.parametrize("line", [0, 3, -2, -1])
def test_audit_finds_a_line_cut_from_the_log(released: Workshop, line: int) -> None:
    """A line cut from audit.jsonl, even the last: exit 9, and the log is named."""
    path = released.outputs / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[line]
    path.write_bytes(b"".join(lines))
    ran = released.invoke_plain("audit", "--folder", str(released.outputs))
    assert ran.code == 9
    assert "audit.jsonl" in ran.err
