"""The requirement language: mistakes are refused with their place; what is printed compiles to the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codesign import der
from pipeline.codesign.requirements import compile_requirement, compile_requirements, requirement_text
from pipeline.codesign.requirements.program import (
    MATCHES_OF_TIME,
    MATCHES_WITHOUT_VALUE,
    Instruction,
    Match,
    MatchOp,
    Op,
    build_requirement,
)
from pipeline.errors import ConfigurationError, NotSupported, ReleaseError

BAD_TEXTS = {
    "": "line 1, column 1",
    "identifier": "the end was found",
    "identifier and": "'and' was found",
    "identifier a b": "'b' stands behind",
    "(identifier a": r"'\)' was expected",
    "identifier a and\n or": "line 2, column 2",
    'identifier "a': "begins nothing",
    "identifier a\r\nand always": "begins nothing",
    "anchor = 5": "a hash was expected",
    'cdhash H"00"': "40 digits",
    "info[a] = 0xabc": "odd number",
    "certificate leaf[field.1.x]": "not an object identifier",
    "certificate leaf[email]": "no field of a certificate",
    "certificate 99999999999[subject.CN]": "too large",
    "platform = 2147483648": "too large",
    'info[a] < timestamp "yesterday"': "is no time",
    "designated => always": "cannot begin",
    "(" * 101 + "always" + ")" * 101: "nested more than",
    "!" * 101 + "always": "nested more than",
    " or ".join(["always"] * 1001): "1000 deep",
    "identifier \ud800": "begins nothing",
    'identifier "\ud800"': "not Unicode",
}


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: ascii(text[:40]))
def test_a_text_with_a_mistake_is_refused_with_its_place(text: str) -> None:
    """A configuration error; what is missing or wrong, at which line and column."""
    with pytest.raises(ConfigurationError, match=BAD_TEXTS[text]):
        compile_requirement(text)


def test_a_set_with_a_mistake_is_refused() -> None:
    """No type, a type twice, nothing behind the arrow."""
    for text, reason in {
        "always": "a set of requirements",
        "host => always host => never": "two requirements",
        "host =>": "the end was found",
        "host always": "'=>' was expected",
        "": "a set",
    }.items():
        with pytest.raises(ConfigurationError, match=reason):
            compile_requirements(text)


def test_a_certificate_cannot_be_named_by_its_file() -> None:
    """Nothing here reads files; the hash must be given."""
    with pytest.raises(NotSupported, match="by its file"):
        compile_requirement("anchor = /path/to/certificate")


def test_many_conditions_are_no_trouble() -> None:
    """A requirement of 999 CDHashes compiles and prints."""
    text = " or ".join(f'cdhash H"{number:040x}"' for number in range(999))
    assert requirement_text(compile_requirement(text)) == text


@pytest.mark.parametrize("key", ["a.0b", "a..b", "a.", ".a", "com.example.3d"])
def test_a_key_that_is_no_name_is_printed_in_quotes(key: str) -> None:
    """A key with dots that the grammar cannot read bare gets its quotes back."""
    text = f'entitlement["{key}"] /* exists */'
    assert requirement_text(compile_requirement(text)) == text


@given(st.text(max_size=60))
def test_any_text_is_a_requirement_or_our_error(text: str) -> None:
    """The compiler leaks no other exception."""
    for compiled in (compile_requirement, compile_requirements):
        try:
            compiled(text)
        except ReleaseError:
            continue


@st.composite
def programs(draw: st.DrawFn, depth: int = 3) -> list[Instruction]:
    """Programs as the compiler emits them: `and` and `or` to the left, nothing that the text cannot say."""
    op = draw(st.sampled_from([*Op]).filter(lambda each: each not in _NOT_IN_TEXT))
    if op in (Op.AND, Op.OR, Op.NOT):
        if not depth:
            return [Instruction(op=Op.TRUE)]
        left = draw(programs(depth=depth - 1))
        if op is Op.NOT:
            return [Instruction(op=op), *left]
        right = draw(programs(depth=0))
        return [Instruction(op=op), *left, *right]
    return [draw(instructions(op))]


# Legacy; and what the printer runs together or cannot give a place to.
_NOT_IN_TEXT = (Op.INFO_VALUE, Op.CERTIFICATE_TRUSTED, Op.CERTIFICATE_TIMESTAMP)
_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8).map(str.encode)
_OID = st.sampled_from(["1.2.840.113635.100.6.1.13", "2.5.4.3", "1.3.6"])


@st.composite
def instructions(draw: st.DrawFn, op: Op) -> Instruction:
    number, data, match = 0, b"", None
    if op in (Op.ANCHOR_HASH, Op.CERTIFICATE_SUBJECT, Op.CERTIFICATE_FIELD, Op.CERTIFICATE_POLICY):
        number = draw(st.integers(-3, 3))
    if op in (Op.ANCHOR_HASH, Op.CDHASH):
        data = draw(st.binary(min_size=20, max_size=20))
    elif op in (Op.IDENTIFIER, Op.ANCHOR_NAMED, Op.NAMED_CODE, Op.INFO, Op.ENTITLEMENT):
        data = draw(_TEXT)
    elif op is Op.CERTIFICATE_SUBJECT:
        data = b"subject." + draw(_TEXT.filter(len))
    elif op in (Op.CERTIFICATE_FIELD, Op.CERTIFICATE_POLICY):
        data = der.build_oid(draw(_OID))
    elif op is Op.PLATFORM:
        number = draw(st.integers(0, 10))
    if op in (Op.INFO, Op.ENTITLEMENT, Op.CERTIFICATE_SUBJECT, Op.CERTIFICATE_FIELD, Op.CERTIFICATE_POLICY):
        kind = draw(st.sampled_from([each for each in MatchOp if each not in MATCHES_OF_TIME]))
        match = Match(op=kind, text=b"" if kind in MATCHES_WITHOUT_VALUE else draw(_TEXT))
    return Instruction(op=op, number=number, data=data, match=match)


@given(programs())
def test_what_is_printed_compiles_to_the_same_bytes(program: list[Instruction]) -> None:
    """For everything that the compiler can emit, the text says all that the bytes say."""
    blob = build_requirement(program)
    assert compile_requirement(requirement_text(blob)) == blob
