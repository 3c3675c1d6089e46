"""The two CMS structures of a code signature, checked: the signature over the code directories, and its time-stamp
token.

Own reading with `asn1crypto` and `cryptography`; RFC 5652, RFC 3161 and the attributes of Apple's Security
(1.2.840.113635.100.9.1 and 9.2: the CDHashes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pipeline.rehearsal.inspection.findings import Broken
from pipeline.rehearsal.inspection.plists import load_plist
from pipeline.rehearsal.inspection.signature import Directory
from pipeline.rehearsal.inspection.trust import Untrusted, demand_purpose, load_certificates, path_to_root

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_PLIST_OF_CDHASHES, _SET_OF_CDHASHES = "1.2.840.113635.100.9.1", "1.2.840.113635.100.9.2"
_DIGEST_OIDS = {
    1: "1.3.14.3.2.26",
    2: "2.16.840.1.101.3.4.2.1",
    3: "2.16.840.1.101.3.4.2.1",
    4: "2.16.840.1.101.3.4.2.2",
}
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed: the signature's certificates as they came, the leaf apart; `token` is the DER of a time stamp."""

    leaf: x509.Certificate
    certificates: tuple[x509.Certificate, ...]
    signature: bytes
    token: bytes | None


def verify_code_signature(data: bytes, directories: Sequence[Directory]) -> Signer:
    """Does this CMS sign these directories? Says nothing of who may. Raises Broken."""
    try:
        signed = _signed_data(data)
        if signed["encap_content_info"]["content_type"].native != "data":
            raise Broken("the CMS is about something else")
        signer = _one(signed["signer_infos"], "signer")
        _verify_signer(signed, signer, directories[0].blob, "data")
        attributes = _attributes(signer["signed_attrs"])
        _verify_cdhashes(attributes, directories)
        leaf, certificates = _certificates(signed, signer)
        unsigned = _attributes(signer["unsigned_attrs"])
        tokens = unsigned.get("1.2.840.113549.1.9.16.2.14", [])
        return Signer(
            leaf=leaf,
            certificates=tuple(certificates),
            signature=signer["signature"].native,
            token=tokens[0] if len(tokens) == 1 else None,
        )
    except (*_UNREADABLE, Untrusted) as error:
        raise Broken(f"a CMS that cannot be read: {error}") from error


def verify_timestamp(token: bytes, signature: bytes, roots: Sequence[bytes]) -> datetime:
    """When a trusted authority saw this signature. Raises Untrusted."""
    try:
        signed = _signed_data(token)
        if signed["encap_content_info"]["content_type"].native != "tst_info":
            raise Untrusted("the token is no time stamp")
        content = signed["encap_content_info"]["content"].contents
        info = tsp.TSTInfo.load(content, strict=True)
        imprint = info["message_imprint"]
        digest = hashlib.new(imprint["hash_algorithm"]["algorithm"].native, signature).digest()
        if imprint["hashed_message"].native != digest:
            raise Untrusted("the token is about another signature")
        signer = _one(signed["signer_infos"], "signer")
        _verify_signer(signed, signer, content, "tst_info")
        leaf, certificates = _certificates(signed, signer)
        moment: datetime = info["gen_time"].native
        demand_purpose(leaf, ExtendedKeyUsageOID.TIME_STAMPING)
        path_to_root(leaf, certificates, roots, moment)
    except (*_UNREADABLE, Broken) as error:
        raise Untrusted(f"a token that does not hold: {error}") from error
    return moment


def _signed_data(data: bytes) -> cms.SignedData:
    info = cms.ContentInfo.load(data, strict=True)
    if info["content_type"].native != "signed_data":
        raise Broken("no CMS signed data")
    return info["content"]


def _verify_signer(signed: cms.SignedData, signer: cms.SignerInfo, content: bytes, kind: str) -> None:
    """The signature over the signed attributes, and their digest of the content."""
    name = signer["digest_algorithm"]["algorithm"].native
    if name not in _HASHES:
        raise Broken(f"digests by {name}")
    attributes = _attributes(signer["signed_attrs"])
    if not attributes:
        raise Broken("no signed attributes")
    kinds = [core.ObjectIdentifier.load(one).native for one in attributes.get("1.2.840.113549.1.9.3", [])]
    digests = [core.OctetString.load(one).native for one in attributes.get("1.2.840.113549.1.9.4", [])]
    if kinds != [cms.ContentType(kind).dotted] or digests != [hashlib.new(name, content).digest()]:
        raise Broken("the signed attributes are about something else")
    # What is signed has the tag of a SET, where the structure has [0] (RFC 5652, 5.4).
    body = signer["signed_attrs"].contents
    leaf, _ = _certificates(signed, signer)
    _verify(leaf, signer["signature"].native, core.SetOf(contents=body, spec=core.Any).dump(), _HASHES[name])


def _verify(leaf: x509.Certificate, signature: bytes, data: bytes, digest: hashes.HashAlgorithm) -> None:
    key = leaf.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        else:
            raise Broken("a key of a kind that signs no code")
    except (InvalidSignature, UnsupportedAlgorithm) as error:
        raise Broken("the signature is not by the certificate's key") from error


def _verify_cdhashes(attributes: dict[str, list[bytes]], directories: Sequence[Directory]) -> None:
    """Where the attributes list CDHashes, they list exactly those of the directories; two directories need a list."""
    lists = attributes.get(_PLIST_OF_CDHASHES, [])
    pairs = attributes.get(_SET_OF_CDHASHES, [])
    if len(directories) > 1 and not (lists or pairs):
        raise Broken("only one of several code directories is signed")
    for one in lists:
        listed = load_plist(core.OctetString.load(one).native)["cdhashes"]
        if sorted(listed) != sorted(directory.cdhash for directory in directories):
            raise Broken("the signed list of CDHashes is another")
    found = [core.SequenceOf.load(one, spec=core.Any) for one in pairs]
    said = {
        (core.ObjectIdentifier.load(oid.dump()).native, core.OctetString.load(value.dump()).native)
        for oid, value in found
    }
    if pairs and said != {(_DIGEST_OIDS[one.hash_type], one.full_hash) for one in directories}:
        raise Broken("the signed set of CDHashes is another")


def _certificates(signed: cms.SignedData, signer: cms.SignerInfo) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """The signer's certificate, and all that came along."""
    wanted = signer["sid"].chosen
    ders = [one.chosen for one in signed["certificates"]]
    found = [
        one.dump()
        for one in ders
        if one.issuer == wanted["issuer"] and one.serial_number == wanted["serial_number"].native
    ]
    if not found:
        raise Broken("the signer's certificate is missing")
    (leaf,) = load_certificates(found[:1])
    return leaf, load_certificates([one.dump() for one in ders])


def _attributes(attributes: cms.CMSAttributes) -> dict[str, list[bytes]]:
    """OID → DER of each value; an attribute that is there twice is Broken."""
    found: dict[str, list[bytes]] = {}
    for attribute in attributes:
        oid = attribute["type"].dotted
        if oid in found:
            raise Broken("an attribute that is there twice")
        values = core.SetOf.load(attribute["values"].dump(), spec=core.Any)
        found[oid] = [value.dump() for value in values]
    return found


def _one(entries: Sequence[cms.SignerInfo], what: str) -> cms.SignerInfo:
    if len(entries) != 1:
        raise Broken(f"{len(entries)} times a {what}")
    return entries[0]
