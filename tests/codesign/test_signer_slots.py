"""What fills the slots of a signature: entitlements, requirements, constraints, what lies outside."""

from __future__ import annotations

import hashlib
import plistlib
import struct
from dataclasses import replace

import pytest
from builders.chain import apple_development, developer_id
from builders.mach import compiled, fat, image
from builders.signing import directory_with, sign, signature_with, signatures, verify

from pipeline.codesign import Expectations, Flags, SigningOptions, era_named
from pipeline.codesign.code_directory import build_code_directory
from pipeline.codesign.constraints import parse_constraint_der
from pipeline.codesign.options import NO_ANCHORS
from pipeline.codesign.requirements import (
    compile_requirement,
    compile_requirements,
    parse_requirement_set,
    requirement_text,
)
from pipeline.codesign.signature import parse_signature
from pipeline.codesign.superblob import Blob, Magic, Slot, build_blob, build_superblob
from pipeline.codesign.verifier import judge
from pipeline.errors import ReleaseError, SigningError, VerificationError
from pipeline.macho import BytesSource, parse_image

DEVELOPER = developer_id(team="ABCDE12345")
ENTITLEMENTS = b'  <?xml version="1.0"?>\n<plist version="1.0"><dict><key>get-task-allow</key><true/></dict></plist>'
EMPTY_SET = bytes.fromhex("fade0c010000000c00000000")


def test_entitlements_open_the_executable_segment() -> None:
    """get-task-allow as a true boolean of a main program; not of a library, not under another name."""
    assert directory_with(image(), entitlements=ENTITLEMENTS).exec_segment_flags == 0x11
    library = directory_with(image(kind="dylib"), entitlements=ENTITLEMENTS, era=era_named("macos-12"))
    assert library.exec_segment_flags == 0
    other = plistlib.dumps({"com.apple.security.get-task-allow": True})
    assert directory_with(image(), entitlements=other).exec_segment_flags == 1


@pytest.mark.parametrize(
    ("era", "kind", "slots"),
    [
        ("macos-26", "execute", {5, 7}),
        ("macos-26", "dylib", set()),
        ("macos-15", "dylib", set()),
        ("macos-12", "dylib", {5}),
        ("macos-11", "bundle", {5}),
        ("macos-11", "execute", {5, 7}),
        ("macos-10.15", "execute", {5}),
        ("macos-10.11", "execute", {5}),
    ],
)
def test_entitlements_go_where_the_era_puts_them(era: str, kind: str, slots: set[int]) -> None:
    """XML and DER into programs, XML alone into libraries up to macOS 14, no DER before macOS 11."""
    found = signature_with(image(arch="x86_64", kind=kind), entitlements=ENTITLEMENTS, era=era_named(era))
    assert {blob.slot for blob in found.blobs} & {5, 7} == slots
    if 5 in slots:
        assert found.payload(5) == ENTITLEMENTS


def test_entitlements_are_verbatim() -> None:
    """Blanks before the declaration and a missing newline survive; the hash is over the blob with its header."""
    found = signature_with(image(), entitlements=ENTITLEMENTS)
    blob = struct.pack(">2I", 0xFADE7171, 8 + len(ENTITLEMENTS)) + ENTITLEMENTS
    assert found.blob(Slot.ENTITLEMENTS) == blob
    assert found.best.special_hash(5) == hashlib.sha256(blob).digest()


def test_entitlements_that_are_no_property_list_are_refused() -> None:
    """Before anything is signed, with the slice."""
    with pytest.raises(ReleaseError, match="no property list") as refused:
        signature_with(image(), entitlements=b"get-task-allow")
    assert refused.value.where == "slice arm64"


def test_special_slots_hold_what_lies_outside() -> None:
    """Info.plist and CodeResources of a bundle; the empty slots below are zeros, the count is the highest filled."""
    plist, seal = plistlib.dumps({"CFBundleIdentifier": "a.b"}), b"<plist/>"
    found = directory_with(image(), info_plist=plist, code_resources=seal)
    assert found.special == (
        hashlib.sha256(plist).digest(),
        hashlib.sha256(EMPTY_SET).digest(),
        hashlib.sha256(seal).digest(),
    )
    assert directory_with(image(), code_resources=seal).special[0] == bytes(32)
    assert len(directory_with(image()).special) == 2


