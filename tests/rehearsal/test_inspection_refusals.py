"""Each rule of refusal, met by a defect that was made in the bytes of a good signed tool."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from builders import edits
from builders.mach import fat, image
from builders.notary_user import NotaryUser
from builders.workbench import Workbench
from builders.zips import zip_of

NOT_SIGNED = "The binary is not signed."
WEAK = "The signature algorithm used is too weak."
INVALID = "The signature of the binary is invalid."
NO_DEVELOPER_ID = "The binary is not signed with a valid Developer ID certificate."
NO_TIMESTAMP = "The signature does not include a secure timestamp."
NO_RUNTIME = "The executable does not have the hardened runtime enabled."
DEBUGGABLE = "The executable requests the com.apple.security.get-task-allow entitlement."
OLD_SDK = "The binary uses an SDK older than the 10.9 SDK."
CODE_SIGNATURE, BUILD_VERSION = 0x1D, 0x32


def messages(user: NotaryUser, tool: bytes, name: str = "tool") -> list[str]:
    """What the log says of one file alone in an archive."""
    log = user.judge(zip_of({name: tool}), "archive.zip")
    issues = log["issues"] or []
    assert log["status"] == ("Invalid" if issues else "Accepted")
    assert (log["ticketContents"] is None) == bool(issues)
    assert {issue["path"] for issue in issues} <= {f"archive.zip/{name}"}
    return [issue["message"] for issue in issues]


def test_good_code_is_accepted(user: NotaryUser, thin: bytes, arm: bytes, universal: bytes, dylib: bytes) -> None:
    """Thin, universal and a library: no issue with any, and every slice in the ticket's list."""
    members = {"thin": thin, "arm": arm, "universal": universal, "library.dylib": dylib}
    log = user.judge(zip_of(members), "archive.zip")
    assert log["issues"] is None
    assert [(entry["path"], entry["arch"]) for entry in log["ticketContents"]] == [
        ("archive.zip/thin", "x86_64"),
        ("archive.zip/arm", "arm64"),
        ("archive.zip/universal", "x86_64"),
        ("archive.zip/universal", "arm64"),
        ("archive.zip/library.dylib", "arm64"),
    ]


def test_not_signed(user: NotaryUser, thin: bytes) -> None:
    """Without LC_CODE_SIGNATURE a tool breaks three rules, in the order of the real logs."""
    spoilt = edits.renamed(thin, CODE_SIGNATURE)
    assert messages(user, spoilt) == [NOT_SIGNED, NO_TIMESTAMP, NO_RUNTIME]


def test_a_library_needs_no_hardened_runtime(user: NotaryUser, workbench: Workbench) -> None:
    """The hardened runtime is asked of executables alone."""
    plain = workbench.sign(image(kind="dylib"), flags=None)
    assert messages(user, plain) == []
    assert messages(user, edits.renamed(plain, CODE_SIGNATURE)) == [NOT_SIGNED, NO_TIMESTAMP]


def test_every_byte_of_the_code_counts(user: NotaryUser, arm: bytes) -> None:
    """A bit in any page makes the signature invalid; one after the superblob, where nothing is hashed, does not."""
    limit = struct.unpack_from("<I", arm, edits.command(arm, CODE_SIGNATURE) + 8)[0]
    # Behind the load commands: a bit in those can be another defect than a wrong digest.
    start = 32 + struct.unpack_from("<I", arm, 20)[0]
    spoilt = {f"tool at {at}": edits.flip(arm, at) for at in [*range(start, limit, 1777), limit - 1]}
    log = user.judge(zip_of(spoilt), "archive.zip")
    refused = [(issue["path"], issue["message"]) for issue in log["issues"]]
    assert refused == [(f"archive.zip/{name}", INVALID) for name in spoilt]
    assert messages(user, edits.flip(arm, len(arm) - 1)) == []


