"""Archives: nested ones are opened, hostile ones refused, and nothing of either lands anywhere on disk."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from builders.mach import image
from builders.notary_user import NotaryUser
from builders.zips import Members, Symlink, zip_of

from pipeline.rehearsal import Rehearsal
from pipeline.rehearsal.inspection.archive import File, Scratch, unpack
from pipeline.rehearsal.inspection.findings import Broken

NOT_SIGNED = "The binary is not signed."
NOT_OPENED = "The archive could not be opened."


def tar_of(members: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def issues(user: NotaryUser, archive: bytes, name: str = "a.zip") -> list[tuple[str, str, str]]:
    """(severity, path, message) of every issue."""
    log = user.judge(archive, name)
    assert log["status"] == (
        "Invalid" if any(one["severity"] == "error" for one in log["issues"] or []) else "Accepted"
    )
    return [(one["severity"], one["path"], one["message"]) for one in log["issues"] or []]


NESTED: dict[str, tuple[Members, str]] = {
    "zip": ({"in.zip": zip_of({"x/tool": image()})}, "in.zip/x/tool"),
    "jar": ({"in.jar": zip_of({"natives/tool": image()})}, "in.jar/natives/tool"),
    "jmod": ({"in.jmod": b"JM\x01\x00" + zip_of({"lib/tool": image()})}, "in.jmod/lib/tool"),
    "tar": ({"in.tar": tar_of({"./x/tool": image()})}, "in.tar/x/tool"),
    "tar.gz": ({"in.tar.gz": tar_of({"x/tool": image()}, "w:gz")}, "in.tar.gz/in.tar/x/tool"),
    "tgz": ({"in.tgz": tar_of({"tool": image()}, "w:gz")}, "in.tgz/in.tar/tool"),
    "gz": ({"tool.gz": gzip.compress(image())}, "tool.gz/tool"),
    "zip in a zip": ({"one.zip": zip_of({"two.zip": zip_of({"tool": image()})})}, "one.zip/two.zip/tool"),
    "app's jar": ({"A.app/Contents/Java/in.jar": zip_of({"tool": image()})}, "A.app/Contents/Java/in.jar/tool"),
}


@pytest.mark.parametrize(("members", "path"), NESTED.values(), ids=NESTED.keys())
def test_archives_in_archives_are_opened(user: NotaryUser, members: Members, path: str) -> None:
    """Unsigned code is found in them, with a path that names each archive on the way, as in public logs."""
    assert ("error", f"a.zip/{path}", NOT_SIGNED) in issues(user, zip_of(members))


def test_signed_code_in_a_nested_archive_is_listed(user: NotaryUser, thin: bytes) -> None:
    """The ticket covers it."""
    log = user.judge(zip_of({"in.jar": zip_of({"tool": thin})}), "a.zip")
    assert log["status"] == "Accepted"
    assert [entry["path"] for entry in log["ticketContents"]] == ["a.zip/in.jar/tool"]


def test_a_damaged_nested_archive_is_a_warning(user: NotaryUser, thin: bytes) -> None:
    """As in the one public case, it alone does not refuse a submission."""
    cut = zip_of({"x": b"some text" * 100})[:-30]
    assert issues(user, zip_of({"tool": thin, "in.zip": cut})) == [("warning", "a.zip/in.zip", 'b"ditto: stdin: No')]


@pytest.mark.parametrize("content", [b"xar!" + bytes(100), bytes(1000) + b"koly" + bytes(508)], ids=["pkg", "dmg"])
def test_what_is_not_opened_is_refused(user: NotaryUser, content: bytes) -> None:
    """Apple opens packages and images, a rehearsal does not: it never says that their insides are good."""
    assert issues(user, zip_of({"in": content})) == [("error", "a.zip/in", NOT_OPENED)]
    assert issues(user, content, "a.pkg") == [("error", "a.pkg", NOT_OPENED)]


def test_too_many_archives_in_one_another(user: NotaryUser) -> None:
    """Ten levels are refused, not silently left alone."""
    data = image()
    for number in range(10):
        data = zip_of({f"{number}": data})
    assert [message for _, _, message in issues(user, data)] == [NOT_OPENED]


def raw_zip(*entries: tuple[str, bytes, int], flags: int = 0, method: int = 0) -> bytes:
    """A zip with these names and modes as they are, which the library's writer would not all make."""
    out, central = b"", b""
    for name, data, mode in entries:
        encoded = name.encode("utf-8", "surrogateescape")
        sizes = struct.pack("<3I2H", zlib.crc32(data), len(data), len(data), len(encoded), 0)
        local = struct.pack("<I5H", 0x04034B50, 20, flags, method, 0, 0x21) + sizes + encoded
        central += (
            struct.pack("<I6H", 0x02014B50, 0x0314, 20, flags, method, 0, 0x21)
            + sizes
            + struct.pack("<3H2I", 0, 0, 0, mode << 16, len(out))
            + encoded
        )
        out += local + data
    end = struct.pack("<I4H2IH", 0x06054B50, 0, 0, len(entries), len(entries), len(central), len(out), 0)
    return out + central + end


