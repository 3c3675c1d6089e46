"""What we sign is read and accepted by programs that others wrote: rcodesign, LLVM's tools, OpenSSL."""

from __future__ import annotations

import hashlib
import plistlib
import re
import subprocess
from pathlib import Path

import pytest
from builders.chain import developer_id
from builders.clients import need
from builders.mach import compiled, fat, image
from builders.signing import sign, signatures, verify
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.codesign import Flags, SigningOptions
from pipeline.codesign.constraints import constraint_der
from pipeline.codesign.superblob import Slot
from pipeline.macho import BytesSource, read_slices

CHAIN = developer_id(team="ABCDE12345")
ENTITLEMENTS = plistlib.dumps({"get-task-allow": True, "com.example.list": ["a", "b"], "com.example.number": 300})
OPTIONS = SigningOptions(
    identifier="com.example.tool", anchors=CHAIN.anchors, flags=Flags.RUNTIME, entitlements=ENTITLEMENTS
)
FILES = {
    "x86_64": lambda: compiled("x86_64"),
    "arm64": lambda: compiled("arm64"),
    "dylib": lambda: compiled("arm64", "dylib"),
    "universal": lambda: fat(compiled("x86_64"), compiled("arm64")),
    "dual": lambda: image(arch="x86_64", minimum="10.9", size=30_000),
    "i386": lambda: image(arch="i386", size=30_000),
    "ppc7400": lambda: image(arch="ppc7400", size=30_000),
    "arm64e": lambda: image(arch="arm64e", kind="bundle", size=30_000),
}


def _run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.rcodesign
@pytest.mark.parametrize("name", FILES)
def test_rcodesign_finds_no_fault(name: str, tmp_path: Path) -> None:
    """Digests of all pages, the special slots, the CMS and its certificates."""
    rcodesign = need("rcodesign")
    (tmp_path / "signed").write_bytes(sign(FILES[name](), OPTIONS, CHAIN))
    assert "no problems detected" in _run(rcodesign, "verify", tmp_path / "signed")


@pytest.mark.rcodesign
def test_rcodesign_reads_what_we_wrote(tmp_path: Path) -> None:
    """Identifier, team, flags, hashes, entitlements in both forms, requirement: as this project says them."""
    rcodesign = need("rcodesign")
    signed = sign(compiled("arm64"), OPTIONS, CHAIN)
    (tmp_path / "signed").write_bytes(signed)
    told = _run(rcodesign, "print-signature-info", tmp_path / "signed")
    (signature,) = signatures(signed)
    assert verify(signed, CHAIN)
    for line in (
        f"superblob_length: {len(signature.superblob)} /",
        "version: '0x20500'",
        "flags: CodeSignatureFlags(RUNTIME)",
        "identifier: com.example.tool",
        "team_name: ABCDE12345",
        "executable_segment_flags: ExecutableSegmentFlags(MAIN_BINARY | ALLOW_UNSIGNED)",
        f"signed_entity_size: {signature.best.code_limit}",
        f"code_digests_count: {signature.best.code_slots}",
        f"'RequirementSet (2): {signature.best.special[1].hex()}'",
        f"'DER Entitlements (7): {signature.best.special[6].hex()}'",
        "    - '      <string>b</string>'",
        "(anchor apple generic) and ((certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */)",
    ):
        assert line in told
    for blob in signature.blobs:
        assert f"sha256: {hashlib.sha256(blob.data).hexdigest()}" in told


@pytest.mark.rcodesign
@pytest.mark.parametrize("name", ["x86_64", "arm64", "universal", "i386", "arm64e"])
def test_rcodesigns_code_directory_is_ours_but_for_the_size(name: str, tmp_path: Path) -> None:
    """Its estimate is another, so its page 0 is; all other hashes and fields of its ad-hoc CodeDirectory are ours."""
    rcodesign = need("rcodesign")
    data = FILES[name]()
    (tmp_path / "input").write_bytes(data)
    _run(rcodesign, "sign", "--binary-identifier", "a.b", tmp_path / "input", tmp_path / "signed")
    theirs = signatures((tmp_path / "signed").read_bytes())
    # It has pages of 4 KiB on every processor, as codesign had up to macOS 15.
    ours = signatures(sign(data, SigningOptions(identifier="a.b", page_size=4096)))
    for one, other in zip(ours, theirs, strict=True):
        mine = next(found for found in one.directories if found.hash_type == other.best.hash_type)
        for field in ("identifier", "flags", "page_size", "code_limit", "code_slots", "exec_segment_limit", "special"):
            assert getattr(mine, field) == getattr(other.best, field), field
        pages = [index for index in range(mine.code_slots) if mine.code_hash(index) != other.best.code_hash(index)]
        assert pages in ([], [0])


