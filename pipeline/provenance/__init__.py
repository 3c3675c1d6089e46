"""Provenance: an in-toto Statement v1 that carries SLSA provenance v1, made after stapling; and its signature.

`statement` says what a manifest and a log say, in the field's own form, so that it can be made again from them: that is
how `audit` knows that nobody changed it. `signing` puts it into a DSSE envelope with a key that the user names.
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
"""

from pipeline.provenance.signing import Signer, load_signer, verify_envelope
from pipeline.provenance.statement import ENVELOPE, STATEMENT, retire, statement, write

__all__ = [
    "ENVELOPE",
    "STATEMENT",
    "Signer",
    "load_signer",
    "retire",
    "statement",
    "verify_envelope",
    "write",
]
