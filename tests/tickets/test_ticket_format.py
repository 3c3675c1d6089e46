"""The ticket format against six tickets that Apple signed."""

from __future__ import annotations

import base64
import struct
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders.clients import need
from builders.ticket_keys import TicketKeys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MalformedFile, ReleaseError, VerificationError
from pipeline.tickets import (
    Ticket,
    TicketHash,
    build_ticket,
    covers,
    parse_ticket,
    verify_coverage,
    verify_ticket,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "tickets"
TICKETS = {path.stem: base64.b64decode(path.read_bytes()) for path in sorted(VECTORS.glob("*.b64"))}
APPLE_ROOT_G3 = x509.load_pem_x509_certificate((VECTORS / "AppleRootCA-G3.pem").read_bytes()).public_bytes(Encoding.DER)

KEYS = TicketKeys()
OURS = Ticket(
    hashes=(TicketHash(type=2, hash="ab" * 20),),
    time=datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC),
    certificates=KEYS.certificates,
)


@pytest.mark.parametrize("name", TICKETS)
def test_apples_tickets_are_genuine(name: str) -> None:
    """Each of the six tickets verifies against Apple Root CA - G3."""
    assert verify_ticket(TICKETS[name], [APPLE_ROOT_G3]).certificates


@pytest.mark.parametrize("name", TICKETS)
def test_parsing_and_building_are_inverse(name: str) -> None:
    """A parsed ticket builds into the bytes it came from."""
    assert build_ticket(parse_ticket(TICKETS[name])) == TICKETS[name]


@pytest.mark.parametrize(
    ("name", "count", "flags", "day"),
    [
        ("01", 11, 0, "2018-11-04"),
        ("02", 1, 1, "2025-08-07"),
        ("03", 7, 0, "2020-10-03"),
        ("04", 7, 0, "2023-09-17"),
        ("05", 7, 0, "2025-05-25"),
        ("06", 7, 0, "2026-06-17"),
    ],
)
def test_content_is_what_the_sources_say(name: str, count: int, flags: int, day: str) -> None:
    """Number of hashes, flags and date are those that the tickets' sources give."""
    ticket = parse_ticket(TICKETS[name])
    assert (len(ticket.hashes), ticket.flags, f"{ticket.time:%Y-%m-%d}") == (count, flags, day)


def test_a_published_record_is_covered() -> None:
    """The ticket that Apple gave out for a CDHash covers it, in either case of letters, and no other."""
    ticket = verify_ticket(TICKETS["01"], [APPLE_ROOT_G3])
    assert covers(ticket, "4dca04a3465b95866423323d7f3e1e31ad3ac0ef")
    assert covers(ticket, "4DCA04A3465B95866423323D7F3E1E31AD3AC0EF")
    assert not covers(ticket, "4dca04a3465b95866423323d7f3e1e31ad3ac0ee")


def test_a_hash_counts_only_with_its_type() -> None:
    """A package's SHA-1 checksum is not a CDHash."""
    ticket = parse_ticket(TICKETS["03"])
    checksum = next(one.hash for one in ticket.hashes if one.type == 1)
    assert covers(ticket, checksum, 1)
    assert not covers(ticket, checksum)


def test_missing_hashes_are_named() -> None:
    """The error of a ticket that lacks hashes names those, and only those."""
    ticket = parse_ticket(TICKETS["01"])
    present = [one.hash for one in ticket.hashes]
    verify_coverage(ticket, present)
    with pytest.raises(VerificationError, match="c" * 40) as caught:
        verify_coverage(ticket, [*present, "c" * 40])
    assert present[0] not in str(caught.value)


def test_a_revoked_ticket_covers_nothing() -> None:
    """The ticket that its source calls revoked is genuine, says so, and vouches for nothing."""
    ticket = verify_ticket(TICKETS["02"], [APPLE_ROOT_G3])
    assert ticket.revoked
    assert not covers(ticket, ticket.hashes[0].hash)
    with pytest.raises(VerificationError, match="revoked"):
        verify_coverage(ticket, [ticket.hashes[0].hash])


@pytest.mark.parametrize("flags", [4, 5, 1 << 31])
def test_a_flag_that_nobody_knows_vouches_for_nothing(flags: int) -> None:
    """It may say what the flag of a revoked ticket says; that one counts beside others too."""
    ticket = verify_ticket(build_ticket(replace(OURS, flags=flags), KEYS.sign), [KEYS.root])
    assert not covers(ticket, "ab" * 20)
    with pytest.raises(VerificationError, match="revoked" if flags & 1 else "flags 0x"):
        verify_coverage(ticket, [])


@pytest.mark.parametrize("flags", [0, 2])
def test_flags_and_unknown_hash_types_survive(flags: int) -> None:
    """Flags that are seen in published tickets and hash types that nobody knows are kept, and refuse nothing."""
    made = replace(OURS, flags=flags, hashes=(TicketHash(type=9, hash="cd" * 20), *OURS.hashes))
    ticket = verify_ticket(build_ticket(made, KEYS.sign), [KEYS.root])
    assert (ticket.flags, ticket.hashes) == (made.flags, made.hashes)
    assert covers(ticket, "ab" * 20)


