"""What goes into a signature: hash types, page sizes, versions, flags, special slots, by the rules of each era."""

from __future__ import annotations

import hashlib
import plistlib
import struct
from dataclasses import replace
from typing import Any

import pytest
from builders.chain import apple_development, developer_id
from builders.mach import DATA, compiled, fat, image
from builders.signing import sign, signatures, verify

from pipeline.codesign import ERAS, Expectations, Flags, HashType, SigningOptions, era_named
from pipeline.codesign.code_directory import CodeDirectory, build_code_directory
from pipeline.codesign.constraints import parse_constraint_der
from pipeline.codesign.options import NO_ANCHORS
from pipeline.codesign.requirements import (
    compile_requirement,
    compile_requirements,
    parse_requirement_set,
    requirement_text,
)
from pipeline.codesign.signature import Signature, parse_signature
from pipeline.codesign.superblob import Blob, Magic, Slot, build_blob, build_superblob
from pipeline.codesign.verifier import judge
from pipeline.errors import ConfigurationError, ReleaseError, SigningError, VerificationError
from pipeline.macho import BytesSource, parse_image

DEVELOPER = developer_id(team="ABCDE12345")
ENTITLEMENTS = b'  <?xml version="1.0"?>\n<plist version="1.0"><dict><key>get-task-allow</key><true/></dict></plist>'
EMPTY_SET = bytes.fromhex("fade0c010000000c00000000")


def _one(data: bytes, **options: Any) -> Signature:
    return signatures(sign(data, SigningOptions(**{"identifier": "com.example.tool", **options})))[0]


def _best(data: bytes, **options: Any) -> CodeDirectory:
    return _one(data, **options).best


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "arm64e", "i386"])
def test_every_page_is_hashed_as_it_is_written(arch: str) -> None:
    """The hashes are those of the signed file's pages, the last one short; computed here with hashlib alone."""
    signed = sign(image(arch=arch, size=50_001), SigningOptions(identifier="a.b"))
    found = parse_image(BytesSource(signed)).signature
    (signature,) = signatures(signed)
    assert found is not None
    for directory in signature.directories:
        code, page = signed[: found.dataoff], directory.page_size
        expected = [hashlib.sha256(code[at : at + page]).digest() for at in range(0, len(code), page)]
        assert [directory.code_hash(number) for number in range(directory.code_slots)] == expected
        assert directory.code_limit == found.dataoff
        assert len(code) % page, "the last page of this image is a short one"


@pytest.mark.parametrize(
    ("era", "arch", "platform", "page_size"),
    [
        ("macos-26", "arm64", 1, 16384),
        ("macos-26", "arm64e", 1, 16384),
        ("macos-26", "arm64_32", 4, 16384),
        ("macos-26", "arm64", 2, 16384),
        ("macos-26", "arm64", 3, 4096),
        ("macos-26", "x86_64", 1, 4096),
        ("macos-26", "i386", 1, 4096),
        ("macos-26", "armv7", 2, 4096),
        ("macos-15", "arm64", 1, 4096),
        ("macos-11", "arm64", 1, 4096),
    ],
)
def test_pages_are_as_large_as_the_era_has_them(era: str, arch: str, platform: int, page_size: int) -> None:
    """16 KiB on 64-bit ARM since macOS 26, but for tvOS."""
    assert _best(image(arch=arch, platform=platform, minimum="26.0"), era=era_named(era)).page_size == page_size


