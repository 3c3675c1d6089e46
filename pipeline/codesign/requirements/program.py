"""Requirements as bytes: a blob holds one expression in prefix form, a set holds blobs by their type.

Here: opcodes, what operands each has, and both directions between blob and instructions; sets likewise. Instructions
stay in prefix order in one flat tuple, so that no depth of nesting costs a stack: whoever evaluates or prints them goes
through them backwards. Not here: the text language, printing, evaluation.

Source: `requirement.h`, `reqmaker.cpp`, `reqreader.cpp` of Security 61901.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from pipeline.codesign.superblob import Blob, Magic, build_blob, build_superblob, parse_blob, parse_superblob
from pipeline.errors import MalformedFile, NotSupported

# A designated requirement has some hundred bytes, the largest rules of the system policy some thousands.
LARGEST = 256 * 1024
# Apple's evaluator refuses what is nested deeper (`Requirement::Interpreter::stackLimit`).
DEEPEST = 1000

_EXPRESSION_FORM, _LIGHTWEIGHT_FORM = 1, 2
_FLAGS, _GENERIC_FALSE, _GENERIC_SKIP = 0xFF000000, 0x80000000, 0x40000000


class RequirementType(IntEnum):
    """What a requirement of a set is asked about (CSCommon.h, SecRequirementType)."""

    HOST = 1
    GUEST = 2
    DESIGNATED = 3
    LIBRARY = 4
    PLUGIN = 5


class Op(IntEnum):
    """Opcodes of the expression (Security `requirement.h`, ExprOp)."""

    FALSE = 0
    TRUE = 1
    IDENTIFIER = 2
    ANCHOR_APPLE = 3
    ANCHOR_HASH = 4
    INFO_VALUE = 5
    AND = 6
    OR = 7
    CDHASH = 8
    NOT = 9
    INFO = 10
    CERTIFICATE_SUBJECT = 11
    CERTIFICATE_TRUSTED = 12
    ANCHOR_TRUSTED = 13
    CERTIFICATE_FIELD = 14
    ANCHOR_APPLE_GENERIC = 15
    ENTITLEMENT = 16
    CERTIFICATE_POLICY = 17
    ANCHOR_NAMED = 18
    NAMED_CODE = 19
    PLATFORM = 20
    NOTARIZED = 21
    CERTIFICATE_TIMESTAMP = 22
    LEGACY = 23


class MatchOp(IntEnum):
    """How a value is compared (Security `requirement.h`, MatchOperation)."""

    EXISTS = 0
    EQUAL = 1
    CONTAINS = 2
    BEGINS = 3
    ENDS = 4
    LESS = 5
    GREATER = 6
    LESS_EQUAL = 7
    GREATER_EQUAL = 8
    ON = 9
    BEFORE = 10
    AFTER = 11
    ON_OR_BEFORE = 12
    ON_OR_AFTER = 13
    ABSENT = 14


MATCHES_WITHOUT_VALUE = (MatchOp.EXISTS, MatchOp.ABSENT)
MATCHES_OF_TIME = (MatchOp.ON, MatchOp.BEFORE, MatchOp.AFTER, MatchOp.ON_OR_BEFORE, MatchOp.ON_OR_AFTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a value is compared with: bytes of text, or seconds since 2001-01-01 UTC for the matches of time."""

    op: MatchOp
    text: bytes = b""
    time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One opcode with its operands; those it has not stay at their defaults.

    An opcode that is not known but says how long it is (`unknown`) is kept with its flags and its data.
    """

    op: Op | None
    number: int = 0
    """A certificate's slot (0 the leaf, -1 the root), or a platform."""
    data: bytes = b""
    second: bytes = b""
    match: Match | None = None
    unknown: int = 0

    @property
    def operands(self) -> int:
        """How many expressions follow that belong to it."""
        if self.op is None:
            return 0 if self.unknown & _GENERIC_FALSE else 1
        return {Op.AND: 2, Op.OR: 2, Op.NOT: 1}.get(self.op, 0)


class _Operand(Enum):
    NUMBER = "number"
    DATA = "data"
    SECOND = "second"
    MATCH = "match"


_N, _D, _S, _M = _Operand.NUMBER, _Operand.DATA, _Operand.SECOND, _Operand.MATCH
_OPERANDS: dict[Op, tuple[_Operand, ...]] = {
    Op.IDENTIFIER: (_D,),
    Op.ANCHOR_HASH: (_N, _D),
    Op.INFO_VALUE: (_D, _S),
    Op.CDHASH: (_D,),
    Op.INFO: (_D, _M),
    Op.CERTIFICATE_SUBJECT: (_N, _D, _M),
    Op.CERTIFICATE_TRUSTED: (_N,),
    Op.CERTIFICATE_FIELD: (_N, _D, _M),
    Op.ENTITLEMENT: (_D, _M),
    Op.CERTIFICATE_POLICY: (_N, _D, _M),
    Op.ANCHOR_NAMED: (_D,),
    Op.NAMED_CODE: (_D,),
    Op.PLATFORM: (_N,),
    Op.CERTIFICATE_TIMESTAMP: (_N, _D, _M),
}


