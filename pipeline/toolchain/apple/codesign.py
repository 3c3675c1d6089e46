"""`codesign`: what it is asked, and how its answers are read. `texts` knows its refusals.

Manual page codesign(1); `--sign` stands before `--options`, which it would silently ignore otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import SigningError, VerificationError
from pipeline.host import Completed
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools, text_of

# Apple's time-stamp server refuses for seconds at a time: five more tries, about a minute.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 4, 8, 16, 32))
AD_HOC = "-"
# Each ends a line that begins with the path.
_ON_DISK = ": valid on disk"
_OWN_REQUIREMENT = ": satisfies its Designated Requirement"
_GIVEN_REQUIREMENT = ": explicit requirement satisfied"
_IGNORED = "binary contains an invalid entitlements blob"
_NOT_SATISFIED = 3
_FLAGS = re.compile(r"\bflags=0x[0-9a-f]+\((?P<names>[^)]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How a file or a bundle is signed; the hardened runtime is always on."""

    identity: str
    """SHA-1 of the certificate, which no other certificate matches; AD_HOC for none."""
    identifier: str | None
    """None: codesign's own choice, from the code's Info.plist or file name."""
    entitlements: Path | None
    keychain: Path | None = None
    """Narrows the search; it must be on the search list all the same."""
    preserve: bool = False
    """Keeps the entitlements that the code has: --force alone drops them."""

    def argv(self, path: Path) -> list[str | Path]:
        words: list[str | Path] = ["--force", "--sign", self.identity]
        if self.identity != AD_HOC:
            words.append("--timestamp")
        words += ["--options", "runtime"]
        if self.identifier is not None:
            words += ["--identifier", self.identifier]
        if self.preserve:
            words.append("--preserve-metadata=entitlements")
        if self.entitlements is not None:
            words += ["--entitlements", self.entitlements]
        if self.keychain is not None:
            words += ["--keychain", self.keychain]
        return [*words, path]


def sign(tools: Tools, path: Path, signing: Signing, pauses: tuple[timedelta, ...], where: str) -> None:
    """Sign in place. Raises CredentialsError, SigningError; ServiceUnavailable where no time stamp could be had.

    Only trouble with the time stamp is tried again. That codesign says nothing is no proof: the caller looks.
    """
    for pause in (*pauses, None):
        completed = tools.run("codesign", *signing.argv(path))
        if completed.returncode == 0 and not completed.timed_out:
            return
        found = refusal("codesign", completed, SigningError, where)
        if not found.passing or pause is None:
            raise found.error
        tools.host.console.say(f"codesign: no time stamp for {where}; trying again in {pause.total_seconds():g} s")
        tools.host.clock.sleep(pause)


def verify(tools: Tools, path: Path, archs: tuple[str, ...], where: str) -> None:
    """VerificationError unless codesign says of all slices together and of each alone that they are valid."""
    deep = ["--deep"] if path.is_dir() else []
    common = ["--verify", "--strict", "--verbose=2", *deep]
    each = [["--arch", arch] for arch in archs] if len(archs) > 1 else []
    for chosen in (["--all-architectures"], *each):
        completed = tools.run("codesign", *common, *chosen, path)
        _demand(completed, (_ON_DISK, _OWN_REQUIREMENT), f"{where}: {chosen[-1]}" if each else where)


def verify_notarized(tools: Tools, path: Path, where: str) -> None:
    """VerificationError unless the system knows a ticket of this code: the one gate for a bare tool."""
    completed = tools.run("codesign", "--verify", "--verbose=2", "-R=notarized", "--check-notarization", path)
    if completed.returncode == _NOT_SATISFIED:
        raise VerificationError(
            f"the system knows no ticket of it; codesign said:\n{completed.last_lines(4)}",
            where=where,
            remedy="be online; if the notary accepted it minutes ago, verify again later",
        )
    _demand(completed, (_GIVEN_REQUIREMENT,), where)


def _demand(completed: Completed, sentences: tuple[str, ...], where: str) -> None:
    lines = [line.strip() for line in text_of(completed).splitlines()]
    if completed.returncode != 0 or completed.timed_out:
        raise refusal("codesign", completed, VerificationError, where).error
    for sentence in sentences:
        if not any(line.endswith(sentence) for line in lines):
            raise VerificationError(
                f'codesign exited 0 without saying "{sentence[2:]}"; it said:\n{completed.last_lines(4)}', where=where
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """What `codesign -d -vvvv` shows of one slice. Only what was shown is here; the rest is None or empty."""

    identifier: str | None
    format: str | None
    flags: tuple[str, ...]
    authorities: tuple[str, ...]
    timestamp: str | None
    """As written, in the language of the user; a `Signed Time` is none."""
    signed_time: str | None
    team: str | None
    cdhash: str | None
    stapled: bool
    fields: Mapping[str, str]
    """Every line KEY=VALUE as it is; of several with one key the first."""


def parse_display(text: str) -> Display:
    """The report in a text; lines that are none are passed over."""
    pairs = [(key, value) for key, equals, value in (line.partition("=") for line in text.splitlines()) if equals]
    fields: dict[str, str] = {}
    for key, value in pairs:
        fields.setdefault(key, value)
    directory = next((line for line in text.splitlines() if line.startswith("CodeDirectory ")), "")
    flags = _FLAGS.search(directory)
    names = flags["names"].split(",") if flags else []
    team = fields.get("TeamIdentifier")
    return Display(
        identifier=fields.get("Identifier"),
        format=fields.get("Format"),
        flags=tuple(name for name in names if name != "none"),
        authorities=tuple(value for key, value in pairs if key == "Authority"),
        timestamp=fields.get("Timestamp"),
        signed_time=fields.get("Signed Time"),
        team=None if team in (None, "not set") else team,
        cdhash=fields.get("CDHash"),
        stapled=fields.get("Notarization Ticket") == "stapled",
        fields=fields,
    )


def demand_agreement(tools: Tools, path: Path, found: Sequence[VerifiedSlice], where: str) -> None:
    """codesign's own word on a file, and that it sees in every slice what our verifier found. VerificationError."""
    verify(tools, path, tuple(one.arch for one in found), where)
    for one in found:
        shown = display(tools, path, one.arch, where)
        pairs = {
            "CDHash": (shown.cdhash, one.cdhash),
            "identifier": (shown.identifier, one.identifier),
            "team": (shown.team, one.team),
            "flags": (shown.flags, one.flags),
        }
        for name, (theirs, ours) in pairs.items():
            if theirs != ours:
                raise VerificationError(
                    f"codesign shows {name} {theirs}, our verifier {ours}", where=f"{where}: {one.arch}"
                )


def display(tools: Tools, path: Path, arch: str, where: str) -> Display:
    """VerificationError also where codesign shows a signature and warns that the system ignores its entitlements."""
    completed = tools.run("codesign", "-d", "-vvvv", "-a", arch, path)
    if completed.returncode != 0 or completed.timed_out or _IGNORED in text_of(completed):
        raise refusal("codesign", completed, VerificationError, where).error
    return parse_display(text_of(completed))