@pytest.mark.parametrize(
    ("era", "platform", "minimum", "types"),
    [
        ("macos-26", 1, "10.11.3", (1, 2)),
        ("macos-26", 1, "10.11.4", (2,)),
        ("macos-26", 2, "10.3", (1, 2)),
        ("macos-26", 2, "11.0", (2,)),
        ("macos-26", 3, "10.9", (1, 2)),
        ("macos-26", 4, "11.9", (1, 2)),
        ("macos-26", 4, "12.0", (2,)),
        ("macos-15", 4, "12.0", (1, 2)),
        ("macos-26", 6, "1.0", (2,)),
        ("macos-26", 10, "1.0", (2,)),
        ("macos-26", 1, None, (2,)),
        ("macos-15", 1, None, (1, 2)),
        ("macos-10.15", 1, "10.12", (2,)),
        ("macos-10.13", 2, "15.0", (1, 2)),
        ("macos-10.11", 1, "10.12", (1,)),
    ],
)
def test_sha1_is_added_where_the_target_is_too_old(
    era: str, platform: int, minimum: str | None, types: tuple[int, ...]
) -> None:
    """By platform and deployment target; SHA-1 is in slot 0 then, SHA-256 in slot 0x1000."""
    found = _one(image(arch="x86_64", platform=platform, minimum=minimum), era=era_named(era))
    assert tuple(directory.hash_type for directory in found.directories) == types
    assert [blob.slot for blob in found.blobs if blob.slot in (0, 0x1000)] == [0, 0x1000][: len(types)]
    assert found.best.hash_type == max(types)


def test_one_old_slice_makes_all_of_them_dual() -> None:
    """Since macOS 12; before, the native slice alone decided."""
    data = fat(image(arch="x86_64", minimum="10.9"), image(arch="arm64", minimum="11.0"))
    for era, count in (("macos-26", 2), ("macos-12", 2), ("macos-11", 1)):
        found = signatures(sign(data, SigningOptions(identifier="a.b", era=era_named(era))))
        assert [len(signature.directories) for signature in found] == [count, count]


def test_hash_types_can_be_given() -> None:
    """In their order: the first goes into slot 0."""
    found = _one(image(), hash_types=(HashType.SHA256, HashType.SHA384))
    assert [directory.hash_type for directory in found.directories] == [HashType.SHA256, HashType.SHA384]
    assert [blob.slot for blob in found.blobs][:1] + [blob.slot for blob in found.blobs][-2:-1] == [0, 0x1000]


@pytest.mark.parametrize(
    ("shape", "options", "version"),
    [
        ({}, {"flags": Flags.RUNTIME}, 0x20500),
        ({}, {}, 0x20400),
        ({"sdk": "0.0"}, {"flags": Flags.RUNTIME}, 0x20400),
        ({"minimum": None}, {}, 0x20100),
        ({"minimum": None}, {"flags": Flags.RUNTIME, "runtime_version": 0x000D0100}, 0x20500),
        ({}, {"era": era_named("macos-10.15")}, 0x20100),
        ({}, {"era": era_named("macos-10.15"), "flags": Flags.RUNTIME}, 0x20500),
        ({}, {"era": era_named("macos-10.13"), "flags": Flags.RUNTIME}, 0x20100),
        ({"platform": 2}, {"era": era_named("macos-10.15")}, 0x20400),
    ],
    ids=repr,
)
def test_the_version_is_the_least_that_is_needed(shape: dict[str, Any], options: dict[str, Any], version: int) -> None:
    """By runtime version, executable segment and era."""
    assert _best(image(arch="x86_64", **shape), **options).version == version


def test_the_runtime_version_is_the_sdk() -> None:
    """Of each slice its own, and only with the hardened runtime; a given one goes before."""
    data = fat(image(arch="x86_64", sdk="13.1"), image(arch="arm64", sdk="26.0.1"))
    runtime = SigningOptions(identifier="a.b", flags=Flags.RUNTIME)
    assert [one.best.runtime for one in signatures(sign(data, runtime))] == [0x000D0100, 0x001A0001]
    assert [one.best.runtime for one in signatures(sign(data, SigningOptions(identifier="a.b")))] == [0, 0]
    given = SigningOptions(identifier="a.b", flags=Flags.RUNTIME, runtime_version=0x000B0000)
    assert [one.best.runtime for one in signatures(sign(data, given))] == [0x000B0000] * 2


