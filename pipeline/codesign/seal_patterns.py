"""Patterns of resource rules: POSIX extended regular expressions, all of a set matched in one pass over a path.

The rules of a seal come from the bundle that is verified, so their patterns may be hostile: they become one automaton,
whose time is linear in the path, whatever they say. Semantics are those of `regcomp` with REG_EXTENDED in the C locale,
as Security's `resources.cpp` uses it: bytes, unanchored, "." is any byte, "^" and "$" are the path's ends alone.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import MalformedFile

# Apple's longest pattern has 105 bytes; its rules make some 300 states.
_LONGEST_PATTERN = 1000
_DEEPEST_GROUP = 20
_MOST_STATES = 10_000
# RE_DUP_MAX of <limits.h>.
_MOST_REPEATS = 255
# In states, of all positions that are kept together. Apple's rules need some 400, whatever the bundle.
_MOST_CACHED = 500_000
# States left by a byte, over all paths, each time that is not known already: some 4,000 with Apple's rules.
_MOST_STEPS = 3_000_000

_ANY = (1 << 256) - 1
# <ctype.h> in the C locale.
_CLASSES = {
    b"alpha": string.ascii_letters,
    b"digit": string.digits,
    b"alnum": string.ascii_letters + string.digits,
    b"upper": string.ascii_uppercase,
    b"lower": string.ascii_lowercase,
    b"space": string.whitespace,
    b"blank": " \t",
    b"punct": string.punctuation,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"cntrl": "".join(map(chr, [*range(32), 127])),
    b"xdigit": string.hexdigits,
}


@dataclass(slots=True)
class _State:
    """One state: a byte of `mask` leads to `next`; without it the state is passed through, to `next` and `other`."""

    next: int = -1
    other: int = -1
    mask: int | None = None
    at_start: bool = False
    at_end: bool = False
    pattern: int = -1
    """The number of the pattern that is matched once this state is reached."""


class PatternSet:
    """Which of several patterns match a path. Raises MalformedFile for a pattern that is none, or too large."""

    def __init__(self, patterns: Sequence[str]) -> None:
        machine = _Machine()
        starts = []
        for number, pattern in enumerate(patterns):
            final = machine.add(_State(pattern=number))
            starts.append(machine.build(_Parser(pattern).parse(), final))
        self._states = machine.states
        self._starts = tuple(starts)
        self._cache: dict[frozenset[int], _Position] = {}
        self._cached = self._steps = 0
        self._first = _Position(states=self._closure(self._starts, at_start=True))

    def matching(self, path: str) -> frozenset[int]:
        """The numbers of the patterns that match somewhere in the path."""
        current = self._first
        for byte in path.encode("utf-8", "surrogateescape"):
            following = current.next.get(byte)
            current = following if following is not None else self._step(current, byte)
        if current.matched is None:
            current.matched = self._matched(current.states, at_start=current is self._first)
        return current.matched

    def _step(self, current: _Position, byte: int) -> _Position:
        self._steps += len(current.states)
        if self._steps > _MOST_STEPS:
            raise MalformedFile("the patterns of the resource rules take too long to be matched")
        reached = []
        for number in current.states:
            state = self._states[number]
            if state.pattern >= 0:
                reached.append(number)
            elif state.mask is not None and state.mask >> byte & 1:
                reached.append(state.next)
        states = self._closure([*reached, *self._starts], at_start=False)
        following = self._cache.get(states)
        if following is None:
            # A hostile set of patterns has more positions than are worth keeping.
            if self._cached >= _MOST_CACHED:
                self._cache.clear()
                self._cached = 0
                self._first.next.clear()
                current.next.clear()
            following = self._cache[states] = _Position(states=states)
            self._cached += len(states)
        current.next[byte] = following
        return following

    def _matched(self, states: frozenset[int], *, at_start: bool) -> frozenset[int]:
        closed = self._closure(states, at_start=at_start, at_end=True)
        return frozenset(self._states[state].pattern for state in closed if self._states[state].pattern >= 0)

    def _closure(
        self, states: Sequence[int] | frozenset[int], *, at_start: bool, at_end: bool = False
    ) -> frozenset[int]:
        """The states reached from these without a byte. Those that wait for the path's end stay as they are."""
        kept: set[int] = set()
        seen: set[int] = set()
        pending = list(states)
        while pending:
            number = pending.pop()
            if number in seen or number < 0:
                continue
            seen.add(number)
            state = self._states[number]
            if state.mask is not None or state.pattern >= 0 or (state.at_end and not at_end):
                kept.add(number)
            elif not state.at_start or at_start:
                pending += (state.next, state.other)
        return frozenset(kept)


@dataclass(slots=True, eq=False)
class _Position:
    """Where the automaton is: the states it is in, and where each byte seen so far led from here."""

    states: frozenset[int]
    next: dict[int, _Position] = field(default_factory=dict)
    matched: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class _Bytes:
    mask: int
    """Bit n is set where byte n is meant."""


@dataclass(frozen=True, slots=True)
class _Edge:
    at_start: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Node
    least: int
    most: int | None


_Node = _Bytes | _Edge | _Sequence | _Choice | _Repeat


