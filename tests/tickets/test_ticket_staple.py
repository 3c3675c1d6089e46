"""Where tickets are kept: bundles, packages, disk images, ticket files."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import subprocess
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import images
from builders.clients import need
from builders.ticket_keys import TicketKeys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import HostRefused, MalformedFile, StapleError
from pipeline.host import Files
from pipeline.tickets import (
    Ticket,
    TicketHash,
    build_ticket,
    container_hashes,
    is_container,
    load_ticket,
    parse_ticket,
    staple_bundle,
    staple_container,
    stapled_ticket,
)
from pipeline.tickets.image import staple_image
from pipeline.tickets.package import staple_package

VECTORS = Path(__file__).parents[1] / "vectors" / "tickets"
TICKET, OLDER, REVOKED = (base64.b64decode((VECTORS / name).read_bytes()) for name in ("06.b64", "05.b64", "02.b64"))
ROOTS = [x509.load_pem_x509_certificate((VECTORS / "AppleRootCA-G3.pem").read_bytes()).public_bytes(Encoding.DER)]
COVERED = [one.hash for one in parse_ticket(TICKET).hashes if one.type == 2]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "Tool.app" / "Contents").mkdir(parents=True)
    return tmp_path / "Tool.app"


def staple(bundle: Path, ticket: bytes = TICKET, cdhashes: list[str] = COVERED) -> None:
    staple_bundle(Files(), bundle, ticket, roots=ROOTS, cdhashes=cdhashes)


def test_a_bundle_keeps_its_ticket_where_macos_looks(bundle: Path) -> None:
    """The ticket becomes the regular file Contents/CodeResources, and nothing else appears."""
    staple(bundle)
    place = bundle / "Contents" / "CodeResources"
    assert place.read_bytes() == TICKET
    assert [path.name for path in (bundle / "Contents").iterdir()] == ["CodeResources"]
    assert stapled_ticket(bundle) == TICKET


def test_an_older_ticket_is_replaced(bundle: Path) -> None:
    """Stapling again leaves the newer ticket alone in its place."""
    (bundle / "Contents" / "CodeResources").write_bytes(OLDER)
    staple(bundle)
    assert stapled_ticket(bundle) == TICKET


def test_a_link_is_replaced_not_followed(bundle: Path, tmp_path: Path) -> None:
    """A link at the ticket's place (bundles of Mac OS X 10.5 had one) gives way; its target is untouched."""
    seal = tmp_path / "seal"
    seal.write_bytes(b"seal")
    place = bundle / "Contents" / "CodeResources"
    place.symlink_to(seal)
    assert stapled_ticket(bundle) is None
    staple(bundle)
    assert (place.is_symlink(), place.read_bytes(), seal.read_bytes()) == (False, TICKET, b"seal")


@pytest.mark.parametrize(
    ("ticket", "cdhashes", "reason"),
    [
        pytest.param(TICKET[:-1], COVERED, "not a notarization ticket", id="cut"),
        pytest.param(TICKET[:200] + b"!" + TICKET[201:], COVERED, "not genuine", id="changed"),
        pytest.param(REVOKED, [parse_ticket(REVOKED).hashes[0].hash], "revoked", id="revoked"),
        pytest.param(TICKET, [*COVERED, "d" * 40], "d" * 40, id="of other bytes"),
    ],
)
def test_a_failed_staple_leaves_the_older_ticket(bundle: Path, ticket: bytes, cdhashes: list[str], reason: str) -> None:
    """A ticket that is not genuine, revoked, or of another submission is refused, and the one in place stays."""
    (bundle / "Contents" / "CodeResources").write_bytes(OLDER)
    with pytest.raises(StapleError, match=reason):
        staple(bundle, ticket, cdhashes)
    assert stapled_ticket(bundle) == OLDER


def test_a_failing_disk_leaves_the_older_ticket(bundle: Path) -> None:
    """Where the new file cannot be written, the older ticket stays and nothing half-written is left."""
    place = bundle / "Contents" / "CodeResources"
    place.write_bytes(OLDER)
    (bundle / "Contents" / f".CodeResources.{os.getpid()}.new").mkdir()
    with pytest.raises(HostRefused):
        staple(bundle)
    assert place.read_bytes() == OLDER