@pytest.mark.parametrize("name", TICKETS)
def test_every_changed_bit_is_refused(name: str) -> None:
    """A ticket with any one byte changed is not genuine, wherever the byte is."""
    genuine = TICKETS[name]
    for position in range(len(genuine)):
        changed = bytearray(genuine)
        changed[position] ^= 1 << position % 8
        with pytest.raises(VerificationError):
            verify_ticket(bytes(changed), [APPLE_ROOT_G3])


CERTIFICATES_LENGTH, BODY_LENGTH = struct.unpack_from("<II", TICKETS["01"], 8)
BODY_AT = 16 + CERTIFICATES_LENGTH
SIGNATURE_AT = BODY_AT + BODY_LENGTH


def _put(position: int, new: bytes) -> bytes:
    return TICKETS["01"][:position] + new + TICKETS["01"][position + len(new) :]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"s8ch", id="magic alone"),
        pytest.param(_put(0, b"g8tk"), id="magic"),
        pytest.param(_put(4, b"\x02"), id="version"),
        pytest.param(_put(8, struct.pack("<I", CERTIFICATES_LENGTH + 1)), id="certificates too long"),
        pytest.param(_put(8, struct.pack("<I", CERTIFICATES_LENGTH - 1)), id="certificates too short"),
        pytest.param(_put(8, b"\xff\xff\xff\xff"), id="certificates of 4 GB"),
        pytest.param(_put(8, struct.pack("<II", CERTIFICATES_LENGTH + 1, BODY_LENGTH - 1)), id="lengths shifted"),
        pytest.param(_put(8, struct.pack("<II", CERTIFICATES_LENGTH + BODY_LENGTH, 0)), id="no body"),
        pytest.param(_put(16, b"\x31"), id="certificates not a sequence"),
        pytest.param(_put(17, b"\x84"), id="length of certificates"),
        pytest.param(_put(20, b"\x31"), id="leaf not a sequence"),
        pytest.param(_put(BODY_AT, b"s8ch"), id="body magic"),
        pytest.param(_put(BODY_AT + 4, b"\x03"), id="body version"),
        pytest.param(_put(BODY_AT + 6, b"\x20"), id="hash length"),
        pytest.param(_put(BODY_AT + 8, struct.pack("<I", 10)), id="count too small"),
        pytest.param(_put(BODY_AT + 8, struct.pack("<I", 12)), id="count too large"),
        pytest.param(_put(BODY_AT + 16, b"\xff" * 8), id="time beyond dates"),
        pytest.param(_put(SIGNATURE_AT, b"\x00"), id="signature not a sequence"),
        pytest.param(_put(SIGNATURE_AT + 1, b"\x7f"), id="signature longer than its field"),
        pytest.param(_put(SIGNATURE_AT, b"\x30\x81\x10".ljust(72, b"\0")), id="a length longer than needed"),
        pytest.param(_put(SIGNATURE_AT, b"\x30\x82\x00\x40".ljust(72, b"\0")), id="a length with a zero before it"),
        pytest.param(TICKETS["03"][:-1] + b"\1", id="fill not zero"),
        pytest.param(TICKETS["01"][:-1], id="last byte missing"),
        pytest.param(TICKETS["01"][:SIGNATURE_AT], id="signature missing"),
        pytest.param(TICKETS["01"][: BODY_AT + 10], id="cut in the body"),
        pytest.param(TICKETS["01"] + b"\0", id="a byte more"),
        pytest.param(TICKETS["01"] * 2, id="twice"),
    ],
)
def test_a_broken_structure_is_malformed(broken: bytes) -> None:
    """Every region has its rule, and breaking it is named as such before any signature is looked at."""
    with pytest.raises(MalformedFile, match="not a notarization ticket"):
        parse_ticket(broken)
    with pytest.raises(VerificationError):
        verify_ticket(broken, [APPLE_ROOT_G3])


def test_hashes_of_another_ticket_do_not_fit() -> None:
    """A list of hashes taken from one genuine ticket is refused behind the certificates of another."""
    first, second = parse_ticket(TICKETS["05"]), parse_ticket(TICKETS["04"])
    with pytest.raises(VerificationError, match="does not fit its content"):
        verify_ticket(build_ticket(replace(first, hashes=second.hashes)), [APPLE_ROOT_G3])


def test_our_own_ticket_is_genuine_under_our_root() -> None:
    """A ticket signed by another key verifies against that key's root, and not against Apple's."""
    data = build_ticket(OURS, KEYS.sign)
    assert verify_ticket(data, [APPLE_ROOT_G3, KEYS.root]) == parse_ticket(data)
    with pytest.raises(VerificationError, match="not trusted"):
        verify_ticket(data, [APPLE_ROOT_G3])
    with pytest.raises(VerificationError, match="not trusted"):
        verify_ticket(data, [TicketKeys().root])


