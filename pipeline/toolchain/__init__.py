"""What the stages ask of a toolchain: one Protocol, with Apple's tools or the portable engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pipeline.disk import Contents
from pipeline.errors import StapleError
from pipeline.model import NotaryMode, Slice
from pipeline.notary import NotaryLog


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """How one file or bundle is to be signed. The hardened runtime and a secure time stamp are not options."""

    identifier: str
    entitlements: bytes | None
    """The plist verbatim."""
    era: str
    nested_entitlements: Mapping[str, bytes | None] = field(default_factory=dict)
    """Of code in a bundle: pattern of paths → the plist verbatim, or None to preserve what the code has. Code that no
    pattern names gets none. `pipeline.disk.bundle_entitlements` has the rule, and answers for each path."""
    sign_archives: bool = False
    """Code in a bundle's jars, wheels and zips: is it signed, or only told of?"""
    told: Callable[[str, str], None] = lambda _path, _words: None
    """Hears of code in archives that is left as it is, and of every change of entitlements: a path, and the words."""
    contents: Contents = field(default_factory=Contents)
    """What is read of the output on the way: its digest need not read that again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveToNotarize:
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notarized:
    """An accepted submission and the notary's log of it."""

    archive: ArchiveToNotarize
    submission: str
    log: NotaryLog
    """As the notary gave it, parsed and not judged: the notarize stage holds it against what was signed."""


NOT = "not "


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of trying something out: Gatekeeper's word and each slice's start."""

    said: Mapping[str, str]
    """"gatekeeper" or an architecture → what came of it; it begins with NOT where it was not tried."""
    not_run: tuple[str, ...] = ()
    """Architectures that could have been started on this host, and were not: each with the reason."""


class NotStapleable(StapleError):
    """This kind of file has no place for a ticket; it is notarized all the same."""


Event = Callable[..., object]
"""Writes to the audit log: an event's name, then facts by keyword."""


class Toolchain(Protocol):
    name: str

    def versions(self) -> Mapping[str, str]:
        """Tool → version, of everything whose change could change what is made."""
        ...

    def make_ready(self) -> None:
        """Open what only a real release cannot make for itself, identity and credentials, before anything is built.

        Raises ConfigurationError, CredentialsError.
        """
        ...

    def compiler(self) -> Mapping[str, str]:
        """Environment variables that a build command needs to find clang: CC and what it wants."""
        ...

    def sign(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        """Sign a Mach-O file into a new file; SigningError where it cannot be."""
        ...

    def join(self, thins: Sequence[Path], output: Path, contents: Contents | None = None) -> tuple[Slice, ...]:
        """Join thin files into a universal one, slices byte for byte. `contents` as of `verify`."""
        ...

    def sign_bundle(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        """Seal and sign a bundle into a new folder."""
        ...

    def notarize(
        self, archives: Sequence[ArchiveToNotarize], folder: Path, *, wait: timedelta, mode: NotaryMode, event: Event
    ) -> tuple[Notarized, ...]:
        """Submit each archive once, wait, read the log. Raises NotaryPending or NotaryRejected.

        Whether the log covers every slice is not for a toolchain to say: it hands over the log itself.
        """
        ...

    def tickets(self, cdhashes: Sequence[str]) -> Mapping[str, bytes]:
        """The verified ticket of every one of these CDHashes; StapleError if one cannot be had."""
        ...

    def staple(self, bundle: Path, ticket: bytes, cdhashes: Sequence[str]) -> None:
        """Give a bundle of these CDHashes its ticket, and read it back; a failure leaves an older ticket as it was.

        NotStapleable for a bare file.
        """
        ...

    def stapled(self, bundle: Path) -> bytes | None:
        """The ticket that a bundle carries, not judged."""
        ...

    def prove(self, ticket: bytes, cdhashes: Sequence[str]) -> None:
        """VerificationError unless the ticket's signature holds and it names every one of these CDHashes."""
        ...

    def verify(self, path: Path, contents: Contents | None = None) -> tuple[Slice, ...]:
        """Every digest, signature, chain and time stamp of a file or a bundle; VerificationError where one fails.

        What is read goes into `contents`, so that a digest of the same files reads nothing twice.
        """
        ...

    def try_out(self, path: Path, slices: Sequence[Slice], version: str) -> Tried:
        """Gatekeeper's word on something notarized, and each slice started.

        VerificationError where it is refused or does not run. What this host cannot try is not
        tried: its text begins with "not".
        """
        ...