@pytest.mark.parametrize(
    "magic", [edits.CODE_DIRECTORY, edits.REQUIREMENTS, edits.ENTITLEMENTS, edits.ENTITLEMENTS_DER]
)
def test_every_blob_counts(user: NotaryUser, arm: bytes, magic: bytes) -> None:
    """A bit at the end of the code directory, the requirements or either form of the entitlements."""
    at, length = edits.blob(arm, magic)
    assert INVALID in messages(user, edits.flip(arm, at + length - 1))


@pytest.mark.parametrize("oid", [edits.MESSAGE_DIGEST_OID, bytes.fromhex("06092a864886f763640902")])
def test_every_signed_attribute_counts(user: NotaryUser, arm: bytes, oid: bytes) -> None:
    """A bit in the digest that was signed, or in the CDHashes that were."""
    at, length = edits.blob(arm, edits.CMS)
    signed = edits.find(arm, oid, at)
    assert signed < at + length
    assert messages(user, edits.flip(arm, signed + 40 if oid == edits.MESSAGE_DIGEST_OID else signed + 35)) == [INVALID]


def test_the_signature_itself_counts(user: NotaryUser, arm: bytes) -> None:
    """A bit in the RSA signature: it is broken, and its time stamp is about another one."""
    at, _ = edits.blob(arm, edits.CMS)
    # The signature's 256 bytes stand right before the unsigned attributes with the token: [1], SEQUENCE, OID.
    token = edits.find(arm, edits.TOKEN_OID, at)
    assert messages(user, edits.flip(arm, token - 60)) == [INVALID]


def test_ad_hoc_is_no_developer_id(user: NotaryUser, workbench: Workbench, arm: bytes) -> None:
    """An empty CMS slot is what a linker's signature has: no Developer ID, no time stamp."""
    at, _ = edits.blob(arm, edits.CMS)
    emptied = edits.put(arm, at + 4, struct.pack(">I", 8))
    assert messages(user, emptied) == [NO_DEVELOPER_ID, NO_TIMESTAMP]


@pytest.mark.parametrize("which", ["marker of the leaf", "marker of the authority", "leaf's key"])
def test_the_certificates_count(user: NotaryUser, arm: bytes, which: str) -> None:
    """A certificate with another marker, or another byte anywhere, was not issued by the root's authority."""
    at, _ = edits.blob(arm, edits.CMS)
    leaf = edits.find(arm, edits.DEVELOPER_ID_OID, at)
    if which == "marker of the leaf":
        spoilt = edits.flip(arm, leaf + 11)
    elif which == "marker of the authority":
        spoilt = edits.flip(arm, edits.find(arm, bytes.fromhex("060a2a864886f76364060206"), at) + 11)
    else:
        team = edits.find(arm, b"REHEARSAL0", at)
        spoilt = edits.put(arm, team, b"REHEARSAL1")
    assert messages(user, spoilt) == [NO_DEVELOPER_ID]


@pytest.mark.parametrize("which", ["attribute", "imprint", "signature", "certificate"])
def test_a_timestamp_that_proves_nothing(user: NotaryUser, arm: bytes, which: str) -> None:
    """No token, one about other bytes, one whose signature or whose signer does not hold."""
    at, length = edits.blob(arm, edits.CMS)
    token = edits.find(arm, edits.TOKEN_OID, at)
    if which == "attribute":
        spoilt = edits.flip(arm, token + len(edits.TOKEN_OID) - 1)
    elif which == "imprint":
        policy = edits.find(arm, bytes.fromhex("06052a03040506"), token)
        spoilt = edits.flip(arm, policy + 7 + 2 + 15 + 2 + 5)
    elif which == "signature":
        spoilt = edits.flip(arm, at + length - 20)
    else:
        signer = edits.find(arm, b"REHEARSAL Timestamp Signer", token)
        spoilt = edits.put(arm, signer, b"REHEARSAL Timestamp signer")
    assert messages(user, spoilt) == [NO_TIMESTAMP]