class _Machine:
    """States built from the end of a pattern to its beginning: each part is given the state that follows it."""

    def __init__(self) -> None:
        self.states: list[_State] = []

    def add(self, state: _State) -> int:
        if len(self.states) >= _MOST_STATES:
            raise MalformedFile("the patterns of the resource rules are too large")
        self.states.append(state)
        return len(self.states) - 1

    def build(self, node: _Node, following: int) -> int:
        match node:
            case _Bytes(mask):
                return self.add(_State(next=following, mask=mask))
            case _Edge(at_start):
                return self.add(_State(next=following, at_start=at_start, at_end=not at_start))
            case _Sequence(parts):
                # An empty one counts as well: else counts of nothing, inside each other, would take for ever.
                following = self.add(_State(next=following))
                for part in reversed(parts):
                    following = self.build(part, following)
                return following
            case _Choice(parts):
                first, *others = [self.build(part, following) for part in parts]
                for other in others:
                    first = self.add(_State(next=other, other=first))
                return first
            case _Repeat(part, least, most):
                start = following if most is not None else self._loop(part, following)
                for _ in range((most or least) - least):
                    start = self.add(_State(next=self.build(part, start), other=following))
                for _ in range(least):
                    start = self.build(part, start)
                return start

    def _loop(self, part: _Node, following: int) -> int:
        loop = self.add(_State(other=following))
        self.states[loop].next = self.build(part, loop)
        return loop


class _Parser:
    _INTERVAL = re.compile(rb"\{([0-9]+)(,([0-9]*))?\}")
    _CLASS = re.compile(rb"\[:([a-z]+):\]")

    def __init__(self, pattern: str) -> None:
        self._shown = pattern
        self._text = pattern.encode("utf-8", "surrogateescape")
        self._at = 0
        if len(self._text) > _LONGEST_PATTERN:
            raise MalformedFile(f"a pattern of {len(self._text)} bytes in the resource rules")

    def parse(self) -> _Node:
        node = self._choice(0)
        if self._at < len(self._text):
            raise self._wrong("a group is closed that was not opened")
        return node

    def _wrong(self, what: str) -> MalformedFile:
        return MalformedFile(f"the pattern {self._shown!r} in the resource rules: {what}")

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _choice(self, depth: int) -> _Node:
        if depth > _DEEPEST_GROUP:
            raise self._wrong("too many groups inside each other")
        parts = [self._sequence(depth)]
        while self._peek() == b"|":
            self._at += 1
            parts.append(self._sequence(depth))
        return _Choice(tuple(parts))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in (b"", b"|", b")"):
            part = self._atom(depth)
            if bounds := self._bounds():
                part = _Repeat(part, *bounds)
            if self._peek() in (b"*", b"+", b"?", b"{"):
                raise self._wrong("a repetition is repeated")
            parts.append(part)
        return _Sequence(tuple(parts))

    def _bounds(self) -> tuple[int, int | None] | None:
        """How often the part before may stand, if that is said here."""
        symbol = self._peek()
        simple: dict[bytes, tuple[int, int | None]] = {b"*": (0, None), b"+": (1, None), b"?": (0, 1)}
        if symbol in simple:
            self._at += 1
            return simple[symbol]
        if symbol != b"{":
            return None
        found = self._INTERVAL.match(self._text, self._at)
        if not found:
            raise self._wrong("{ without a count")
        self._at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if least > _MOST_REPEATS or (most is not None and not least <= most <= _MOST_REPEATS):
            raise self._wrong("a count out of range")
        return least, most

    def _atom(self, depth: int) -> _Node:
        symbol = self._peek()
        self._at += 1
        match symbol:
            case b"(":
                node = self._choice(depth + 1)
                if self._peek() != b")":
                    raise self._wrong("a group is not closed")
                self._at += 1
                return node
            case b"[":
                return self._bracket()
            case b".":
                return _Bytes(_ANY)
            case b"^" | b"$":
                return _Edge(symbol == b"^")
            case b"*" | b"+" | b"?" | b"{":
                raise self._wrong(f"{symbol.decode()} repeats nothing")
            case b"\\":
                symbol = self._peek()
                self._at += 1
                if not symbol or symbol.isdigit():
                    raise self._wrong("a backslash before nothing, or before a digit")
        return _Bytes(1 << symbol[0])

    def _bracket(self) -> _Node:
        negated = self._peek() == b"^"
        self._at += negated
        mask, first = 0, True
        while first or self._peek() != b"]":
            first = False
            if found := self._CLASS.match(self._text, self._at):
                if found[1] not in _CLASSES:
                    raise self._wrong("an unknown class of characters")
                mask |= sum(1 << ord(character) for character in _CLASSES[found[1]])
                self._at = found.end()
                continue
            low = self._bracket_byte()
            high = low
            if self._peek() == b"-" and self._text[self._at + 1 : self._at + 2] != b"]":
                self._at += 1
                high = self._bracket_byte()
            if high < low:
                raise self._wrong("a range from high to low")
            mask |= (1 << high + 1) - (1 << low)
        self._at += 1
        return _Bytes(_ANY & ~mask if negated else mask)

    def _bracket_byte(self) -> int:
        byte = self._peek()
        if not byte or self._text[self._at : self._at + 2] in (b"[.", b"[="):
            raise self._wrong("a bracket that is not closed, or holds a collating element")
        self._at += 1
        return byte[0]
