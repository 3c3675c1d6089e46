"""Where a ticket is kept: read from, and stapled to, a bundle, a flat package or a disk image.

In a bundle it is the regular file `Contents/CodeResources`, which the seal leaves out, so that stapling breaks no
signature (Apple's Security, notarization.cpp). A bare Mach-O file and a zip have no place for one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import MalformedFile, StapleError, VerificationError
from pipeline.host import Files
from pipeline.host.files import open_regular
from pipeline.tickets.image import image_hashes, is_image, read_image_ticket, staple_image
from pipeline.tickets.package import is_package, package_hashes, read_package_ticket, staple_package
from pipeline.tickets.s8ch import LARGEST_TICKET, MAGIC, TicketHash, verify_coverage, verify_ticket

_MAGIC_IN_BASE64 = base64.b64encode(MAGIC)[:4]
# Base64 of a ticket is a third larger, line ends included.
_LARGEST_TICKET_FILE = 2 * LARGEST_TICKET


def staple_bundle(
    files: Files, bundle: Path, ticket: bytes, *, roots: Sequence[bytes], cdhashes: Sequence[str]
) -> None:
    """Staple a ticket to a bundle with a `Contents` folder, if it is genuine and names these CDHashes of the bundle.

    It appears by one rename in place of an older one or of a link (which macOS would not read), and is read back.
    Whatever fails, the older ticket stays. Raises StapleError; HostRefused where the folder cannot be written.
    """
    place = _place(bundle)
    if bundle.is_symlink() or place.parent.is_symlink() or not place.parent.is_dir():
        raise StapleError(
            "no bundle with a Contents folder: there is no place for a ticket",
            where=str(bundle),
            remedy="only apps and other bundles, flat packages and disk images can be stapled",
        )
    if place.is_dir() and not place.is_symlink():
        raise StapleError("a folder stands where the ticket belongs", where=str(place), remedy="remove it")
    try:
        verify_coverage(verify_ticket(ticket, roots), cdhashes)
    except VerificationError as error:
        raise StapleError(error.message, where=str(bundle), remedy=error.remedy) from error
    files.write(place, ticket)
    if stapled_ticket(bundle) != ticket:
        raise StapleError("the ticket did not read back as it was written", where=str(place), remedy="staple again")


def is_container(path: Path) -> bool:
    """Is it a flat package or a disk image?"""
    with open_regular(path) as stream:
        return is_package(stream) or is_image(stream)


def container_hashes(path: Path) -> tuple[TicketHash, ...]:
    """The hashes by which a ticket names a flat package or a disk image; StapleError for what is neither."""
    hashes, _ = _container(path)
    return hashes


def staple_container(files: Files, path: Path, output: Path, ticket: bytes, *, roots: Sequence[bytes]) -> None:
    """Staple a ticket to a flat package or a disk image, if it is genuine and names it; `output` may be `path`.

    It appears by one rename, and is read back. Raises StapleError for what is neither, and for another's ticket.
    """
    hashes, write = _container(path)
    try:
        genuine = verify_ticket(ticket, roots)
        for one in hashes:
            verify_coverage(genuine, [one.hash], one.type)
    except VerificationError as error:
        raise StapleError(error.message, where=str(path), remedy=error.remedy) from error
    write(files, path, output, ticket)
    if stapled_ticket(output) != ticket:
        raise StapleError("the ticket did not read back as it was written", where=str(output), remedy="staple again")


def _container(path: Path) -> tuple[tuple[TicketHash, ...], Callable[[Files, Path, Path, bytes], None]]:
    with open_regular(path) as stream:
        if is_package(stream):
            return package_hashes(stream, str(path)), staple_package
        if is_image(stream):
            return image_hashes(stream, str(path)), staple_image
    raise StapleError(
        "neither a bundle, a flat package nor a disk image: there is no place for a ticket (what stapler calls Error "
        "73 or 66)",
        where=str(path),
        remedy="Gatekeeper looks up a bare tool's ticket online; offline, a ticket kept beside it is the proof",
    )


def stapled_ticket(path: Path) -> bytes | None:
    """The bytes of the ticket stapled to a bundle, flat package or disk image; None where there is none.

    They are not judged here: `verify_ticket` does that. A bare Mach-O file or an archive has none. Raises MalformedFile
    where the place of the ticket is broken, HostRefused where the file cannot be read.
    """
    if path.is_dir():
        place = _place(path)
        if place.is_symlink() or not place.is_file():
            return None
        return _read(place, LARGEST_TICKET)
    with open_regular(path) as stream:
        if is_package(stream):
            return read_package_ticket(stream, str(path))
        return read_image_ticket(stream, str(path)) if is_image(stream) else None


def load_ticket(path: Path) -> bytes | None:
    """The ticket stapled to this file or bundle, or the ticket that this file is, raw or in base64; None if neither."""
    if path.is_dir():
        return stapled_ticket(path)
    with open_regular(path) as stream:
        start = stream.read(64)
    if start.startswith(MAGIC):
        return _read(path, LARGEST_TICKET)
    if start.lstrip().startswith(_MAGIC_IN_BASE64):
        return _decode(path)
    return stapled_ticket(path)


def _place(bundle: Path) -> Path:
    return bundle / "Contents" / "CodeResources"


def _read(path: Path, limit: int) -> bytes:
    with open_regular(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise MalformedFile(f"not a notarization ticket: larger than {limit} bytes", where=str(path))
    return data


def _decode(path: Path) -> bytes:
    text = _read(path, _LARGEST_TICKET_FILE)
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise MalformedFile("neither a notarization ticket nor one in base64", where=str(path)) from error
