"""The provenance: is it what manifest, log and files say, and who signed it?"""

from __future__ import annotations

from pathlib import Path

from pipeline import manifest, provenance
from pipeline.audit.evidence import Evidence
from pipeline.errors import HostRefused, MalformedFile, VerificationError
from pipeline.host import Host


def judge_provenance(host: Host, folder: Path, evidence: Evidence, key: bytes | None) -> tuple[str, ...]:
    """What is to be told of it. `key`: PEM of the public key, or a certificate, that it must be signed with.

    Raises VerificationError where a byte is other than manifest, log and files make it, or a signature does not hold.
    """
    named = evidence.manifest.get("provenance")
    present = [name for name in (provenance.STATEMENT, provenance.ENVELOPE) if (folder / name).exists()]
    key_id = named.get("key") if isinstance(named, dict) else None
    expected = [provenance.STATEMENT, *([provenance.ENVELOPE] if key_id else [])] if named else []
    for name in expected:
        if not (folder / name).is_file() or (folder / name).is_symlink():
            raise VerificationError("is missing", where=name, remedy="invoke release writes it anew")
    for name in present:
        if name not in expected:
            raise VerificationError("is not part of the release: the manifest does not know it", where=name)
    if not named:
        _demand_unsigned(key)
        return ("none was made",)
    payload = host.files.read(folder / provenance.STATEMENT)
    data = host.files.read(folder / manifest.NAME)
    try:
        expected_payload = provenance.statement(host.files, folder, data, evidence.entries)
    except (MalformedFile, HostRefused) as error:
        words = f"cannot be held against what it tells of: {error}"
        raise VerificationError(words, where=provenance.STATEMENT) from error
    if payload != expected_payload:
        raise VerificationError("is not what manifest, log and files say", where=provenance.STATEMENT)
    if not key_id:
        _demand_unsigned(key)
        return (f"{provenance.STATEMENT} is what manifest, log and files say; it is not signed",)
    envelope = host.files.read(folder / provenance.ENVELOPE)
    if provenance.verify_envelope(envelope, payload, key, str(key_id), provenance.ENVELOPE):
        return (f"{provenance.STATEMENT} is what manifest, log and files say, and is signed with the key {key_id}",)
    return (
        f"{provenance.STATEMENT} is what manifest, log and files say",
        f"its signature was not judged: --key names the public key {key_id}",
    )


def _demand_unsigned(key: bytes | None) -> None:
    if key is not None:
        raise VerificationError("is not signed, and a key was given", where=provenance.STATEMENT)
