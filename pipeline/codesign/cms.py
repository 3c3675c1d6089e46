"""The CMS signature of code (slot 0x10000): built as Apple's codesign builds it, read, and verified.

Here: which attributes there are and what they must say of the CodeDirectories, the certificates that go in, the chain
and the time. Not here: the envelope's structure (signed_data), time-stamp tokens (timestamp_token), the blob around it
(superblob), where identities come from (identity).

The content is detached: it is the CodeDirectory blob of slot 0. Two attributes of Apple's name the others:
1.2.840.113635.100.9.1, a property list of all CDHashes (20 bytes each), and 1.2.840.113635.100.9.2, a digest OID and
full-length hash for each CodeDirectory. Sources: `signer.cpp` and `StaticCode.cpp` of Security 57740 to 61901; bytes
compared with signatures that codesign made on macOS 10.11 to 26.
"""

from __future__ import annotations

import hashlib
import plistlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pipeline.codesign import der
from pipeline.codesign.certificates import (
    CODE_SIGNING,
    DEVELOPER_ID_LEAF,
    Anchors,
    common_name,
    has_extension,
    is_developer_id,
    load_certificate,
    order_chain,
    team_identifier,
    verify_belonging,
    verify_chain,
)
from pipeline.codesign.code_directory import CodeDirectory, parse_code_directory
from pipeline.codesign.entitlements import parse_property_list
from pipeline.codesign.eras import Era
from pipeline.codesign.signed_data import (
    CONTENT_TYPE,
    DATA,
    DIGEST_OIDS,
    ECDSA_WITH,
    MESSAGE_DIGEST,
    RSA,
    RSA_WITH,
    SIGNING_TIME,
    Algorithm,
    Attribute,
    SignedData,
    Signer,
    build_signed_data,
    issuer_and_serial,
    parse_signed_data,
    signed_bytes,
    single_value,
    sort_attributes,
    verify_signer,
)
from pipeline.codesign.timestamp_token import Token, verify_token
from pipeline.errors import MalformedFile, SigningError, VerificationError

CDHASHES = "1.2.840.113635.100.9.1"
DIGESTS_OF_DIRECTORIES = "1.2.840.113635.100.9.2"
TIMESTAMP_TOKEN = "1.2.840.113549.1.9.16.2.14"
_KNOWN_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, CDHASHES, DIGESTS_OF_DIRECTORIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who signs: a certificate chain and what its private key does.

    `sign` takes data and returns their signature with SHA-256: PKCS#1 v1.5 for an RSA key, ECDSA in DER for an
    elliptic-curve key. The key itself may be anywhere.
    """

    chain: tuple[bytes, ...]
    """DER, leaf first, root last."""
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCms:
    """What a signature that holds says."""

    chain: tuple[bytes, ...]
    """DER, leaf first, root last."""
    authorities: tuple[str, ...]
    """Common names of the chain, the leaf's first."""
    team: str | None
    developer_id: bool
    signing_time: datetime | None
    """What the signer's clock said."""
    timestamp: datetime | None
    """What the time-stamp authority's clock said; None without a token."""
    token: Token | None
    not_judged: tuple[str, ...]


