"""In place of the signing engine, behind the double of codesign: rcodesign, with the options that codesign was given.

What a user of rcodesign says and one of codesign does not need to: team, requirement, the address of time stamps.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from doubles.bench import Job
from pipeline import disk
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.signature import read_signature
from pipeline.codesign.superblob import Slot
from pipeline.errors import SigningError
from pipeline.identity import load_pem
from pipeline.macho import read_slices


def sign(job: Job, program: str, path: Path, options: SigningOptions, timestamp_url: str | None) -> None:
    """Sign a file in place. Raises SigningError with rcodesign's words."""
    pem = job.bench.rehearsal / "keys" / "developer-id.pem"
    scratch = path.with_name(f"{path.name}.requirement")
    # codesign adds the identity's default requirement by itself; rcodesign is given the same one.
    (default, *_) = _requirements(job, path, scratch, options, pem)
    scratch.write_bytes(default[20:])  # of the set, which holds one, the requirement itself
    words = ["--pem-file", str(pem), "--code-requirements-file", str(scratch)]
    words += ["--team-name", _team_in(pem)]
    if options.identifier is not None:
        words += ["--binary-identifier", options.identifier]
    if options.flags is not None and options.flags:
        words += ["--code-signature-flags", "runtime"]
    if options.entitlements is not None:
        entitlements = path.with_name(f"{path.name}.entitlements")
        entitlements.write_bytes(options.entitlements)
        words += ["--entitlements-xml-file", str(entitlements)]
    if timestamp_url is not None:
        words += ["--timestamp-url", timestamp_url]
    done = subprocess.run([program, "sign", *words, str(path)], capture_output=True, text=True, check=False)
    scratch.unlink()
    if done.returncode != 0:
        raise SigningError(done.stderr[-500:])


def _team_in(pem: Path) -> str:
    from cryptography import x509

    (unit,) = x509.load_pem_x509_certificate(pem.read_bytes()).subject.get_attributes_for_oid(
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME
    )
    return str(unit.value)


def _requirements(job: Job, path: Path, scratch: Path, options: SigningOptions, pem: Path) -> list[bytes]:
    identity = load_pem(pem.read_bytes(), pem.read_bytes(), None)
    disk.sign_file(job.host.files, path, scratch, options, identity, None, job.host.clock.now())
    with disk.open_source(scratch) as source:
        found = [read_signature(one) for one in read_slices(source)]
    return [blob for one in found if one is not None and (blob := one.blob(Slot.REQUIREMENTS)) is not None]