def build_requirement(program: Sequence[Instruction]) -> bytes:
    """The blob of one requirement."""
    return build_blob(Magic.REQUIREMENT, struct.pack(">I", _EXPRESSION_FORM) + b"".join(map(_build, program)))


def parse_requirement(blob: bytes) -> tuple[Instruction, ...]:
    """The instructions of one requirement's blob, in prefix order.

    Raises MalformedFile where it is no whole expression and nothing more, NotSupported for a lightweight requirement.
    """
    if len(blob) > LARGEST:
        raise MalformedFile(f"a requirement of {len(blob)} bytes; the most that is read is {LARGEST}")
    reader = _Reader(parse_blob(blob, Magic.REQUIREMENT))
    kind = reader.word()
    if kind == _LIGHTWEIGHT_FORM:
        raise NotSupported("a requirement in the lightweight form, which is not read yet")
    if kind != _EXPRESSION_FORM:
        raise MalformedFile(f"a requirement of the unknown form {kind}")
    program: list[Instruction] = []
    awaited = [1]
    """For each open instruction from the outside in, how many of its operands are still to come."""
    while awaited:
        if not awaited[-1]:
            awaited.pop()
            continue
        awaited[-1] -= 1
        instruction = _parse(reader)
        program.append(instruction)
        awaited.append(instruction.operands)
        if len(awaited) > DEEPEST:
            raise MalformedFile(f"a requirement nested more than {DEEPEST} deep")
    reader.finish()
    return tuple(program)


def build_requirement_set(requirements: Mapping[int, bytes]) -> bytes:
    """The blob of a set: type → requirement blob. An empty set is what an ad-hoc signature has."""
    blobs = (Blob(slot=kind, data=data) for kind, data in requirements.items())
    return build_superblob(blobs, Magic.REQUIREMENTS)


def parse_requirement_set(blob: bytes) -> dict[int, bytes]:
    """The requirement blobs of a set by their type. Raises MalformedFile."""
    if len(blob) > LARGEST:
        raise MalformedFile(f"a set of requirements of {len(blob)} bytes; the most that is read is {LARGEST}")
    return {entry.slot: entry.data for entry in parse_superblob(blob, Magic.REQUIREMENTS)}


def designated(set_blob: bytes) -> bytes | None:
    """The designated requirement's blob of a set, if it has one. Raises MalformedFile."""
    return parse_requirement_set(set_blob).get(RequirementType.DESIGNATED)


class _Reader:
    """Words and padded data, one after the other; MalformedFile at the end of what there is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._position:
            raise MalformedFile("a requirement is cut off")
        self._position += count
        return self._data[self._position - count : self._position]

    def word(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def time(self) -> int:
        return int.from_bytes(self.take(8), "big", signed=True)

    def data(self) -> bytes:
        data = self.take(self.word())
        if any(self.take(-len(data) % 4)):
            raise MalformedFile("a requirement has padding that is not zero")
        return data

    def finish(self) -> None:
        if self._position != len(self._data):
            raise MalformedFile(f"{len(self._data) - self._position} bytes behind the expression of a requirement")


def _parse(reader: _Reader) -> Instruction:
    word = reader.word()
    op = next((known for known in Op if known == word & ~_FLAGS), None)
    if op is None:
        if not word & (_GENERIC_FALSE | _GENERIC_SKIP):
            raise MalformedFile(f"a requirement with the unknown opcode {word:#x}")
        return Instruction(op=None, unknown=word, data=reader.data())
    if word & _FLAGS:
        raise MalformedFile(f"a requirement with flags on the known opcode {word:#x}")
    operands = _OPERANDS.get(op, ())
    return Instruction(
        op=op,
        number=reader.number() if _N in operands else 0,
        data=reader.data() if _D in operands else b"",
        second=reader.data() if _S in operands else b"",
        match=_parse_match(reader) if _M in operands else None,
    )


def _parse_match(reader: _Reader) -> Match:
    word = reader.word()
    op = next((known for known in MatchOp if known == word), None)
    if op is None:
        raise MalformedFile(f"a requirement with the unknown comparison {word}")
    if op in MATCHES_WITHOUT_VALUE:
        return Match(op=op)
    if op in MATCHES_OF_TIME:
        return Match(op=op, time=reader.time())
    return Match(op=op, text=reader.data())


def _build(instruction: Instruction) -> bytes:
    if instruction.op is None:
        return struct.pack(">I", instruction.unknown) + _build_data(instruction.data)
    parts = [struct.pack(">I", instruction.op)]
    for operand in _OPERANDS.get(instruction.op, ()):
        if operand is _N:
            parts.append(struct.pack(">i", instruction.number))
        elif operand is _M:
            assert instruction.match is not None
            parts.append(_build_match(instruction.match))
        else:
            parts.append(_build_data(instruction.data if operand is _D else instruction.second))
    return b"".join(parts)


def _build_match(match: Match) -> bytes:
    word = struct.pack(">I", match.op)
    if match.op in MATCHES_WITHOUT_VALUE:
        return word
    if match.op in MATCHES_OF_TIME:
        return word + struct.pack(">q", match.time)
    return word + _build_data(match.text)


def _build_data(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)
