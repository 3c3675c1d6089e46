"""Code inside archives of a bundle: told, or signed in a new archive with everything else as it was."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import plistlib
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from builders import bundles, mach
from builders.signed_bundles import DEVELOPER, sign_told

from pipeline.codesign.options import SigningOptions
from pipeline.disk import sign_bundle, verify_path
from pipeline.disk.archive import demand_members
from pipeline.disk.bundle_archives import archived_code_hashes, code_in_archive, is_archive, sign_archive
from pipeline.errors import HostRefused, MalformedFile, NotSupported, VerificationError
from pipeline.host import Files

CLASS = b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d" + bytes(60)


def archive(members: dict[str, bytes], *, prefix: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for number, (name, content) in enumerate(members.items()):
            member = zipfile.ZipInfo(name, (2001 + number, 2, 3, 4, 6, 8))
            member.external_attr = (0o100755 if number % 2 else 0o100644) << 16
            member.compress_type = zipfile.ZIP_STORED if number % 3 else zipfile.ZIP_DEFLATED
            opened.writestr(member, content)
        opened.comment = b"made by hand"
    return prefix + stream.getvalue()


JAR = {
    "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n",
    "a/Main.class": CLASS,
    "native/": b"",
    "native/libx.dylib": bundles.universal("dylib"),
    "native/helper": bundles.universal(),
    "data.bin": bytes(range(256)) * 300,
}


def test_code_in_archives_is_told(tmp_path: Path) -> None:
    """Without being asked to, signing leaves archives alone, and tells what is in them; others are not mentioned."""
    bundle = bundles.app(
        tmp_path,
        files={
            "Contents/Resources/app.jar": archive(JAR),
            "Contents/Resources/data.zip": archive({"a.txt": b"a"}),
            "Contents/Resources/short.zip": archive({"magic": bytes.fromhex("cffaedfe")}),
            "Contents/Resources/broken.zip": b"PK\x03\x04" + b"\xff" * 50,
            "Contents/Resources/outer.zip": archive({"inner.jar": archive(JAR)}),
        },
    )
    signed = tmp_path / "signed" / bundle.name
    told = sign_told(bundle, signed)
    assert dict(told).keys() == {
        "Contents/Resources/app.jar",
        "Contents/Resources/broken.zip",
        "Contents/Resources/outer.zip",
    }
    assert len(told) == 3
    assert "cannot be looked into" in dict(told)["Contents/Resources/broken.zip"]
    assert "native/libx.dylib, native/helper" in dict(told)["Contents/Resources/app.jar"]
    assert "inner.jar" in dict(told)["Contents/Resources/outer.zip"]
    assert (signed / "Contents/Resources/app.jar").read_bytes() == archive(JAR)


def test_code_in_archives_is_signed(tmp_path: Path) -> None:
    """Asked to, it signs the code in an archive, and the seal covers the new one; other members stay as they were."""
    bundle = bundles.app(tmp_path, files={"Contents/Resources/app.jar": archive(JAR)})
    signed = tmp_path / "signed" / bundle.name
    assert sign_told(bundle, signed, archives=True) == []
    assert verify_path(signed, anchors=DEVELOPER.anchors)
    before, after = (zipfile.ZipFile(folder / "Contents/Resources/app.jar") for folder in (bundle, signed))
    with before, after:
        assert after.namelist() == before.namelist()
        assert after.comment == before.comment
        assert after.testzip() is None
        for one, other in zip(before.infolist(), after.infolist(), strict=True):
            assert (one.date_time, one.external_attr, one.compress_type) == (
                other.date_time,
                other.external_attr,
                other.compress_type,
            )
            if one.filename in ("native/libx.dylib", "native/helper"):
                (tmp_path / "code").write_bytes(after.read(other))
                found = verify_path(tmp_path / "code", anchors=DEVELOPER.anchors)
                assert {(slice_.team, slice_.identifier) for slice_ in found} == {
                    ("ABCDE12345", one.filename.removeprefix("native/").removesuffix(".dylib"))
                }
            else:
                assert before.read(one) == after.read(other)


def test_a_wheels_record_is_brought_up_to_date(tmp_path: Path) -> None:
    """pip checks a wheel by its RECORD, so the lines of the signed files hold their new hashes and sizes."""
    code = mach.image(kind="bundle")
    record = 'pkg/x.so,sha256=old,1\r\n"pkg/a,b.txt",sha256=kept,2\r\npkg-1.dist-info/RECORD,,\r\n'
    members = {"pkg/x.so": code, "pkg/a,b.txt": b"ab", "pkg-1.dist-info/RECORD": record.encode()}
    wheel = tmp_path / "pkg-1.whl"
    wheel.write_bytes(archive(members))

    def sign_member(path: Path, _name: str) -> None:
        path.write_bytes(b"signed")

    assert sign_archive(Files(), wheel, wheel, sign_member) == ("pkg/x.so",)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"signed").digest()).rstrip(b"=").decode()
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("pkg-1.dist-info/RECORD").decode() == record.replace("sha256=old,1", f"sha256={digest},6")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(archive({**JAR, "META-INF/KEY.SF": b""}), "signed jar", id="signed jar"),
        pytest.param(archive(JAR, prefix=b"JM\x01\x00"), "jmod", id="jmod"),
        pytest.param(archive({"inner.zip": archive(JAR)}), "archive in an archive", id="archive in an archive"),
    ],
)
def test_what_cannot_be_signed_in_place_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Where another signature, or another format, would break, nothing is written."""
    path = tmp_path / "archive"
    path.write_bytes(content)
    with pytest.raises(NotSupported, match=reason):
        sign_archive(Files(), path, tmp_path / "output", lambda _path, _name: None)
    assert [one.name for one in tmp_path.iterdir()] == ["archive"]


