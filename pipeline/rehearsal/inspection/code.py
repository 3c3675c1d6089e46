"""One Mach-O file held against the rules: what each slice breaks, and the CDHashes it goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.rehearsal.inspection import signature as embedded
from pipeline.rehearsal.inspection.archive import File
from pipeline.rehearsal.inspection.cms import Signer, verify_code_signature, verify_timestamp
from pipeline.rehearsal.inspection.entitlements import requests_get_task_allow, syntax_error
from pipeline.rehearsal.inspection.findings import Broken, Finding, Rule
from pipeline.rehearsal.inspection.image import MACOS, MH_EXECUTE, Slice, slices_of
from pipeline.rehearsal.inspection.signature import Signature, read_signature, verify_digests
from pipeline.rehearsal.inspection.trust import Roots, Untrusted, demand_developer_id, path_to_root

_SDK_10_9 = 0x000A0900
_LARGEST_INFO_PLIST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One slice; `signature` is None where there is none, or where `damage` says why it cannot be read."""

    image: Slice
    signature: Signature | None
    damage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What a bundle adds to its main executable: contents of special slots, and what is wrong with it, if anything."""

    info_plist: bytes
    seal: bytes | None
    damage: str | None


def read_code(file: File) -> tuple[Code, ...] | None:
    """The slices that are meant to run; None where the file is no Mach-O or never run. Raises Broken."""
    slices = slices_of(file.place, file.size)
    if slices is None:
        return None
    return tuple(_read(one) for one in slices if one.is_runnable) or None


def _read(image: Slice) -> Code:
    if image.signature is None:
        return Code(image=image, signature=None)
    try:
        return Code(image=image, signature=read_signature(image))
    except Broken as error:
        return Code(image=image, signature=None, damage=str(error))


def findings(code: Code, sealing: Sealing | None, roots: Roots, now: datetime) -> Iterator[Finding]:
    """Every rule that this slice breaks, in the order of the logs."""
    image, signature = code.image, code.signature
    is_executable = image.filetype == MH_EXECUTE
    if signature is None:
        yield Finding(rule=Rule.VALID if code.damage else Rule.SIGNED, reason=code.damage or "no LC_CODE_SIGNATURE")
        yield Finding(rule=Rule.TIMESTAMP, reason="no signature")
        if is_executable:
            yield Finding(rule=Rule.HARDENED_RUNTIME, reason="no signature")
    else:
        yield from _signed(image, signature, sealing, roots, now)
        if is_executable and not signature.best.flags & embedded.RUNTIME:
            yield Finding(rule=Rule.HARDENED_RUNTIME, reason=f"flags {signature.best.flags:#x}")
        xml = signature.blobs.get(embedded.ENTITLEMENTS)
        if requests_get_task_allow(xml, signature.blobs.get(embedded.ENTITLEMENTS_DER)):
            yield Finding(rule=Rule.GET_TASK_ALLOW, reason="it is true")
    if image.platform in (None, MACOS) and (image.sdk or 0) < _SDK_10_9:
        yield Finding(rule=Rule.SDK, reason=f"sdk {image.sdk}")
    if signature is not None and (blob := signature.blobs.get(embedded.ENTITLEMENTS)) is not None:
        line = syntax_error(blob)
        if line is not None:
            yield Finding(rule=Rule.ENTITLEMENTS, reason="not the strict kind of XML", line=line)


def _signed(
    image: Slice, signature: Signature, sealing: Sealing | None, roots: Roots, now: datetime
) -> Iterator[Finding]:
    """Digests and CMS; then who signed, and when. An invalid signature is not asked whose it is."""
    signer = None
    damage = sealing.damage if sealing else None
    try:
        verify_digests(image, signature, _outside(image, sealing))
        if signature.cms:
            signer = verify_code_signature(signature.cms, signature.directories)
    except Broken as error:
        damage = str(error)
    moment, no_stamp = _stamped(signature, signer, roots)
    if signature.best.hash_type == embedded.SHA1:
        # Met on tools and runtimes signed before 2017; that SHA-1 alone is what is meant is our reading.
        yield Finding(rule=Rule.STRONG, reason="no code directory but by SHA-1")
    if damage:
        yield Finding(rule=Rule.VALID, reason=damage)
    else:
        yield from _developer_id(signature, signer, roots, moment or now)
    if no_stamp:
        yield Finding(rule=Rule.TIMESTAMP, reason=no_stamp)


def _outside(image: Slice, sealing: Sealing | None) -> Mapping[int, bytes | None]:
    if sealing is not None:
        return {embedded.INFO_PLIST: sealing.info_plist, embedded.RESOURCES: sealing.seal}
    if image.info_plist is None:
        return {}
    offset, size = image.info_plist
    if size > _LARGEST_INFO_PLIST:
        raise Broken("an embedded Info.plist larger than any")
    return {embedded.INFO_PLIST: image.read(offset, size)}


def _stamped(signature: Signature, signer: Signer | None, roots: Roots) -> tuple[datetime | None, str | None]:
    """When a trusted authority saw the signature, or why none did."""
    if signer is None:
        # A CMS that does not hold may still carry a token; it is read for what it says of the signature bytes.
        return (None, "no CMS signature") if not signature.cms else (None, None)
    if signer.token is None:
        return None, "no token"
    try:
        return verify_timestamp(signer.token, signer.signature, roots.timestamps), None
    except Untrusted as error:
        return None, str(error)


def _developer_id(signature: Signature, signer: Signer | None, roots: Roots, at: datetime) -> Iterator[Finding]:
    if signer is None or signature.best.flags & embedded.ADHOC:
        yield Finding(rule=Rule.DEVELOPER_ID, reason="signed ad hoc")
        return
    try:
        demand_developer_id(path_to_root(signer.leaf, signer.certificates, roots.code, at))
    except Untrusted as error:
        yield Finding(rule=Rule.DEVELOPER_ID, reason=str(error))