FILE, LINK, PIPE = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o755, stat.S_IFIFO | 0o644
HOSTILE = {
    "a way out": raw_zip(("../out", b"x", FILE)),
    "a way out below": raw_zip(("a/../../out", b"x", FILE)),
    "an absolute name": raw_zip(("/tmp/out", b"x", FILE)),
    "a name with a backslash": raw_zip(("..\\out", b"x", FILE)),
    "a dot": raw_zip(("a/./b", b"x", FILE)),
    "the same name twice": raw_zip(("a", b"x", FILE), ("a", b"y", FILE)),
    "a file below a link": raw_zip(("a", b"/etc", LINK), ("a/passwd", b"x", FILE)),
    "a file below a file": raw_zip(("a", b"x", FILE), ("a/b", b"x", FILE)),
    "a pipe": raw_zip(("a", b"", PIPE)),
    "an encrypted entry": raw_zip(("a", b"x", FILE), flags=1),
    "another compression": raw_zip(("a", b"x", FILE), method=12),
    "a name that is no UTF-8": raw_zip(("a\udcff", b"x", FILE)),
    "a wrong checksum": raw_zip(("a", b"text", FILE)).replace(b"text", b"TEXT"),
    "a cut end": zip_of({"a": b"x" * 1000})[:-10],
    "no archive": b"just text",
    "nothing": b"",
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_whole(
    user: NotaryUser, rehearsal: Rehearsal, tmp_path: Path, archive: bytes
) -> None:
    """One error about the archive, no crash, and no file anywhere but in the rehearsal's own places."""
    assert issues(user, archive) == [("error", "a.zip", NOT_OPENED)]
    assert [path.name for path in tmp_path.iterdir()] == ["rehearsal"]
    (submission,) = rehearsal.state.submissions()
    place = rehearsal.state.object_path(submission.bucket, submission.object)
    assert list(place.parent.iterdir()) == [place]
    assert list((tmp_path / "rehearsal" / "work").iterdir()) == [], "what was unpacked is gone"


def test_links_stay_links(user: NotaryUser, thin: bytes) -> None:
    """A link to code is not judged as code, wherever it points."""
    log = user.judge(zip_of({"tool": thin, "link": Symlink("tool"), "out": Symlink("/etc/passwd")}))
    assert [entry["path"] for entry in log["ticketContents"]] == ["tool.zip/tool"]


def test_names_of_unmarked_utf8(user: NotaryUser, thin: bytes) -> None:
    """ditto writes UTF-8 without saying so; the log has the name as it was meant."""
    log = user.judge(raw_zip(("Müll", thin, FILE)))
    assert [entry["path"] for entry in log["ticketContents"]] == ["tool.zip/Müll"]


def test_a_small_archive_that_unpacks_large(tmp_path: Path) -> None:
    """What unpacks to more than there is room for is refused before it fills the disk."""
    (tmp_path / "a.zip").write_bytes(zip_of({"some": bytes(400_000), "more": bytes(700_000)}))
    (tmp_path / "scratch").mkdir()
    file = File(place=tmp_path / "a.zip", size=0)
    with pytest.raises(Broken, match="more than"):
        unpack(file, "a.zip", Scratch(tmp_path / "scratch", room=1_000_000))
    assert sum(path.stat().st_size for path in (tmp_path / "scratch").iterdir()) <= 1_000_000


def test_entries_of_the_zip_module_agree(thin: bytes) -> None:
    """The raw archives of these tests are zips to others too."""
    with zipfile.ZipFile(io.BytesIO(raw_zip(("a", thin, FILE)))) as archive:
        assert archive.testzip() is None
