"""Requirements: real blobs printed and compiled again; rcodesign reads what we compile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from builders.clients import need
from builders.mach import image
from builders.signature_parts import BY_CODESIGN, Parts, marked
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign.requirements import (
    build_requirement_set,
    compile_requirement,
    compile_requirements,
    designated,
    parse_requirement,
    parse_requirement_set,
    requirement_text,
)
from pipeline.codesign.requirements.program import build_requirement
from pipeline.codesign.superblob import Magic, build_blob
from pipeline.errors import ReleaseError

XCODE = (
    'designated => anchor apple generic and identifier "org.mitmproxy.macos-redirector" and (certificate'
    " leaf[field.1.2.840.113635.100.6.1.9] /* exists */ or certificate 1[field.1.2.840.113635.100.6.2.6] /* exists */"
    " and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate leaf[subject.OU] ="
    " S8XHQB96PW)\n"
)
DEFAULT = (
    "designated => identifier node and anchor apple generic and certificate 1[field.1.2.840.113635.100.6.2.6]"
    " /* exists */ and certificate leaf[field.1.2.840.113635.100.6.1.13] /* exists */ and certificate"
    " leaf[subject.OU] = HX7739G8FX\n"
)
HASH = "0123456789abcdef0123456789abcdef01234567"

# What is written, what Apple's printer makes of it (reqdumper.cpp), and what rcodesign makes of it.
TEXTS = [
    ("always", "always", "always"),
    ("true", "always", "always"),
    ("never and !always", "never and ! always", "(never) and (!(always))"),
    ("identifier foo", "identifier foo", 'identifier "foo"'),
    ("identifier = com.example.tool", 'identifier "com.example.tool"', 'identifier "com.example.tool"'),
    ('identifier == "host"', 'identifier "host"', 'identifier "host"'),
    ("anchor apple", "anchor apple", "anchor apple"),
    ("anchor apple generic", "anchor apple generic", "anchor apple generic"),
    ("anchor generic apple", "anchor apple generic", "anchor apple generic"),
    ("anchor apple foo", "anchor apple foo", "anchor apple foo"),
    ("anchor trusted", "anchor trusted", "anchor trusted"),
    ("cert trusted", "anchor trusted", "anchor trusted"),
    (f'certificate leaf = H"{HASH}"', f'certificate leaf = H"{HASH}"', f'certificate leaf = H"{HASH}"'),
    (f'anchor H"{HASH.upper()}"', f'certificate root = H"{HASH}"', f'certificate root = H"{HASH}"'),
    (f'cdhash H"{HASH}"', f'cdhash H"{HASH}"', f'cdhash H"{HASH}"'),
    ('info[CFBundleVersion] >= "1.2"', 'info[CFBundleVersion] >= "1.2"', 'info [CFBundleVersion] >= "1.2"'),
    ("info[a.b] = x*", "info[a.b] = x*", 'info [a.b] = "x*"'),
    ("info[a] = *x", "info[a] = *x", 'info [a] = "*x"'),
    ("info[a] = *x*", "info[a] ~ x", 'info [a] ~ "x"'),
    ("info[a] ~ x", "info[a] ~ x", 'info [a] ~ "x"'),
    ("info[a] <= 0x6162", "info[a] <= ab", 'info [a] <= "ab"'),
    ("info[a] > x # why", "info[a] > x", 'info [a] > "x"'),
    ("info[a] absent", "info[a] absent ", "info [a] absent"),
    ("entitlement[\"a-b\"] exists", 'entitlement["a-b"] /* exists */', "entitlement [a-b] /* exists */"),
    ('entitlement[x] = "true"', 'entitlement[x] = "true"', 'entitlement [x] = "true"'),
    ("certificate 1[field.1.2.840] exists", "certificate 1[field.1.2.840] /* exists */",
     "certificate 1[field.1.2.840] /* exists */"),
    ("certificate 1[extension.1.2.840]", "certificate 1[field.1.2.840] /* exists */",
     "certificate 1[field.1.2.840] /* exists */"),
    ("certificate -2[policy.1.2.3] exists", "certificate -2[policy.1.2.3] /* exists */",
     "certificate -2[policy.1.2.3] /* exists */"),
    ("certificate leaf[timestamp.1.2.3] absent", "certificate leaf[timestamp.1.2.3] absent ",
     "certificate leaf[timestamp.1.2.3] absent"),
    ('cert leaf[subject.O] = "A\\"b"', 'certificate leaf[subject.O] = "A\\"b"', 'certificate leaf[subject.O] = "A"b"'),
    ("certificate leaf trusted", "certificate leaftrusted", "certificate 0 trusted"),
    ("(bar)", "(bar)", "(bar)"),
    ("platform = 2", "platform = 2", "platform = 2"),
    ("notarized or legacy", "notarized or legacy", "(notarized) or (legacy)"),
    ("never or always and never", "never or always and never", "(never) or ((always) and (never))"),
    ("(never or always) and never;;", "(never or always) and never", "((never) or (always)) and (never)"),
    ("never and (always and never)", "never and always and never", "(never) and ((always) and (never))"),
    ("! (never or always)", "! (never or always)", "!((never) or (always))"),
    ("! ! never /* so\n*/ // and\n", "! ! never", "!(!(never))"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "printed", "_read"), TEXTS, ids=[text for text, _, _ in TEXTS])
def test_text_prints_as_apple_prints_it(text: str, printed: str, _read: str) -> None:
    """One row a rule of the language and of the printer."""
    assert requirement_text(compile_requirement(text)) == printed
    assert requirement_text(compile_requirements(f"library => {text}")) == f"library => {printed}\n"


@pytest.mark.rcodesign
def test_rcodesign_reads_what_we_compile(tmp_path: Path) -> None:
    """A signature made by rcodesign around our bytes: what it says the requirement is."""
    rcodesign = str(need("rcodesign"))
    (tmp_path / "tool").write_bytes(image(arch="arm64"))
    for text, _, read in TEXTS:
        (tmp_path / "requirement").write_bytes(compile_requirement(text))
        signing = [rcodesign, "sign", "--code-requirements-path", "requirement", "tool", "signed"]
        subprocess.run(signing, cwd=tmp_path, check=True, capture_output=True)
        extracted = subprocess.run(
            [rcodesign, "extract", "requirements", "signed"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert extracted.stdout.strip() == f"designated(3) => {read}"


@pytest.mark.npm
@pytest.mark.registry
@pytest.mark.rcodesign
def test_rcodesigns_text_compiles_to_the_real_bytes(tmp_path: Path) -> None:
    """rcodesign puts every part in parentheses: of its text of a real requirement come the very bytes."""
    rcodesign = str(need("rcodesign"))
    (tmp_path / "tool").write_bytes(image(arch="arm64"))
    for name in BY_CODESIGN:
        whole = Parts(name=name).requirements
        (tmp_path / "requirement").write_bytes(designated(whole) or b"")
        signing = [rcodesign, "sign", "--code-requirements-path", "requirement", "tool", "signed"]
        subprocess.run(signing, cwd=tmp_path, check=True, capture_output=True)
        extracted = subprocess.run(
            [rcodesign, "extract", "requirements", "signed"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert compile_requirements(extracted.stdout.replace("designated(3)", "designated")) == whole


@pytest.mark.registry
def test_xcodes_requirement_comes_out_the_same() -> None:
    """Xcode gives its requirement as text: the real bytes print as that text, and the text compiles to them."""
    real = Parts(name="mitmproxy-app").requirements
    assert requirement_text(real) == XCODE
    assert compile_requirements(XCODE) == real


@pytest.mark.npm
def test_the_default_requirement_prints_as_codesign_prints_it() -> None:
    """Its `and` nest to the right, which text cannot tell: compiled again it means the same in other bytes."""
    real = Parts(name="node-8.9.4").requirements
    assert requirement_text(real) == DEFAULT
    again = compile_requirements(DEFAULT)
    assert again != real
    assert requirement_text(again) == DEFAULT


@pytest.mark.parametrize("name", marked(BY_CODESIGN))
def test_real_requirements_are_written_as_they_are_read(name: str) -> None:
    """Sets and programs, both ways."""
    whole = Parts(name=name).requirements
    assert build_requirement_set(parse_requirement_set(whole)) == whole
    requirement = designated(whole)
    assert requirement is not None
    assert build_requirement(parse_requirement(requirement)) == requirement


def test_a_set_holds_requirements_by_type() -> None:
    """Names and numbers; several in one text; an empty set has no designated requirement."""
    whole = compile_requirements("host => anchor apple designated => identifier a; 9 => never\nplugin => always")
    assert list(parse_requirement_set(whole)) == [1, 3, 5, 9]
    assert designated(whole) == compile_requirement("identifier a")
    assert requirement_text(whole).splitlines() == [
        "host => anchor apple",
        "designated => identifier a",
        "plugin => always",
        "/*unknown type*/ 9 => never",
    ]
    assert designated(build_requirement_set({})) is None
    assert build_requirement_set({}) == bytes.fromhex("fade0c01 0000000c 00000000")


# Requirements that Apple's own source carries compiled, with the text beside them (LWCRHelper.mm, Security 61901).
_GENERIC = "anchor apple generic and "
BY_APPLE = {
    "anchor apple": "00000003",
    _GENERIC + "certificate leaf[field.1.2.840.113635.100.6.1.25.1]": (
        "00000006 0000000f 0000000e 00000000 0000000b 2a864886f76364060119 01 00 00000000"
    ),
    _GENERIC + "certificate 1[field.1.2.840.113635.100.6.2.6] and certificate leaf[field.1.2.840.113635.100.6.1.13]": (
        "00000006 00000006 0000000f 0000000e 00000001 0000000a 2a864886f76364060206 0000 00000000"
        "0000000e 00000000 0000000a 2a864886f7636406010d 0000 00000000"
    ),
    _GENERIC + "certificate 1[field.1.2.840.113635.100.6.2.1] and (certificate leaf[field.1.2.840.113635.100.6.1.2] or"
    " certificate leaf[field.1.2.840.113635.100.6.1.12])": (
        "00000006 00000006 0000000f 0000000e 00000001 0000000a 2a864886f76364060201 0000 00000000 00000007"
        "0000000e 00000000 0000000a 2a864886f76364060102 0000 00000000"
        "0000000e 00000000 0000000a 2a864886f7636406010c 0000 00000000"
    ),
    _GENERIC + "(certificate leaf[field.1.2.840.113635.100.6.1.9] or"
    " certificate leaf[field.1.2.840.113635.100.6.1.9.1] or certificate leaf[field.1.2.840.113635.100.6.1.3] or"
    " certificate leaf[field.1.2.840.113635.100.6.1.3.1] or certificate leaf[field.1.2.840.113635.100.6.1.24] or"
    " certificate leaf[field.1.2.840.113635.100.6.1.24.1])": (
        "00000006 0000000f 00000007 00000007 00000007 00000007 00000007"
        "0000000e 00000000 0000000a 2a864886f76364060109 0000 00000000"
        "0000000e 00000000 0000000b 2a864886f76364060109 01 00 00000000"
        "0000000e 00000000 0000000a 2a864886f76364060103 0000 00000000"
        "0000000e 00000000 0000000b 2a864886f76364060103 01 00 00000000"
        "0000000e 00000000 0000000a 2a864886f76364060118 0000 00000000"
        "0000000e 00000000 0000000b 2a864886f76364060118 01 00 00000000"
    ),
}


@pytest.mark.parametrize("text", BY_APPLE, ids=lambda text: text[:70])
def test_apples_own_texts_compile_to_apples_own_bytes(text: str) -> None:
    """Both stand in Apple's source, side by side."""
    assert compile_requirement(text)[12:] == bytes.fromhex(BY_APPLE[text])