@pytest.mark.rcodesign
def test_what_rcodesign_signs_holds(tmp_path: Path) -> None:
    """Its signatures, ad hoc and universal, are accepted by our verifier."""
    rcodesign = need("rcodesign")
    (tmp_path / "input").write_bytes(FILES["universal"]())
    _run(rcodesign, "sign", "--code-signature-flags", "runtime", tmp_path / "input", tmp_path / "signed")
    found = verify((tmp_path / "signed").read_bytes(), CHAIN, strict_padding=False)
    assert [one.flags for one in found] == [("adhoc", "runtime")] * 2


@pytest.mark.rcodesign
def test_constraints_are_encoded_as_rcodesign_does(tmp_path: Path) -> None:
    """The wrapper around a constraint's requirements, and their DER, byte for byte."""
    rcodesign = need("rcodesign")
    plist = plistlib.dumps(
        {
            "$or": {"team-identifier": "ABCDE12345", "signing-identifier": "com.example.tool"},
            "validation-category": 6,
            "is-init-proc": False,
            "cdhash": {"$in": ["b", "a"]},
        }
    )
    (tmp_path / "constraint.plist").write_bytes(plist)
    (tmp_path / "input").write_bytes(image())
    _run(
        rcodesign,
        "sign",
        "--launch-constraints-self-file",
        tmp_path / "constraint.plist",
        "--library-constraints-file",
        tmp_path / "constraint.plist",
        tmp_path / "input",
        tmp_path / "signed",
    )
    (theirs,) = signatures((tmp_path / "signed").read_bytes())
    for slot in (Slot.LAUNCH_CONSTRAINT_SELF, Slot.LIBRARY_CONSTRAINT):
        assert theirs.payload(slot) == constraint_der(plist)


@pytest.mark.llvm
@pytest.mark.parametrize("name", FILES)
def test_llvm_reads_what_we_wrote(name: str, tmp_path: Path) -> None:
    """objdump's Mach-O parser, which checks offsets and overlaps, finds the signature where it is."""
    objdump = need("llvm-objdump", "llvm-objdump-14")
    signed = sign(FILES[name](), OPTIONS, CHAIN)
    (tmp_path / "signed").write_bytes(signed)
    told = _run(objdump, "--macho", "--private-headers", "--arch", "all", tmp_path / "signed")
    assert "truncated or malformed" not in told
    for one in read_slices(BytesSource(signed)):
        assert one.image.signature is not None
        command = rf"LC_CODE_SIGNATURE\s+cmdsize 16\s+dataoff {one.image.signature.dataoff}"
        assert re.search(rf"{command}\s+datasize {one.image.signature.datasize}\b", told)


@pytest.mark.openssl
@pytest.mark.parametrize("name", ["arm64", "dual"])
def test_openssl_verifies_the_cms(name: str, tmp_path: Path) -> None:
    """The CMS is a detached signature over the CodeDirectory of slot 0, by a chain that ends at the root.

    Apple's markers in the certificates are critical extensions, which OpenSSL does not know.
    """
    openssl = need("openssl")
    (found,) = signatures(sign(FILES[name](), OPTIONS, CHAIN))
    (tmp_path / "cms").write_bytes(found.cms)
    (tmp_path / "directory").write_bytes(found.directories[0].blob)
    root = x509.load_der_x509_certificate(CHAIN.certificates[-1])
    (tmp_path / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    argv: list[str | Path] = [
        openssl,
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        tmp_path / "cms",
        "-binary",
        "-ignore_critical",
    ]
    argv += ["-purpose", "any", "-content", tmp_path / "directory", "-CAfile", tmp_path / "root.pem"]
    argv += ["-out", "/dev/null"]
    assert "successful" in _run(*argv)
    (tmp_path / "directory").write_bytes(found.directories[0].blob + b"\0")
    assert subprocess.run(argv, capture_output=True).returncode != 0