def test_what_is_an_archive() -> None:
    """Archives are known by how they begin, empty ones and jmods too."""
    assert is_archive(archive(JAR)[:8])
    assert is_archive(archive({})[:8])
    assert is_archive(archive(JAR, prefix=b"JM\x01\x00")[:8])
    assert not is_archive(b"PK")
    assert not is_archive(CLASS[:8])


@pytest.mark.parametrize("cut", [30, 100, 2000])
def test_a_damaged_archive_is_malformed(tmp_path: Path, cut: int) -> None:
    """An archive that is cut short is told as such."""
    path = tmp_path / "archive"
    path.write_bytes(archive(JAR)[:-cut])
    with pytest.raises(MalformedFile):
        code_in_archive(path)


def test_changed_entitlements_are_told(tmp_path: Path) -> None:
    """What signing takes from, gives to, or changes in a file's entitlements is said."""

    def with_entitlements(**values: object) -> SigningOptions:
        return SigningOptions(anchors=DEVELOPER.anchors, entitlements=plistlib.dumps(values))

    bundle = bundles.app(tmp_path)
    first, second = tmp_path / "1" / bundle.name, tmp_path / "2" / bundle.name
    told: list[tuple[str, str]] = []

    def tell(path: str, words: str) -> None:
        told.append((path, words))

    sign_bundle(Files(), bundle, first, with_entitlements(a=True, b=1), DEVELOPER.identity, told=tell)
    sign_bundle(Files(), first, second, with_entitlements(b=2, c="x"), DEVELOPER.identity, told=tell)
    sign_bundle(Files(), second, second, with_entitlements(b=2, c="x"), DEVELOPER.identity, told=tell)
    assert told == [
        ("Contents/MacOS/tool", "entitlements +a=True, +b=1"),
        ("Contents/MacOS/tool", "entitlements -a, b=1→2, +c='x'"),
    ]


def damaged(method: int) -> bytes:
    """An archive whose one member cannot be unpacked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        opened.writestr("m", bytes(100))
    data = bytearray(stream.getvalue())
    # Behind the local header and the name; of lzma's, the version and the size of its properties stay.
    at = 31 + (4 if method == zipfile.ZIP_LZMA else 0)
    data[at : at + 5] = b"\xff" * 5
    return bytes(data)


def nameless() -> bytes:
    data = bytearray(archive({"m": b""}))
    for header, place in ((b"PK\3\4", 26), (b"PK\1\2", 28)):
        data[data.index(header) + place] = 0
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(damaged(zipfile.ZIP_DEFLATED), id="deflate"),
        pytest.param(damaged(zipfile.ZIP_BZIP2), id="bzip2"),
        pytest.param(damaged(zipfile.ZIP_LZMA), id="lzma"),
        pytest.param(nameless(), id="a name of no characters"),
    ],
)
def test_whatever_a_decompressor_stumbles_over_is_a_damaged_archive(tmp_path: Path, data: bytes) -> None:
    """Not a defect of ours, and not a host that refuses: told, with the archive, and passed over where data may be."""
    path = tmp_path / "a.jar"
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match="not an archive that can be read"):
        code_in_archive(path)
    assert archived_code_hashes(tmp_path) == {}
    with pytest.raises(VerificationError):
        demand_members(path, {"m": path}, "a.jar")


def test_two_members_of_one_name_are_not_signed(tmp_path: Path) -> None:
    """Which of them a reader takes is the reader's choice."""
    path = tmp_path / "a.jar"
    with zipfile.ZipFile(path, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened.writestr("tool", bundles.universal())
        opened.writestr("tool", b"another")
    with pytest.raises(MalformedFile, match=r"a\.jar!/tool: two members"):
        sign_archive(Files(), path, tmp_path / "b.jar", lambda _file, _name: None)


def test_an_archive_holds_nothing_that_one_reader_sees_and_another_does_not(tmp_path: Path) -> None:
    """A second entry of a name, and a name in an extra field (Info-ZIP's 0x7075), are refused."""
    tool = tmp_path / "tool"
    tool.write_bytes(b"ours")
    tool.chmod(0o644)

    def entry(extra: bytes = b"") -> zipfile.ZipInfo:
        made = zipfile.ZipInfo("tool")
        made.external_attr, made.extra = 0o100644 << 16, extra
        return made

    def judge(*entries: tuple[zipfile.ZipInfo, bytes]) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for one, content in entries:
                opened.writestr(one, content)
        demand_members(tmp_path / "a.zip", {"tool": tool}, "a.zip")

    judge((entry(), b"ours"))
    with pytest.raises(VerificationError, match="two entries of one name"):
        judge((entry(), b"theirs"), (entry(), b"ours"))
    tool.unlink()
    os.mkfifo(tool, 0o644)
    with pytest.raises(HostRefused, match="no regular file"):
        judge((entry(), b"ours"))
    tool.unlink()
    tool.write_bytes(b"ours")
    another = struct.pack("<BI", 1, zlib.crc32(b"tool")) + b"evil"
    with pytest.raises(VerificationError, match="extra field"):
        judge((entry(struct.pack("<HH", 0x7075, len(another)) + another), b"ours"))