def test_what_has_no_place_is_refused(tmp_path: Path, bundle: Path) -> None:
    """A bare file, a flat bundle, a link to a bundle and a folder in the ticket's place are refused, and say why."""
    bare = tmp_path / "tool"
    bare.write_bytes(b"\xcf\xfa\xed\xfe")
    flat = tmp_path / "Flat.app"
    flat.mkdir()
    link = tmp_path / "Link.app"
    link.symlink_to(bundle)
    for path in (bare, flat, link, tmp_path / "absent.app"):
        with pytest.raises(StapleError, match="no place for a ticket"):
            staple(path)
    (bundle / "Contents" / "CodeResources").mkdir()
    with pytest.raises(StapleError, match="a folder stands"):
        staple(bundle)


def test_a_huge_file_is_no_ticket(bundle: Path) -> None:
    """What stands in the ticket's place is read with a limit."""
    with (bundle / "Contents" / "CodeResources").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(MalformedFile):
        stapled_ticket(bundle)


def test_ticket_files(tmp_path: Path) -> None:
    """A ticket file is read raw or in base64, in lines or not; a file that is none gives nothing."""
    for number, content in enumerate(
        [TICKET, base64.b64encode(TICKET), base64.encodebytes(TICKET), b"\n" + base64.b64encode(TICKET) + b"\r\n"]
    ):
        (tmp_path / f"{number}.ticket").write_bytes(content)
        assert load_ticket(tmp_path / f"{number}.ticket") == TICKET
    (tmp_path / "empty").write_bytes(b"")
    assert load_ticket(tmp_path / "empty") is None
    text = base64.b64encode(TICKET)
    for broken in (text[:-3] + b"*", text + b"*", text[:100] + b"*" + text[100:]):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(MalformedFile):
            load_ticket(tmp_path / "broken")
    with pytest.raises(HostRefused):
        load_ticket(tmp_path / "absent")


# The last bytes of Karabiner-DriverKit-VirtualHIDDevice-7.3.0.pkg, which Apple's stapler wrote behind its ticket of
# 1,779 bytes; and the terminator in front of it.
STAPLERS_TRAILER = bytes.fromhex("74386c720100 0200 f3060000 00000000")
STAPLERS_TERMINATOR = bytes.fromhex("74386c720100 0100 00000000 00000000")
ARCHIVE = b"xar!\x00\x1c\x00\x01" + bytes(range(256)) * 8


def test_a_package_is_stapled_as_staplers_are(tmp_path: Path) -> None:
    """The records behind a package are byte for byte those of a package that Apple's stapler wrote."""
    package, stapled = tmp_path / "a.pkg", tmp_path / "b.pkg"
    package.write_bytes(ARCHIVE)
    assert stapled_ticket(package) is None
    staple_package(Files(), package, stapled, TICKET)
    assert stapled.read_bytes() == ARCHIVE + STAPLERS_TERMINATOR + TICKET + STAPLERS_TRAILER
    assert stapled_ticket(stapled) == load_ticket(stapled) == TICKET
    assert package.read_bytes() == ARCHIVE


def test_a_stapled_package_is_stapled_anew(tmp_path: Path) -> None:
    """Older records give way to the newer ticket, also in place."""
    package = tmp_path / "a.pkg"
    package.write_bytes(ARCHIVE)
    staple_package(Files(), package, package, OLDER)
    staple_package(Files(), package, package, TICKET)
    assert package.read_bytes() == ARCHIVE + STAPLERS_TERMINATOR + TICKET + STAPLERS_TRAILER
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkg"]


def test_a_record_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    """macOS skips records of kinds that it does not know, and so do we."""
    package = tmp_path / "a.pkg"
    other = b"data" + struct.pack("<4sHHII", b"t8lr", 1, 7, 4, 0)
    package.write_bytes(ARCHIVE + STAPLERS_TERMINATOR + TICKET + STAPLERS_TRAILER + other)
    assert stapled_ticket(package) == TICKET


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(TICKET + STAPLERS_TRAILER, id="no terminator"),
        pytest.param(STAPLERS_TERMINATOR + TICKET + struct.pack("<4sHHII", b"t8lr", 1, 2, 1 << 31, 0), id="too long"),
        pytest.param(STAPLERS_TERMINATOR + TICKET + struct.pack("<4sHHII", b"t8lr", 9, 2, 1779, 0), id="version"),
    ],
)
def test_broken_records_are_told(tmp_path: Path, tail: bytes) -> None:
    """Records that contradict themselves are an error, not the absence of a ticket."""
    package = tmp_path / "a.pkg"
    package.write_bytes(ARCHIVE + tail)
    with pytest.raises(MalformedFile):
        stapled_ticket(package)


