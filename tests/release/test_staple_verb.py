"""`invoke file.staple` on a bundle, a package and an image: looked up at a service, or from a file."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import images
from builders.hosts import host_with
from builders.submissions import signed_ticket
from builders.workshop import Ran, Workshop

from pipeline.host import SystemClock
from pipeline.rehearsal import Rehearsal
from pipeline.tickets import stapled_ticket

APP = "universal/meshagent.app"


@pytest.fixture
def services(released: Workshop) -> Iterator[Rehearsal]:
    """The services over a release's own rehearsal, which have its ticket."""
    with Rehearsal(released.outputs / "rehearsal", host_with(SystemClock())) as running:
        yield running


def staple(released: Workshop, path: Path, *words: str) -> Ran:
    return released.invoke_plain(
        "file.staple", str(path), "--anchors", str(released.outputs / "rehearsal" / "anchors"), *words
    )


def proved(released: Workshop, path: Path, *words: str) -> Ran:
    anchors = str(released.outputs / "rehearsal" / "anchors")
    return released.invoke_plain("file.ticket", str(path), "--anchors", anchors, *words)


def lookup(services: Rehearsal) -> list[str]:
    assert services.services.tickets_url is not None
    return ["--lookup", services.services.tickets_url]


def test_a_bundle_gets_its_ticket_from_the_service(released: Workshop, services: Rehearsal) -> None:
    """The ticket that was taken away is looked up, stapled where it was, and the release verifies again."""
    place = released.outputs / APP / "Contents" / "CodeResources"
    ticket = place.read_bytes()
    place.unlink()
    ran = staple(released, released.outputs / APP, *lookup(services))
    assert ran.code == 0, ran.err
    assert place.read_bytes() == ticket
    assert released.invoke("verify").code == 0


def test_a_ticket_of_other_bytes_or_a_revoked_one_is_refused(released: Workshop, services: Rehearsal) -> None:
    """Exit 8 for a ticket that does not name the bundle, is revoked or is not there; the old ticket stays."""
    place = released.outputs / APP / "Contents" / "CodeResources"
    ticket = place.read_bytes()
    other = released.outputs / "other.ticket"
    other.write_bytes(signed_ticket(released.outputs, [(2, b"\xab" * 20)]))
    assert staple(released, released.outputs / APP, "--ticket", str(other)).code == 8
    services.levers.tickets_revoked = True
    revoked = staple(released, released.outputs / APP, *lookup(services))
    assert (revoked.code, "revoked" in revoked.err) == (8, True)
    services.levers.tickets_late = 1000
    late = staple(released, released.outputs / APP, *lookup(services))
    assert (late.code, "Error 65" in late.err) == (8, True)
    assert place.read_bytes() == ticket


def test_a_bare_tool_has_no_place(released: Workshop, services: Rehearsal) -> None:
    """Exit 8, with the numbers that stapler gives for it and what its proof is instead; its bytes stay."""
    tool = released.outputs / "universal" / "meshagent"
    before = tool.read_bytes()
    ran = staple(released, tool, *lookup(services))
    assert ran.code == 8
    assert "Error 73 or 66" in ran.err
    assert "beside it" in ran.err
    assert tool.read_bytes() == before


def test_a_package_gets_its_ticket_from_a_file(released: Workshop) -> None:
    """A flat package takes the ticket that names its table of contents, and keeps its own bytes in front of it."""
    table = zlib.compress(b"<xar><toc/></xar>")
    data = struct.pack(">4sHHQQI", b"xar!", 28, 1, len(table), 17, 1) + table + bytes(100)
    package, ticket = released.folder / "tool.pkg", released.folder / "tool.ticket"
    package.write_bytes(data)
    ticket.write_bytes(signed_ticket(released.outputs, [(1, hashlib.sha1(table).digest())]))
    ran = staple(released, package, "--ticket", str(ticket))
    assert ran.code == 0, ran.err
    assert stapled_ticket(package) == ticket.read_bytes()
    assert package.read_bytes().startswith(data)


def test_an_unsigned_image_gets_its_ticket(released: Workshop) -> None:
    """The notary takes an image that is not signed, and its ticket names that; another's ticket is refused: exit 8."""
    image, ticket = released.folder / "tool.dmg", released.folder / "image.ticket"
    image.write_bytes(images.unsigned())
    ticket.write_bytes(signed_ticket(released.outputs, [(2, bytes(20))]))
    ran = staple(released, image, "--ticket", str(ticket))
    assert (ran.code, "does not name" in ran.err) == (8, True)
    assert image.read_bytes() == images.unsigned()
    ticket.write_bytes(signed_ticket(released.outputs, [(2, images.unsigned_cdhash())]))
    ran = staple(released, image, "--ticket", str(ticket))
    assert ran.code == 0, ran.err
    assert stapled_ticket(image) == ticket.read_bytes()
    assert "itself" in proved(released, image).out
    other = released.folder / "other.dmg"
    other.write_bytes(b"other" + images.unsigned())
    not_named = proved(released, image, "--for", str(other))
    assert (not_named.code, "does not name" in not_named.err) == (9, True)
