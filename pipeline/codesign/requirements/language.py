"""The requirement language: text to bytes, as `csreq` and `codesign -r` compile it.

    designated => identifier "com.example.tool" and anchor apple generic

Grammar: `requirements.grammar` of Security 61901. `and` binds closer than `or`, and both nest to the left. Two things
are otherwise here: a certificate is named by its hash, never by a file's path (nothing here reads files), and a
backslash may be written as two, since that is what the printer writes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.codesign import der
from pipeline.codesign.requirements.lexer import Kind, Token, mistake, tokens
from pipeline.codesign.requirements.program import (
    DEEPEST,
    Instruction,
    Match,
    MatchOp,
    Op,
    RequirementType,
    build_requirement,
    build_requirement_set,
    parse_requirement,
)
from pipeline.errors import ConfigurationError, MalformedFile, NotSupported

# Parentheses and `!` cost a few Python frames each; nobody writes more than three.
_DEEPEST_TEXT = 100
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)
_SHA1_DIGITS = 40


def compile_requirement(text: str) -> bytes:
    """The blob of one requirement. Raises ConfigurationError with the place where the text goes wrong."""
    parser = _Parser(text)
    blob = parser.element()
    parser.expect_end()
    return blob


def compile_requirements(text: str) -> bytes:
    """The blob of a set of requirements, each written `type => requirement`. Raises ConfigurationError."""
    parser = _Parser(text)
    requirements: dict[int, bytes] = {}
    while True:
        kind = parser.kind()
        if kind in requirements:
            raise parser.error(f"two requirements of type {kind}")
        requirements[kind] = parser.element()
        if parser.at_end():
            return build_requirement_set(requirements)


class _Parser:
    """Recursive descent over the tokens; instructions are emitted in prefix order as they are met."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self._program: list[Instruction] = []

    # Tokens

    def error(self, message: str) -> ConfigurationError:
        return mistake(self._text, self._token.position, message)

    def at_end(self) -> bool:
        return self._token.kind is Kind.END

    def expect_end(self) -> None:
        if not self.at_end():
            raise self.error(f"{self._token.text!r} stands behind the requirement")

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _is(self, *texts: str) -> bool:
        return self._token.kind in (Kind.WORD, Kind.SIGN) and self._token.text in texts

    def _accept(self, *texts: str) -> str | None:
        if not self._is(*texts):
            return None
        self._next += 1
        return self._tokens[self._next - 1].text

    def _expect(self, *kinds: Kind) -> Token:
        token = self._token
        if token.kind not in kinds:
            wanted = " or ".join(kind.value for kind in kinds)
            found = repr(token.text) if token.kind is not Kind.END else token.kind.value
            raise self.error(f"{wanted} was expected, {found} was found")
        self._next += 1
        return token

    def _expect_sign(self, text: str) -> None:
        if not self._accept(text):
            raise self.error(f"{text!r} was expected")

    # Grammar

    def kind(self) -> int:
        names = {kind.name.lower(): kind for kind in RequirementType}
        word = self._accept(*names)
        kind = names[word] if word else None
        if kind is None and self._token.kind is not Kind.INTEGER:
            raise self.error("a set of requirements was expected, such as 'designated => ...'")
        number = int(kind) if kind is not None else self._integer()
        self._expect_sign("=>")
        return number

    def element(self) -> bytes:
        self._program = []
        self._or()
        while self._accept(";"):
            pass
        blob = build_requirement(self._program)
        try:
            parse_requirement(blob)
        except MalformedFile as error:
            raise self.error(f"{error.message} (at most {DEEPEST} levels)") from error
        return blob

    def _or(self) -> None:
        start = len(self._program)
        self._and()
        while self._accept("or"):
            self._program.insert(start, Instruction(op=Op.OR))
            self._and()

    def _and(self) -> None:
        start = len(self._program)
        self._primary()
        while self._accept("and"):
            self._program.insert(start, Instruction(op=Op.AND))
            self._primary()

    def _primary(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST_TEXT:
            raise self.error(f"nested more than {_DEEPEST_TEXT} deep")
        if self._accept("("):
            if self._token.kind in (Kind.NAME, Kind.STRING):
                self._emit(Op.NAMED_CODE, data=self._name())
            else:
                self._or()
            self._expect_sign(")")
        elif self._accept("!"):
            self._emit(Op.NOT)
            self._primary()
        else:
            self._simple()
        self._depth -= 1

    def _simple(self) -> None:
        word = self._expect(Kind.WORD).text
        match word:
            case "always" | "true":
                self._emit(Op.TRUE)
            case "never" | "false":
                self._emit(Op.FALSE)
            case "notarized":
                self._emit(Op.NOTARIZED)
            case "legacy":
                self._emit(Op.LEGACY)
            case "identifier":
                self._accept("=", "==")
                self._emit(Op.IDENTIFIER, data=self._name())
            case "cdhash":
                self._accept("=", "==")
                self._emit(Op.CDHASH, data=self._hash())
            case "platform":
                self._accept("=", "==")
                self._emit(Op.PLATFORM, number=self._integer())
            case "info" | "entitlement":
                key = self._key()
                op = Op.INFO if word == "info" else Op.ENTITLEMENT
                self._emit(op, data=key.encode(), match=self._match())
            case "anchor":
                self._anchor()
            case "certificate" | "cert":
                self._certificate()
            case _:
                self._next -= 1
                raise self.error(f"{word!r} cannot begin a condition")

    def _anchor(self) -> None:
        if self._accept("apple"):
            if self._accept("generic"):
                self._emit(Op.ANCHOR_APPLE_GENERIC)
            elif self._token.kind in (Kind.NAME, Kind.STRING):
                self._emit(Op.ANCHOR_NAMED, data=self._name())
            else:
                self._emit(Op.ANCHOR_APPLE)
        elif self._accept("generic"):
            if not self._accept("apple"):
                raise self.error("'apple' was expected")
            self._emit(Op.ANCHOR_APPLE_GENERIC)
        elif self._accept("trusted"):
            self._emit(Op.ANCHOR_TRUSTED)
        else:
            self._certificate_condition(-1)

    def _certificate(self) -> None:
        if self._accept("trusted"):
            self._emit(Op.ANCHOR_TRUSTED)
            return
        word = self._accept("leaf", "root")
        slot = {"leaf": 0, "root": -1}[word] if word else -self._integer() if self._accept("-") else self._integer()
        if self._accept("trusted"):
            self._emit(Op.CERTIFICATE_TRUSTED, number=slot)
        else:
            self._certificate_condition(slot)

    def _certificate_condition(self, slot: int) -> None:
        if not self._is("["):
            self._accept("=", "==")
            self._emit(Op.ANCHOR_HASH, number=slot, data=self._hash())
            return
        key = self._key()
        prefix, _, oid = key.partition(".")
        ops = {
            "field": Op.CERTIFICATE_FIELD,
            "extension": Op.CERTIFICATE_FIELD,
            "policy": Op.CERTIFICATE_POLICY,
            "timestamp": Op.CERTIFICATE_TIMESTAMP,
        }
        if prefix == "subject" and oid:
            self._emit(Op.CERTIFICATE_SUBJECT, number=slot, data=key.encode(), match=self._match())
        elif prefix in ops and oid:
            try:
                data = der.build_oid(oid)
            except MalformedFile as error:
                raise self.error(error.message) from error
            self._emit(ops[prefix], number=slot, data=data, match=self._match())
        else:
            raise self.error(
                f"{key!r} is no field of a certificate (subject., field., extension., policy., timestamp.)"
            )

    def _match(self) -> Match:
        if self._accept("absent"):
            return Match(op=MatchOp.ABSENT)
        sign = self._accept("=", "==", "~", "<", ">", "<=", ">=")
        if sign is None:
            self._accept("exists")
            return Match(op=MatchOp.EXISTS)
        if self._is("timestamp") and sign != "~":
            return Match(op=_TIME_SIGNS[sign], time=self._timestamp())
        ends = sign in ("=", "==") and self._accept("*") is not None
        text = self._value()
        begins = sign in ("=", "==") and self._accept("*") is not None
        if ends and begins:
            return Match(op=MatchOp.CONTAINS, text=text)
        return Match(op=MatchOp.ENDS if ends else MatchOp.BEGINS if begins else _SIGNS[sign], text=text)

    # Values

    def _emit(self, op: Op, *, number: int = 0, data: bytes = b"", match: Match | None = None) -> None:
        self._program.append(Instruction(op=op, number=number, data=data, match=match))

    def _key(self) -> str:
        self._expect_sign("[")
        key = self._expect(Kind.NAME, Kind.STRING).text
        self._expect_sign("]")
        return key

    def _name(self) -> bytes:
        return self._encode(self._expect(Kind.NAME, Kind.STRING))

    def _value(self) -> bytes:
        token = self._expect(Kind.NAME, Kind.STRING, Kind.HEX)
        return self._hexadecimal(token) if token.kind is Kind.HEX else self._encode(token)

    def _hash(self) -> bytes:
        if self._token.kind in (Kind.PATH, Kind.NAME, Kind.STRING):
            raise NotSupported("a requirement that names a certificate by its file", remedy='write its SHA-1: H"..."')
        token = self._expect(Kind.HASH)
        if len(token.text) != _SHA1_DIGITS:
            raise self.error(f"a hash has {_SHA1_DIGITS} digits, this one {len(token.text)}")
        return self._hexadecimal(token)

    def _hexadecimal(self, token: Token) -> bytes:
        if len(token.text) % 2:
            raise self.error("a hexadecimal value with an odd number of digits")
        return bytes.fromhex(token.text)

    def _integer(self) -> int:
        text = self._expect(Kind.INTEGER).text
        if len(text) > 10 or int(text) >= 1 << 31:
            raise self.error(f"the number {text[:12]} is too large")
        return int(text)

    def _timestamp(self) -> int:
        self._next += 1
        token = self._expect(Kind.STRING)
        try:
            content = self._encode(token)
            moment = der.parse_time(der.parse(der.build(der.GENERALIZED_TIME, content)))
        except MalformedFile as error:
            raise self.error(f'{token.text!r} is no time; write it as "20190408000000Z"') from error
        return int((moment - _EPOCH).total_seconds() // 1)

    def _encode(self, token: Token) -> bytes:
        try:
            return token.text.encode()
        except UnicodeEncodeError as error:
            raise self.error(f"{token.text!r} is not Unicode") from error


_SIGNS = {
    "=": MatchOp.EQUAL,
    "==": MatchOp.EQUAL,
    "~": MatchOp.CONTAINS,
    "<": MatchOp.LESS,
    ">": MatchOp.GREATER,
    "<=": MatchOp.LESS_EQUAL,
    ">=": MatchOp.GREATER_EQUAL,
}
_TIME_SIGNS = {
    "=": MatchOp.ON,
    "==": MatchOp.ON,
    "<": MatchOp.BEFORE,
    ">": MatchOp.AFTER,
    "<=": MatchOp.ON_OR_BEFORE,
    ">=": MatchOp.ON_OR_AFTER,
}