def test_a_certificate_for_something_else_signs_no_ticket() -> None:
    """The leaf must carry the extension of ticket signing, even where its chain is trusted."""
    keys = TicketKeys(leaf_extension="1.2.840.113635.100.6.1.13")
    data = build_ticket(replace(OURS, certificates=keys.certificates), keys.sign)
    with pytest.raises(VerificationError, match="not one that signs tickets"):
        verify_ticket(data, [keys.root])


@pytest.mark.parametrize("keys", [TicketKeys(intermediate_is_authority=False), TicketKeys(intermediate_says_so=False)])
def test_an_end_certificate_issues_nothing(keys: TicketKeys) -> None:
    """A chain through a certificate that is no authority, or does not say that it is one, is refused."""
    data = build_ticket(replace(OURS, certificates=keys.certificates), keys.sign)
    with pytest.raises(VerificationError, match="may not issue"):
        verify_ticket(data, [keys.root])


@pytest.mark.parametrize("order", [(1, 0), (0,), (1,), (0, 1, 1)])
def test_the_chain_is_complete_and_in_order(order: tuple[int, ...]) -> None:
    """Certificates missing, doubled or out of order make no chain."""
    certificates = tuple(KEYS.certificates[number] for number in order)
    data = build_ticket(replace(OURS, certificates=certificates), KEYS.sign)
    with pytest.raises(VerificationError):
        verify_ticket(data, [KEYS.root])


@pytest.mark.parametrize("time", [datetime(2024, 12, 31, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)])
def test_validity_is_judged_at_the_tickets_time(time: datetime) -> None:
    """A ticket dated before or after its leaf's life is refused; one dated within it holds for ever."""
    with pytest.raises(VerificationError, match="not valid at the ticket's time"):
        verify_ticket(build_ticket(replace(OURS, time=time), KEYS.sign), [KEYS.root])


def test_a_value_that_does_not_fit_its_field_is_refused() -> None:
    """Building refuses what the format cannot hold."""
    for wrong in (
        replace(OURS, flags=1 << 32),
        replace(OURS, flags=-1),
        replace(OURS, hashes=(TicketHash(type=256, hash="ab" * 20),)),
        replace(OURS, hashes=(TicketHash(type=2, hash="ab" * 32),)),
        replace(OURS, hashes=(TicketHash(type=2, hash="xyz"),)),
        replace(OURS, time=datetime(1969, 12, 31, tzinfo=UTC)),
        replace(OURS, signature=bytes(73)),
    ):
        with pytest.raises(MalformedFile):
            build_ticket(wrong)


@given(
    hashes=st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=20, max_size=20)), max_size=50),
    flags=st.integers(0, 2**32 - 1),
    seconds=st.integers(0, 2**33),
)
def test_any_content_survives(hashes: list[tuple[int, bytes]], flags: int, seconds: int) -> None:
    """Whatever a ticket says is read back as it was written."""
    ticket = replace(
        OURS,
        hashes=tuple(TicketHash(type=kind, hash=digest.hex()) for kind, digest in hashes),
        flags=flags,
        time=datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds),
        signature=b"\x30\x00",
    )
    assert parse_ticket(build_ticket(ticket)) == ticket


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_tickets_raise_nothing_else(data: st.DataObject) -> None:
    """Whatever is cut out of, put into or changed in a ticket, it is refused, and as one of our errors."""
    genuine = TICKETS[data.draw(st.sampled_from(sorted(TICKETS)))]
    start = data.draw(st.integers(0, len(genuine)))
    end = data.draw(st.integers(start, len(genuine)))
    damaged = genuine[:start] + data.draw(st.binary(max_size=64)) + genuine[end:]
    if damaged != genuine:
        with pytest.raises(VerificationError):
            verify_ticket(damaged, [APPLE_ROOT_G3])


@given(st.binary(max_size=400), st.booleans())
def test_noise_raises_nothing_else(noise: bytes, with_header: bool) -> None:
    """Arbitrary bytes, also behind a plausible header, are malformed and nothing else."""
    data = b"s8ch\x01\0\0\0" + noise if with_header else noise
    with pytest.raises(ReleaseError):
        verify_ticket(data, [APPLE_ROOT_G3])


@pytest.mark.openssl
@pytest.mark.parametrize("name", TICKETS)
def test_openssl_agrees(name: str, tmp_path: Path) -> None:
    """OpenSSL verifies the signature over the part that we say is signed, with the leaf that we take out."""
    openssl = need("openssl")
    ticket = parse_ticket(TICKETS[name])
    (tmp_path / "leaf.der").write_bytes(ticket.certificates[0])
    (tmp_path / "signature").write_bytes(ticket.signature)
    (tmp_path / "signed").write_bytes(TICKETS[name][:-72])
    key = subprocess.run(
        [openssl, "x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-pubkey"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    ).stdout
    (tmp_path / "key.pem").write_bytes(key)
    answer = subprocess.run(
        [openssl, "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == "Verified OK"
