"""Roots that stand where Apple's stand, read from a folder: those that a rehearsal publishes beside its keys."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.codesign.certificates import Anchors
from pipeline.errors import ConfigurationError, MalformedFile
from pipeline.host import Files


def load_anchors(files: Files, folder: Path) -> Anchors:
    """The roots in `code.pem`, `timestamps.pem` and `tickets.pem`.

    Raises ConfigurationError where the folder or one of the three is not there, MalformedFile for a file without
    certificates.
    """

    def roots(name: str) -> tuple[bytes, ...]:
        if not (folder / name).is_file():
            raise ConfigurationError("no such file of root certificates", where=str(folder / name))
        try:
            certificates = x509.load_pem_x509_certificates(files.read(folder / name))
        except ValueError as error:
            raise MalformedFile("holds no certificates", where=str(folder / name)) from error
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)

    if not folder.is_dir():
        raise ConfigurationError("no such folder of root certificates", where=str(folder))
    return Anchors(roots=roots("code.pem"), timestamp_roots=roots("timestamps.pem"), ticket_roots=roots("tickets.pem"))