def test_without_the_hardened_runtime(user: NotaryUser, arm: bytes) -> None:
    """The flag taken out of the code directory: missing, and the signature does not hold any more."""
    at, _ = edits.blob(arm, edits.CODE_DIRECTORY)
    flags = struct.unpack_from(">I", arm, at + 12)[0]
    assert flags == 0x10000
    assert messages(user, edits.put(arm, at + 12, bytes(4))) == [INVALID, NO_RUNTIME]


@pytest.mark.parametrize("form", ["XML", "DER"])
def test_get_task_allow(user: NotaryUser, arm: bytes, form: str) -> None:
    """`false` passes; `true` in either form of the entitlements does not."""
    if form == "XML":
        spoilt = edits.replaced(arm, b"<false/>", b"<true/> ")
    else:
        at, _ = edits.blob(arm, edits.ENTITLEMENTS_DER)
        spoilt = edits.replaced(arm, bytes.fromhex("010100"), bytes.fromhex("0101ff"), start=at)
    assert messages(user, spoilt) == [INVALID, DEBUGGABLE]


def test_a_debug_twin_is_refused(user: NotaryUser, workbench: Workbench) -> None:
    """A well signed binary that asks to be debugged breaks that one rule."""
    wants = b'<?xml version="1.0"?><plist><dict><key>com.apple.security.get-task-allow</key><true/></dict></plist>'
    twin = workbench.sign(image(), entitlements=wants)
    assert messages(user, twin, "DEBUG_tool") == [DEBUGGABLE]


def test_a_host_of_plug_ins_may_be_debugged(user: NotaryUser, workbench: Workbench) -> None:
    """With library validation disabled too, as Node.js is signed; `false` for it is no excuse, in either form."""
    keys = ("com.apple.security.cs.disable-library-validation", "com.apple.security.get-task-allow")
    pairs = "".join(f"<key>{key}</key><true/> " for key in keys)
    wants = f'<?xml version="1.0"?><plist><dict>{pairs}</dict></plist>'.encode()
    host = workbench.sign(image(), entitlements=wants)
    assert messages(user, host) == []
    assert messages(user, edits.replaced(host, b"<true/> ", b"<false/>")) == [INVALID, DEBUGGABLE]
    der, _ = edits.blob(host, edits.ENTITLEMENTS_DER)
    spoilt = edits.replaced(host, bytes.fromhex("0101ff"), bytes.fromhex("010100"), start=der)
    assert messages(user, spoilt) == [INVALID, DEBUGGABLE]


@pytest.mark.parametrize("sdk", [b"\x00\x08\x0a\x00", b"\x00\x00\x00\x00"])
def test_an_old_sdk(user: NotaryUser, thin: bytes, sdk: bytes) -> None:
    """An SDK of 10.8, or none, in LC_BUILD_VERSION."""
    spoilt = edits.put(thin, edits.command(thin, BUILD_VERSION) + 16, sdk)
    assert messages(user, spoilt) == [INVALID, OLD_SDK]


def test_no_sdk_at_all(user: NotaryUser, thin: bytes) -> None:
    """No load command that names an SDK."""
    assert messages(user, edits.renamed(thin, BUILD_VERSION)) == [INVALID, OLD_SDK]