def test_an_image_keeps_its_ticket_in_its_signature(tmp_path: Path) -> None:
    """The ticket goes into slot 0x10002; data and other blobs stay, and the trailer tells the new length."""
    directory = struct.pack(">II", 0xFADE0C02, 16) + b"hashing!"
    signature = struct.pack(">III", 0xFADE0CC0, 36, 1) + struct.pack(">II", 0, 20) + directory
    image = tmp_path / "a.dmg"
    image.write_bytes(images.DATA + signature + images.trailer(len(images.DATA), len(signature)))
    assert stapled_ticket(image) is None
    staple_image(Files(), image, image, OLDER)
    staple_image(Files(), image, image, TICKET)
    data = image.read_bytes()
    expected_length = 12 + 2 * 8 + len(directory) + 8 + len(TICKET)
    assert data[:1024] == images.DATA
    assert data[-512:] == images.trailer(1024, expected_length)
    assert struct.unpack_from(">7I", data, 1024) == (0xFADE0CC0, expected_length, 2, 0, 28, 0x10002, 44)
    assert data[1024 + 28 : 1024 + 44] == directory
    assert data[1024 + 44 : -512] == struct.pack(">II", 0xFADE0B01, 8 + len(TICKET)) + TICKET
    assert stapled_ticket(image) == TICKET


def test_a_huge_signature_is_not_read(tmp_path: Path) -> None:
    """An image that says it has one of more than any real one is malformed; it is not read to find that out."""
    image, length = tmp_path / "a.dmg", 1 << 40
    with image.open("wb") as stream:
        stream.write(images.DATA)
        stream.truncate(len(images.DATA) + length)
        stream.seek(0, os.SEEK_END)
        stream.write(images.trailer(len(images.DATA), length))
    with pytest.raises(MalformedFile, match="disk image's signature"):
        stapled_ticket(image)


@pytest.mark.parametrize("ticket", [struct.pack(">2I", 0xFADE0B02, 12) + b"s8ch", struct.pack(">2I", 0xFADE0B01, 8)])
def test_a_slot_that_holds_no_ticket_is_told(tmp_path: Path, ticket: bytes) -> None:
    """A blob of another kind, with the image's name; an empty one is read as what it is."""
    signature = struct.pack(">5I", 0xFADE0CC0, 20 + len(ticket), 1, 0x10002, 20) + ticket
    image = tmp_path / "a.dmg"
    image.write_bytes(images.DATA + signature + images.trailer(len(images.DATA), len(signature)))
    if ticket.endswith(b"s8ch"):
        with pytest.raises(MalformedFile, match=r"a\.dmg: a blob of kind 0xfade0b02"):
            stapled_ticket(image)
    else:
        assert stapled_ticket(image) == b""


def test_an_unsigned_image_gets_a_signature_of_the_ticket_alone(tmp_path: Path) -> None:
    """As published images have it that were notarized without being signed; their tickets name them all the same."""
    image = tmp_path / "a.dmg"
    image.write_bytes(images.unsigned())
    assert stapled_ticket(image) is None
    own = our_ticket(TicketHash(type=2, hash=images.unsigned_cdhash().hex()))
    for _ in range(2):
        staple_container(Files(), image, image, own, roots=[KEYS.root])
        signature = struct.pack(">5I", 0xFADE0CC0, 28 + len(own), 1, 0x10002, 20)
        signature += struct.pack(">2I", 0xFADE0B01, 8 + len(own)) + own
        assert image.read_bytes() == images.DATA + signature + images.trailer(1024, len(signature))
    with pytest.raises(StapleError, match="does not name"):
        staple_container(Files(), image, image, our_ticket(TicketHash(type=2, hash="ab" * 20)), roots=[KEYS.root])


# Header and compressed table of contents of a package, as xar(1) lays them out: 28 bytes, then the table.
TABLE = zlib.compress(b"<xar><toc/></xar>")
PACKAGE = struct.pack(">4sHHQQI", b"xar!", 28, 1, len(TABLE), 17, 1) + TABLE + bytes(100)
KEYS = TicketKeys()


def our_ticket(*hashes: TicketHash, flags: int = 0) -> bytes:
    made = Ticket(hashes=hashes, time=datetime(2025, 6, 1, tzinfo=UTC), certificates=KEYS.certificates, flags=flags)
    return build_ticket(made, KEYS.sign)