def build_cms(
    identity: Identity,
    directories: Sequence[bytes],
    era: Era,
    *,
    signing_time: datetime | None,
    timestamper: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The CMS over these CodeDirectory blobs (slot 0's first), as codesign of this era writes it.

    `timestamper` is given the signature and returns a time-stamp token for it (DER). Raises SigningError where the
    identity's signature does not fit its certificate.
    """
    leaf = load_certificate(identity.chain[0])
    attributes = sort_attributes(_signed_attributes(directories, era, signing_time))
    signature = identity.sign(signed_bytes(attributes))
    names = RSA_WITH if isinstance(leaf.public_key(), RSAPublicKey) else ECDSA_WITH
    plain_rsa = names is RSA_WITH and not era.rsa_with_sha256
    unsigned: tuple[Attribute, ...] = ()
    if timestamper is not None:
        unsigned = (Attribute(oid=TIMESTAMP_TOKEN, values=(timestamper(signature),)),)
    data = SignedData(
        content_type=DATA,
        content=None,
        certificates=(*identity.chain[1:], identity.chain[0]),
        signer=Signer(
            issuer_and_serial=issuer_and_serial(identity.chain[0]),
            digest=Algorithm(oid=DIGEST_OIDS["sha256"], null=True),
            signed=attributes,
            # ECDSA algorithms have no parameters (RFC 5754, 3.3), RSA's are NULL.
            algorithm=Algorithm(oid=RSA if plain_rsa else names["sha256"], null=names is RSA_WITH),
            signature=signature,
            unsigned=unsigned,
        ),
        indefinite=True,
    )
    try:
        verify_signer(data, identity.chain[0], directories[0])
    except VerificationError as error:
        raise SigningError(
            f"the private key's signature does not fit the certificate {common_name(leaf)!r}",
            remedy="check that key and certificate belong together",
        ) from error
    return build_signed_data(data)


def parse_cms(cms: bytes) -> SignedData:
    """Read the CMS of a signature. Raises MalformedFile. Nothing is verified."""
    data = parse_signed_data(cms)
    if data.content_type != DATA or data.content is not None:
        raise MalformedFile("CMS: a signature of code has detached content of type data")
    return data


def verify_cms(
    cms: bytes, directories: Sequence[bytes], anchors: Anchors, *, at: datetime | None = None
) -> VerifiedCms:
    """Does the CMS vouch for these CodeDirectory blobs (slot 0's first), by somebody that `anchors` know.

    Judged: the signature; the attributes against every CodeDirectory; the chain to an anchor, its purpose and Apple's
    markers; the time-stamp token against the signature, and its own signature and chain; the team. The chain must be
    valid when the token was made; without a token at `at`, without that at the time the signer states, and where it
    states none the validity is said to be not judged. Every byte of the CMS is part of what is judged, but for the
    choice between two names of one RSA signature algorithm.

    Raises VerificationError (MalformedFile where it is no CMS), saying which part does not hold.
    """
    data = parse_cms(cms)
    parsed = tuple(map(parse_code_directory, directories))
    leaf = _signer_certificate(data)
    verify_signer(data, leaf, directories[0])
    _verify_directories(data, parsed)
    not_judged = ["revocation of the certificates"]
    token = _verify_timestamp(data, anchors)
    signing_time = _signing_time(data)
    moment = token.time if token else at or signing_time
    if token is None and at is None and signing_time is not None:
        not_judged.append("when it was signed: without a time stamp, that is the signer's own word")
    if moment is None:
        not_judged.append("validity of the certificates in time: neither time stamp nor signing time")
    chain = order_chain(leaf, (*data.certificates, *anchors.intermediates, *anchors.roots))
    verify_chain(chain, anchors.roots, purpose=CODE_SIGNING, at=moment)
    verify_belonging(data.certificates, chain)
    if has_extension(load_certificate(leaf), DEVELOPER_ID_LEAF) and not is_developer_id(chain):
        raise VerificationError("the leaf is marked Developer ID, and its issuer is no Developer ID authority")
    team = team_identifier(chain, anchors)
    for directory in parsed:
        if team is not None and directory.team not in (None, team):
            raise VerificationError(f"the CodeDirectory says team {directory.team}, the certificate {team}")
    unknown = [attribute.oid for attribute in data.signer.signed if attribute.oid not in _KNOWN_ATTRIBUTES]
    not_judged += [f"signed attribute {oid}" for oid in unknown]
    return VerifiedCms(
        chain=chain,
        authorities=tuple(common_name(load_certificate(each)) for each in chain),
        team=team,
        developer_id=is_developer_id(chain),
        signing_time=signing_time,
        timestamp=token.time if token else None,
        token=token,
        not_judged=tuple(not_judged),
    )


def _signed_attributes(directories: Sequence[bytes], era: Era, signing_time: datetime | None) -> list[Attribute]:
    # Whatever slot 0's own hash type is, the CMS digests it with SHA-256.
    digest = hashlib.sha256(directories[0]).digest()
    content_type = der.build(der.OBJECT_IDENTIFIER, der.build_oid(DATA))
    attributes = [
        Attribute(oid=CONTENT_TYPE, values=(content_type,)),
        Attribute(oid=MESSAGE_DIGEST, values=(der.build(der.OCTET_STRING, digest),)),
    ]
    if signing_time is not None:
        attributes.append(Attribute(oid=SIGNING_TIME, values=(der.build_time(signing_time),)))
    parsed = tuple(map(parse_code_directory, directories))
    if era.cms_cdhashes:
        attributes.append(Attribute(oid=CDHASHES, values=(_build_cdhashes(parsed),)))
    if era.cms_digests:
        attributes.append(Attribute(oid=DIGESTS_OF_DIRECTORIES, values=tuple(sorted(_build_digests(parsed)))))
    return attributes


def _cdhashes(directories: Sequence[CodeDirectory]) -> list[bytes]:
    return [directory.cdhash for directory in sorted(directories, key=lambda directory: directory.hash_type)]


def _build_cdhashes(directories: Sequence[CodeDirectory]) -> bytes:
    return der.build(der.OCTET_STRING, plistlib.dumps({"cdhashes": _cdhashes(directories)}))


def _parse_cdhashes(value: bytes) -> object:
    # Other signers indent the list in another way; the signature covers these bytes as they are.
    return parse_property_list(der.parse(value).content).get("cdhashes")


def _build_digests(directories: Sequence[CodeDirectory]) -> list[bytes]:
    return [
        der.build(
            der.SEQUENCE,
            der.build(der.OBJECT_IDENTIFIER, der.build_oid(DIGEST_OIDS[directory.hash_type.algorithm])),
            der.build(der.OCTET_STRING, directory.full_cdhash),
        )
        for directory in directories
    ]


def _signer_certificate(data: SignedData) -> bytes:
    named = data.signer.issuer_and_serial
    found = [certificate for certificate in data.certificates if issuer_and_serial(certificate) == named]
    if len(found) != 1:
        raise VerificationError("CMS: the signer's certificate is not in it, or there twice")
    return found[0]


def _verify_directories(data: SignedData, directories: Sequence[CodeDirectory]) -> None:
    cdhashes = single_value(data.signer.signed, CDHASHES)
    if cdhashes is not None and _parse_cdhashes(cdhashes) != _cdhashes(directories):
        raise VerificationError("CMS: the list of CDHashes (attribute .9.1) is not that of the CodeDirectories")
    digests = [attribute for attribute in data.signer.signed if attribute.oid == DIGESTS_OF_DIRECTORIES]
    # The order of the values is that of a hash table in codesign, and means nothing.
    if digests and (len(digests) > 1 or sorted(digests[0].values) != sorted(_build_digests(directories))):
        raise VerificationError("CMS: the digests (attribute .9.2) are not those of the CodeDirectories")
    if len(directories) > 1 and cdhashes is None and not digests:
        raise VerificationError("CMS: nothing in it vouches for the alternate CodeDirectories")


def _verify_timestamp(data: SignedData, anchors: Anchors) -> Token | None:
    for attribute in data.signer.unsigned:
        if attribute.oid != TIMESTAMP_TOKEN:
            raise VerificationError(f"CMS: unsigned attribute {attribute.oid}, which nothing vouches for")
    encoded = single_value(data.signer.unsigned, TIMESTAMP_TOKEN)
    return verify_token(encoded, data.signer.signature, anchors.timestamp_roots) if encoded is not None else None


def _signing_time(data: SignedData) -> datetime | None:
    value = single_value(data.signer.signed, SIGNING_TIME)
    return der.parse_time(der.parse(value)) if value is not None else None