@pytest.mark.parametrize("sdk", ["10.8", "10.9"])
def test_the_sdk_of_well_signed_code(user: NotaryUser, workbench: Workbench, sdk: str) -> None:
    """10.9 is the first that passes, in the older load command too."""
    tool = workbench.sign(image(arch="x86_64", minimum="10.8", sdk=sdk, version_min=True))
    assert messages(user, tool) == ([OLD_SDK] if sdk == "10.8" else [])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"<?x", b"\xef\xbb\xbf", 1),
        (b"<?xml version", b"bplist00\x00\x00\x00\x00\x00", 1),
        (b"<false/>", b"<false\xc3\xa4", 6),
        (b"</dict>", b"</dikt>", 7),
    ],
    ids=["byte order mark", "binary", "not ASCII", "another end"],
)
def test_entitlements_that_are_not_strict_xml(user: NotaryUser, arm: bytes, old: bytes, new: bytes, line: int) -> None:
    """The line is named, and the issue belongs to no architecture, as in the public log."""
    at, _ = edits.blob(arm, edits.ENTITLEMENTS)
    spoilt = edits.replaced(arm, old, new, start=at)
    log = user.judge(zip_of({"tool": spoilt}))
    said = f"Embedded entitlements are invalid: syntax error near line {line}"
    assert [(issue["message"], issue["architecture"]) for issue in log["issues"]] == [
        (INVALID, "arm64"),
        (said, None),
    ]


def test_sha1_alone_is_too_weak(user: NotaryUser, arm: bytes) -> None:
    """A code directory by SHA-1 and no other."""
    at, _ = edits.blob(arm, edits.CODE_DIRECTORY)
    spoilt = edits.put(arm, at + 36, b"\x14\x01")
    assert messages(user, spoilt) == [WEAK, INVALID]


LAYOUT: dict[str, Any] = {
    "bytes behind the signature": lambda data: data + bytes(16),
    "a signature that ends early": lambda data: edits.put(
        data, edits.command(data, CODE_SIGNATURE) + 12, struct.pack("<I", 4096)
    ),
    "a signature outside the file": lambda data: edits.put(
        data, edits.command(data, CODE_SIGNATURE) + 8, b"\xff\xff\xff\x7f"
    ),
    "another magic": lambda data: edits.flip(data, edits.find(data, edits.SUPERBLOB) + 3),
    "a million blobs": lambda data: edits.put(data, edits.find(data, edits.SUPERBLOB) + 8, b"\x00\x10\x00\x00"),
    "a blob outside": lambda data: edits.put(data, edits.find(data, edits.SUPERBLOB) + 16, b"\x7f\xff\xff\xff"),
    "a code limit that leaves bytes out": lambda data: edits.put(
        data, edits.blob(data, edits.CODE_DIRECTORY)[0] + 32, b"\x00\x00\x10\x00"
    ),
}


@pytest.mark.parametrize("spoil", LAYOUT.values(), ids=LAYOUT.keys())
def test_a_signature_of_an_impossible_shape(user: NotaryUser, arm: bytes, spoil: Any) -> None:
    """What cannot be read is invalid, and no defect of the service."""
    assert messages(user, spoil(arm))[0] == INVALID


def test_each_slice_is_judged(user: NotaryUser, thin: bytes, arm: bytes) -> None:
    """A defect in the second slice is told with its architecture, and the first slice is not blamed."""
    spoilt = fat(thin, edits.renamed(arm, CODE_SIGNATURE))
    issues = user.judge(zip_of({"tool": spoilt}))["issues"]
    assert {issue["architecture"] for issue in issues} == {"arm64"}
    assert [issue["message"] for issue in issues] == [NOT_SIGNED, NO_TIMESTAMP, NO_RUNTIME]


def test_bytes_between_slices(user: NotaryUser, universal: bytes) -> None:
    """A universal file may hold nothing that no slice covers."""
    assert messages(user, edits.put(universal, 0x1000, b"\x01")) == [INVALID]
    assert messages(user, universal + b"\0") == [INVALID]


def test_what_never_runs_needs_no_signature(user: NotaryUser) -> None:
    """Object files, debug symbols, Java classes and static libraries are left alone."""
    java = bytes.fromhex("cafebabe00000034") + bytes(100)
    library = edits.put(fat(image(arch="arm64")), 0x4000, b"!<arch>\n")
    members = {"a.o": image(kind="object"), "b.dSYM": image(kind="dsym"), "C.class": java, "d.a": library}
    log = user.judge(zip_of(members))
    assert (log["issues"], log["ticketContents"]) == (None, [])