def test_a_package_is_stapled_with_its_own_ticket(tmp_path: Path) -> None:
    """A ticket that names the package's checksum is stapled; another's or a revoked one is not, and the older stays."""
    package = tmp_path / "a.pkg"
    package.write_bytes(PACKAGE)
    own = TicketHash(type=1, hash=hashlib.sha1(TABLE).hexdigest())
    staple_container(Files(), package, package, our_ticket(own), roots=[KEYS.root])
    before = package.read_bytes()
    for wrong in (our_ticket(own, flags=1), our_ticket(TicketHash(type=2, hash=own.hash)), TICKET):
        with pytest.raises(StapleError):
            staple_container(Files(), package, package, wrong, roots=[KEYS.root])
    assert package.read_bytes() == before


@pytest.mark.parametrize(("algorithm", "length"), [(0, len(TABLE)), (2, len(TABLE)), (99, len(TABLE)), (1, 1 << 40)])
def test_a_package_that_no_ticket_can_name_is_malformed(tmp_path: Path, algorithm: int, length: int) -> None:
    """Without a checksum, with one of MD5 or of an unknown kind, with a table of contents of a terabyte."""
    package = tmp_path / "a.pkg"
    package.write_bytes(struct.pack(">4sHHQQI", b"xar!", 28, 1, length, 17, algorithm) + TABLE + bytes(100))
    assert is_container(package)
    with pytest.raises(MalformedFile, match=r"a\.pkg: a flat package with checksums of kind"):
        container_hashes(package)


def test_an_image_is_stapled_with_its_own_ticket(tmp_path: Path) -> None:
    """A ticket that names the CDHash of the image's signature is stapled; another's is not."""
    directory = struct.pack(">2I", 0xFADE0C02, 44 + 2 + 32) + struct.pack(
        ">7I4BI", 0x20001, 2, 46, 44, 0, 1, 1024, 32, 2, 0, 0, 0
    )
    directory += b"a\0" + hashlib.sha256(images.DATA).digest()
    signature = struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory
    image = tmp_path / "a.dmg"
    image.write_bytes(images.DATA + signature + images.trailer(len(images.DATA), len(signature)))
    own = TicketHash(type=2, hash=hashlib.sha256(directory).hexdigest()[:40])
    staple_container(Files(), image, tmp_path / "b.dmg", our_ticket(own), roots=[KEYS.root])
    assert stapled_ticket(tmp_path / "b.dmg") == our_ticket_of(tmp_path / "b.dmg")
    with pytest.raises(StapleError, match="does not name"):
        staple_container(Files(), image, image, our_ticket(TicketHash(type=2, hash="ab" * 20)), roots=[KEYS.root])


def our_ticket_of(path: Path) -> bytes:
    """What stands between the last wrapper's header and the image's trailer."""
    data = path.read_bytes()
    return data[data.rindex(b"\xfa\xde\x0b\x01") + 8 : -512]


def test_another_file_is_no_container(tmp_path: Path) -> None:
    """What is neither package nor image has no place for a ticket."""
    (tmp_path / "tool").write_bytes(b"\xcf\xfa\xed\xfe" + bytes(1000))
    assert not is_container(tmp_path / "tool")
    with pytest.raises(StapleError, match="no place"):
        staple_container(Files(), tmp_path / "tool", tmp_path / "tool", TICKET, roots=ROOTS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, 2000))
def test_damaged_images_raise_nothing_else(tmp_path: Path, noise: bytes, at: int, length: int) -> None:
    """Whatever a disk image's trailer and signature say, reading it gives an answer or one of our errors."""
    image = tmp_path / "a.dmg"
    body = images.DATA + struct.pack(">I", 0xFADE0CC0) + noise
    image.write_bytes(body + images.trailer(1024 if at % 2 else at, len(body) - 1024 if at % 2 else length))
    with suppress(MalformedFile):
        assert stapled_ticket(image) is None


@pytest.mark.rcodesign
def test_rcodesign_reads_a_stapled_image(tmp_path: Path) -> None:
    """An image signed by rcodesign keeps a signature that rcodesign reads, with the ticket's slot in it."""
    rcodesign = need("rcodesign")
    image = tmp_path / "a.dmg"
    image.write_bytes(images.DATA + images.trailer(0, 0))
    subprocess.run([rcodesign, "sign", image], check=True, capture_output=True)
    staple_image(Files(), image, image, TICKET)
    shown = subprocess.run(
        [rcodesign, "print-signature-info", image], check=True, capture_output=True, text=True
    ).stdout
    assert "0x10002" in shown or "Ticket" in shown