@pytest.mark.parametrize("kind", ["execute", "dylib", "bundle", "kext", "dylinker"])
def test_the_executable_segment_is_text(kind: str) -> None:
    """Its place is that of __TEXT; its flag says whether this is a main program."""
    data = image(arch="x86_64", kind=kind)
    text = parse_image(BytesSource(data)).segment("__TEXT")
    found = _best(data)
    assert text is not None
    assert (found.exec_segment_base, found.exec_segment_limit) == (text.fileoff, text.filesize)
    assert found.exec_segment_flags == (1 if kind == "execute" else 0)


def test_entitlements_open_the_executable_segment() -> None:
    """get-task-allow as a true boolean of a main program; not of a library, not under another name."""
    assert _best(image(), entitlements=ENTITLEMENTS).exec_segment_flags == 0x11
    library = _best(image(kind="dylib"), entitlements=ENTITLEMENTS, era=era_named("macos-12"))
    assert library.exec_segment_flags == 0
    other = plistlib.dumps({"com.apple.security.get-task-allow": True})
    assert _best(image(), entitlements=other).exec_segment_flags == 1


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
    found = _one(image(arch="x86_64", kind=kind), entitlements=ENTITLEMENTS, era=era_named(era))
    assert {blob.slot for blob in found.blobs} & {5, 7} == slots
    if 5 in slots:
        assert found.payload(5) == ENTITLEMENTS


def test_entitlements_are_verbatim() -> None:
    """Blanks before the declaration and a missing newline survive; the hash is over the blob with its header."""
    found = _one(image(), entitlements=ENTITLEMENTS)
    blob = struct.pack(">2I", 0xFADE7171, 8 + len(ENTITLEMENTS)) + ENTITLEMENTS
    assert found.blob(Slot.ENTITLEMENTS) == blob
    assert found.best.special_hash(5) == hashlib.sha256(blob).digest()


def test_entitlements_that_are_no_property_list_are_refused() -> None:
    """Before anything is signed, with the slice."""
    with pytest.raises(ReleaseError, match="no property list") as refused:
        _one(image(), entitlements=b"get-task-allow")
    assert refused.value.where == "slice arm64"


def test_special_slots_hold_what_lies_outside() -> None:
    """Info.plist and CodeResources of a bundle; the empty slots below are zeros, the count is the highest filled."""
    plist, seal = plistlib.dumps({"CFBundleIdentifier": "a.b"}), b"<plist/>"
    found = _best(image(), info_plist=plist, code_resources=seal)
    assert found.special == (
        hashlib.sha256(plist).digest(),
        hashlib.sha256(EMPTY_SET).digest(),
        hashlib.sha256(seal).digest(),
    )
    assert _best(image(), code_resources=seal).special[0] == bytes(32)
    assert len(_best(image()).special) == 2


def test_an_embedded_plist_is_bound_whole() -> None:
    """The whole section of the native slice, in every slice's first slot."""
    intel, apple = (plistlib.dumps({"CFBundleIdentifier": "a.b", "Slice": arch}) for arch in ("x86_64", "arm64"))
    data = fat(image(arch="x86_64", info_plist=intel), image(arch="arm64", info_plist=apple))
    for found in signatures(sign(data, SigningOptions())):
        assert found.best.special_hash(1) == hashlib.sha256(apple).digest()


def test_an_ad_hoc_signature_says_so() -> None:
    """Its flag, its empty set of requirements and its empty CMS."""
    found = _one(image(), flags=Flags.RUNTIME)
    assert found.best.flags == 0x10002
    assert found.blob(Slot.REQUIREMENTS) == EMPTY_SET
    assert found.blob(Slot.CMS) == bytes.fromhex("fade0b0100000008")