def test_an_embedded_plist_is_bound_whole() -> None:
    """The whole section of the native slice, in every slice's first slot."""
    intel, apple = (plistlib.dumps({"CFBundleIdentifier": "a.b", "Slice": arch}) for arch in ("x86_64", "arm64"))
    data = fat(image(arch="x86_64", info_plist=intel), image(arch="arm64", info_plist=apple))
    for found in signatures(sign(data, SigningOptions())):
        assert found.best.special_hash(1) == hashlib.sha256(apple).digest()


def test_an_ad_hoc_signature_says_so() -> None:
    """Its flag, its empty set of requirements and its empty CMS."""
    found = signature_with(image(), flags=Flags.RUNTIME)
    assert found.best.flags == 0x10002
    assert found.blob(Slot.REQUIREMENTS) == EMPTY_SET
    assert found.blob(Slot.CMS) == bytes.fromhex("fade0b0100000008")


def test_a_certificate_gives_team_and_requirement() -> None:
    """Developer ID: the leaf's organizational unit, and the designated requirement that codesign writes by default."""
    options = SigningOptions(identifier="com.example.tool", anchors=DEVELOPER.anchors)
    signed = sign(compiled("arm64"), options, DEVELOPER)
    (found,) = verify(signed, DEVELOPER)
    assert found.team == "ABCDE12345"
    assert found.flags == ()
    assert found.authorities[0] == "Developer ID Application: Example (ABCDE12345)"
    assert found.requirement == (
        'identifier "com.example.tool" and anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6] '
        "/* exists */ and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ "
        "and certificate leaf[subject.OU] = ABCDE12345"
    )


def test_another_team_than_the_certificates_is_refused() -> None:
    """The same team may be given, and any team where the certificate names none."""
    options = SigningOptions(identifier="a.b", anchors=DEVELOPER.anchors, team="OTHER67890")
    with pytest.raises(SigningError, match=r"OTHER67890 .* ABCDE12345"):
        sign(image(), options, DEVELOPER)
    assert signatures(sign(image(), SigningOptions(identifier="a.b", team="T")))[0].best.team == "T"
    same = SigningOptions(identifier="a.b", anchors=DEVELOPER.anchors, team="ABCDE12345")
    assert signatures(sign(image(), same, DEVELOPER))[0].best.team == "ABCDE12345"


def test_without_apples_roots_a_chain_is_a_strangers() -> None:
    """No team then, and a requirement that names the certificate itself."""
    (found,) = signatures(sign(image(), SigningOptions(identifier="a.b", anchors=NO_ANCHORS), DEVELOPER))
    assert found.best.team is None
    requirement = parse_requirement_set(found.blob(Slot.REQUIREMENTS) or b"")[3]
    assert "= H" in requirement_text(requirement)


def test_apple_development_has_its_own_requirement() -> None:
    """The leaf's common name and Apple's intermediate."""
    chain = apple_development(team="ABCDE12345")
    signed = sign(image(), SigningOptions(identifier="a.b", anchors=chain.anchors), chain)
    (found,) = verify(signed, chain)
    assert "certificate 1[field.1.2.840.113635.100.6.2.1]" in (found.requirement or "")


def test_a_given_requirement_stays_and_lacks_nothing() -> None:
    """A designated one replaces the default; beside another kind the default is still added."""
    own = compile_requirements('designated => identifier "com.example.tool" and anchor apple generic')
    library = compile_requirements("library => anchor apple")
    options = SigningOptions(identifier="com.example.tool", anchors=DEVELOPER.anchors, requirements=own)
    assert signatures(sign(image(), options, DEVELOPER))[0].blob(2) == own
    options = SigningOptions(identifier="com.example.tool", anchors=DEVELOPER.anchors, requirements=library)
    found = signatures(sign(image(), options, DEVELOPER))[0]
    assert sorted(parse_requirement_set(found.blob(2) or b"")) == [3, 4]


