"""Requirements as text, in the very words that Apple's tools print: CodeResources repeats that text.

The words are `reqdumper.cpp`'s (Security 61901), its oddities included: `absent` is followed by a blank, `exists` is a
comment, and of a trusted certificate slot and word run together. The text of a requirement can be compiled again
(`language`), which gives the same meaning; the same bytes only where the original nests `and` and `or` to the left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.codesign import der
from pipeline.codesign.requirements.lexer import is_name
from pipeline.codesign.requirements.program import (
    MATCHES_OF_TIME,
    Instruction,
    Match,
    MatchOp,
    Op,
    RequirementType,
    parse_requirement,
    parse_requirement_set,
)
from pipeline.codesign.superblob import Magic, blob_magic
from pipeline.errors import MalformedFile

_PRIMARY, _AND, _OR = 0, 1, 2

_SIGNS = {
    MatchOp.EQUAL: " = {}",
    MatchOp.CONTAINS: " ~ {}",
    MatchOp.BEGINS: " = {}*",
    MatchOp.ENDS: " = *{}",
    MatchOp.LESS: " < {}",
    MatchOp.GREATER: " > {}",
    MatchOp.LESS_EQUAL: " <= {}",
    MatchOp.GREATER_EQUAL: " >= {}",
    MatchOp.ON: " = {}",
    MatchOp.BEFORE: " < {}",
    MatchOp.AFTER: " > {}",
    MatchOp.ON_OR_BEFORE: " <= {}",
    MatchOp.ON_OR_AFTER: " >= {}",
}
_FIXED = {
    Op.FALSE: "never",
    Op.TRUE: "always",
    Op.ANCHOR_APPLE: "anchor apple",
    Op.ANCHOR_APPLE_GENERIC: "anchor apple generic",
    Op.ANCHOR_TRUSTED: "anchor trusted",
    Op.NOTARIZED: "notarized",
    Op.LEGACY: "legacy",
}
_CERTIFICATE_OIDS = {
    Op.CERTIFICATE_FIELD: "field",
    Op.CERTIFICATE_POLICY: "policy",
    Op.CERTIFICATE_TIMESTAMP: "timestamp",
}
# Core Foundation counts from here (CFAbsoluteTime).
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)


def requirement_text(blob: bytes) -> str:
    """The text of a requirement's blob; of a set's blob one line a requirement, each with its type.

    Raises MalformedFile for any other blob.
    """
    if blob_magic(blob) != Magic.REQUIREMENTS:
        return _expression(parse_requirement(blob)).removeprefix(" ")
    lines = []
    for kind, requirement in parse_requirement_set(blob).items():
        name = next((known.name.lower() for known in RequirementType if known == kind), f"/*unknown type*/ {kind}")
        lines.append(f"{name} => {_expression(parse_requirement(requirement))}\n")
    return "".join(lines)


def _expression(program: tuple[Instruction, ...]) -> str:
    done: list[tuple[str, int]] = []
    """Texts of what follows, each with how loosely it binds; the nearest last."""
    for instruction in reversed(program):
        operands = [done.pop() for _ in range(instruction.operands)]
        done.append(_combine(instruction, operands))
    return done[0][0]


def _combine(instruction: Instruction, operands: list[tuple[str, int]]) -> tuple[str, int]:
    match instruction.op:
        case Op.AND:
            return " and ".join(_enclose(operand, _AND) for operand in operands), _AND
        case Op.OR:
            return " or ".join(_enclose(operand, _OR) for operand in operands), _OR
        case Op.NOT:
            return "! " + _enclose(operands[0], _PRIMARY), _PRIMARY
        case None if operands:
            return f" /* opcode {instruction.unknown & 0xFFFFFF} */ {operands[0][0]}", operands[0][1]
        case None:
            return f" false /* opcode {instruction.unknown & 0xFFFFFF} */", _PRIMARY
        case _:
            return _primary(instruction), _PRIMARY


def _enclose(operand: tuple[str, int], level: int) -> str:
    text, own = operand
    return f"({text})" if own > level else text


def _primary(instruction: Instruction) -> str:
    op, slot, data = instruction.op, _slot(instruction.number), instruction.data
    if op in _FIXED:
        return _FIXED[op]
    if op in _CERTIFICATE_OIDS:
        return f"certificate{slot}[{_CERTIFICATE_OIDS[op]}.{der.parse_oid(data)}]{_match(instruction.match)}"
    match op:
        case Op.IDENTIFIER:
            return f"identifier {_value(data)}"
        case Op.ANCHOR_HASH:
            return f"certificate{slot} = {_hash(data)}"
        case Op.INFO_VALUE:
            return f"info[{_value(data, dots=True)}] = {_value(instruction.second)}"
        case Op.CDHASH:
            return f"cdhash {_hash(data)}"
        case Op.INFO:
            return f"info[{_value(data, dots=True)}]{_match(instruction.match)}"
        case Op.ENTITLEMENT:
            return f"entitlement[{_value(data, dots=True)}]{_match(instruction.match)}"
        case Op.CERTIFICATE_SUBJECT:
            return f"certificate{slot}[{_value(data, dots=True)}]{_match(instruction.match)}"
        case Op.CERTIFICATE_TRUSTED:
            return f"certificate{slot}trusted"
        case Op.ANCHOR_NAMED:
            return f"anchor apple {_value(data)}"
        case Op.NAMED_CODE:
            return f"({_value(data)})"
        case Op.PLATFORM:
            return f"platform = {instruction.number}"
        case _:
            raise MalformedFile(f"a requirement with opcode {op}, which has no text")


def _slot(number: int) -> str:
    return {0: " leaf", -1: " root"}.get(number, f" {number}")


def _match(match: Match | None) -> str:
    if match is None or match.op is MatchOp.EXISTS:
        return " /* exists */"
    if match.op is MatchOp.ABSENT:
        return " absent "
    return _SIGNS[match.op].format(_time(match.time) if match.op in MATCHES_OF_TIME else _value(match.text))


def _time(seconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise MalformedFile(f"a requirement with a time that is none: {seconds}") from error
    return f"<{moment:%Y-%m-%d %H:%M:%S} +0000>"


def _hash(data: bytes) -> str:
    return f'H"{data.hex()}"'


def _value(data: bytes, *, dots: bool = False) -> str:
    """Bare where it can be a name, in quotes where it can be printed, else in hexadecimal.

    Apple's printer leaves the quotes away from `a.0b` and `a..b` too, which its own compiler then cannot read.
    """
    if not all(0x21 <= byte <= 0x7E or byte in b" \t\n\v\f\r" for byte in data):
        return "0x" + data.hex()
    text = data.decode("ascii")
    if is_name(text, dots=dots):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