@pytest.mark.parametrize(
    ("value", "flags"),
    [(0x200, 0x202), ("kill, library-validation", 0x2202), ("", 2), (None, 2)],
    ids=["number", "names", "no name", "absent"],
)
def test_an_info_plist_can_give_flags(value: object, flags: int) -> None:
    """CSFlags, where the caller gives none."""
    plist = plistlib.dumps({"CFBundleIdentifier": "a.b"} | ({"CSFlags": value} if value is not None else {}))
    assert _best(image(info_plist=plist)).flags == flags
    assert _best(image(info_plist=plist), flags=Flags.HARD).flags == 0x102


@pytest.mark.parametrize("value", ["nonsense", True, [1]])
def test_flags_that_are_none_are_refused(value: object) -> None:
    """Another kind of CSFlags, or an unknown name."""
    plist = plistlib.dumps({"CFBundleIdentifier": "a.b", "CSFlags": value})
    with pytest.raises(ReleaseError):
        sign(image(info_plist=plist), SigningOptions())


def test_flags_that_cannot_be_are_refused() -> None:
    """linker-signed is the linker's, and i386 knows no library validation."""
    with pytest.raises(SigningError, match="linker's own"):
        _one(image(), flags=Flags.LINKER_SIGNED)
    with pytest.raises(SigningError, match="i386"):
        _one(image(arch="i386"), flags=Flags.LIBRARY_VALIDATION)
    assert _one(image(arch="x86_64"), flags=Flags.LIBRARY_VALIDATION)


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
    found = _one(image(), constraints=dict.fromkeys(slots, plist))
    assert len(found.best.special) == 11
    for slot in slots:
        blob = found.blob(slot)
        assert blob is not None
        assert parse_constraint_der(blob[8:]) == plistlib.loads(plist)
        assert found.best.special_hash(slot) == hashlib.sha256(blob).digest()
    assert found.best.special_hash(Slot.LAUNCH_CONSTRAINT_RESPONSIBLE) is None
    with pytest.raises(SigningError, match="no constraint"):
        _one(image(), constraints={Slot.ENTITLEMENTS: plist})


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


def test_slices_of_different_kinds_are_not_signed_together() -> None:
    """A universal file holds one kind of file."""
    with pytest.raises(SigningError, match="different file types"):
        sign(fat(image(arch="x86_64", kind="dylib"), image(arch="arm64")), SigningOptions())


@pytest.mark.parametrize("page_size", [0, 1, 100, 2048, 131072])
def test_a_page_size_without_sense_is_refused(page_size: int) -> None:
    """Powers of two from 4096 to 65536 only."""
    with pytest.raises(SigningError, match="a page size of"):
        _one(image(), page_size=page_size)
    assert _best(image(), page_size=65536).page_size == 65536


def test_eras_have_names() -> None:
    """The contract's seven and those of before, newest first; another name is told with those there are."""
    assert [era.name for era in ERAS] == [
        f"macos-{name}"
        for name in ("26", "15", "12", "11", "10.15", "10.13", "10.12", "10.11.4", "10.11", "10.9", "10.7")
    ]
    with pytest.raises(ConfigurationError, match="unknown era 'macos-9'") as refused:
        era_named("macos-9")
    assert "macos-10.11" in (refused.value.remedy or "")


@pytest.mark.parametrize("era", [era.name for era in ERAS])
@pytest.mark.parametrize("data", [image(arch="x86_64", size=len(DATA)), compiled("arm64"), compiled("arm64", "dylib")])
def test_a_signature_of_every_era_holds(era: str, data: bytes) -> None:
    """Whatever the era, what was signed verifies."""
    options = SigningOptions(
        identifier="com.example.tool",
        anchors=DEVELOPER.anchors,
        era=era_named(era),
        entitlements=ENTITLEMENTS,
        flags=Flags.RUNTIME,
    )
    (found,) = verify(sign(data, options, DEVELOPER), DEVELOPER)
    assert found.identifier == "com.example.tool"
    assert not found.residue