def test_what_the_linker_recorded_of_libraries_is_required() -> None:
    """LC_DYLIB_CODE_SIGN_DRS: one of the libraries' requirements, compiled or as text, must hold."""
    compiled_one = compile_requirement('identifier "com.apple.a" and anchor apple')
    text = build_blob(Magic.WRAPPER, b'identifier "com.apple.b" and anchor apple')
    container = build_superblob(
        [Blob(slot=0, data=compiled_one), Blob(slot=1, data=text), Blob(slot=2, data=compiled_one)],
        Magic.LIBRARY_DEPENDENCIES,
    )
    data = image(sections=(("__drs", container),))
    section = parse_image(BytesSource(data)).section("__TEXT", "__drs")
    assert section is not None
    # The command is 16 bytes longer than none, which moves the section by as much.
    command = struct.pack("<4I", 0x2B, 16, section.offset + 16, section.size)
    (found,) = signatures(sign(image(sections=(("__drs", container),), extra=(command,)), SigningOptions()))
    assert requirement_text(parse_requirement_set(found.blob(2) or b"")[4]) == (
        'identifier "com.apple.a" and anchor apple or identifier "com.apple.b" and anchor apple '
        'or identifier "com.apple.a" and anchor apple'
    )
    # As the linker of 2013 wrote it for libraries that were not signed: an entry each, none with a blob.
    unused = struct.pack(">3I", Magic.LIBRARY_DEPENDENCIES, 12 + 2 * 8, 2) + struct.pack(">4I", 0, 0, 1, 0)
    command = struct.pack("<4I", 0x2B, 16, section.offset + 16, len(unused))
    nothing = image(sections=(("__drs", unused.ljust(section.size, b"\0")),), extra=(command,))
    assert signatures(sign(nothing, SigningOptions()))[0].blob(2) == EMPTY_SET
    empty = struct.pack("<4I", 0x2B, 16, 0, 0)
    assert signatures(sign(image(extra=(empty,)), SigningOptions()))[0].blob(2) == EMPTY_SET


def test_constraints_get_their_slots() -> None:
    """Launch constraints in slots 8 to 10, the library constraint in 11, each under a hash."""
    plist = plistlib.dumps({"team-identifier": "ABCDE12345", "$or": {"is-init-proc": True}})
    slots = (Slot.LAUNCH_CONSTRAINT_SELF, Slot.LAUNCH_CONSTRAINT_PARENT, Slot.LIBRARY_CONSTRAINT)
    found = signature_with(image(), constraints=dict.fromkeys(slots, plist))
    assert len(found.best.special) == 11
    for slot in slots:
        blob = found.blob(slot)
        assert blob is not None
        assert parse_constraint_der(blob[8:]) == plistlib.loads(plist)
        assert found.best.special_hash(slot) == hashlib.sha256(blob).digest()
    assert found.best.special_hash(Slot.LAUNCH_CONSTRAINT_RESPONSIBLE) is None
    with pytest.raises(SigningError, match="no constraint"):
        signature_with(image(), constraints={Slot.ENTITLEMENTS: plist})


def test_a_signature_of_april_2016_lists_its_slots() -> None:
    """As real ones do: CodeDirectories, special slots, the list itself, CMS. Another list is refused."""
    options = SigningOptions(identifier="a.b", era=era_named("macos-10.11.4"), entitlements=plistlib.dumps({}))
    data = sign(image(arch="x86_64", minimum="10.9"), options)
    (found,) = signatures(data)
    assert found.payload(Slot.SLOT_LIST) == struct.pack(">6I", 0, 2, 4, 5, 0x1000, 0x10000)
    for directory in found.directories:
        listed = directory.hash_type.digest(found.payload(Slot.SLOT_LIST) or b"")
        assert directory.special_hash(Slot.SLOT_LIST) == listed
    assert verify(data, DEVELOPER)
    lie = build_blob(Magic.WRAPPER, struct.pack(">5I", 0, 2, 4, 0x1000, 0x10000))
    blobs = [Blob(slot=blob.slot, data=lie if blob.slot == Slot.SLOT_LIST else blob.data) for blob in found.blobs]
    for number, directory in zip((0, 0x1000), found.directories, strict=True):
        special = (*directory.special[:3], directory.hash_type.digest(lie[8:]), *directory.special[4:])
        changed = build_code_directory(replace(directory, special=special))
        blobs = [Blob(slot=number, data=changed.blob) if blob.slot == number else blob for blob in blobs]
    with pytest.raises(VerificationError, match="it does not list the slots that there are"):
        judge("x86_64", parse_signature(build_superblob(blobs)), Expectations(anchors=DEVELOPER.anchors), ())