def test_times_are_seconds_since_2001() -> None:
    """The rule of the system policy for what was made before notarization began, in Apple's bytes."""
    text = 'certificate leaf[timestamp.1.2.840.113635.100.6.1.33] < timestamp "20190408000000Z"'
    blob = compile_requirement(text)
    assert blob.endswith(bytes.fromhex("0000000a 2a864886f7636406 01210000 0000000a 00000000 225ac680"))
    assert requirement_text(blob).endswith("[timestamp.1.2.840.113635.100.6.1.33] < <2019-04-08 00:00:00 +0000>")


def _blob(*words: int | bytes) -> bytes:
    payload = b"".join(word if isinstance(word, bytes) else word.to_bytes(4, "big") for word in words)
    return build_blob(Magic.REQUIREMENT, payload)


BAD_BLOBS = {
    "cut off": [_blob(1), _blob(1, 6, 1), _blob(1, 2, 5, b"abcd"), _blob(1, 11, 0, 1, b"a\0\0\0"), _blob()],
    "behind the expression": [_blob(1, 1, 1), _blob(1, 1, b"\0")],
    "unknown opcode": [_blob(1, 24), _blob(1, 0x20000018)],
    "flags on the known opcode": [_blob(1, 0x80000001)],
    "padding that is not zero": [_blob(1, 2, 1, b"a\0\0\1")],
    "unknown comparison": [_blob(1, 10, 1, b"a\0\0\0", 15)],
    "unknown form": [_blob(3, 1)],
    "lightweight": [_blob(2, 1)],
    "nested more than": [_blob(1, *[9] * 1000, 1)],
    "the most that is read": [_blob(1, 2, 1 << 18, bytes(1 << 18))],
    "a blob of kind": [compile_requirements("host => always"), build_blob(Magic.CODE_DIRECTORY, b"")],
}


@pytest.mark.parametrize("reason", BAD_BLOBS)
def test_a_blob_with_a_defect_is_refused(reason: str) -> None:
    """One defect a row; nothing is read past the end."""
    for blob in BAD_BLOBS[reason]:
        with pytest.raises(ReleaseError, match=reason):
            parse_requirement(blob)


def test_opcodes_of_the_future_that_say_their_length_are_passed_over() -> None:
    """One kind counts as false, the other gives way to what follows; both are kept."""
    false = _blob(1, 0x8000FFFF, 3, b"abc\0")
    skipped = _blob(1, 0x4000FFFF, 0, 6, 1, 0)
    for blob in (false, skipped):
        assert build_requirement(parse_requirement(blob)) == blob
    assert requirement_text(false) == "false /* opcode 65535 */"
    assert requirement_text(skipped) == "/* opcode 65535 */ always and never"


@given(st.binary(max_size=120))
def test_any_payload_is_a_requirement_or_our_error(payload: bytes) -> None:
    """Neither parser nor printer leaks another exception; what is read is written again."""
    blob = _blob(1, payload)
    try:
        assert build_requirement(parse_requirement(blob)) == blob
        requirement_text(blob)
    except ReleaseError:
        return
