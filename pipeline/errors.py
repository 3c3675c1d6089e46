"""The error tree: one root, one kind for each remedy, each with its exit code.

    ReleaseError                 1    a defect of ours
    ├── ConfigurationError       2    release.toml, or an argument that we refuse
    │   ├── MalformedFile        2    a file given to us is not what it should be
    │   └── NotSupported         2    understood, and not built yet: never an approximation
    ├── BuildError               3
    ├── SigningError             4
    ├── PreflightError           5
    ├── NotaryRejected           6    the notary said no
    ├── NotaryPending            7    the notary has not answered yet; run again to resume
    ├── StapleError              8
    ├── VerificationError        9    a signature, a seal, a ticket, a manifest or a log does not hold
    ├── CredentialsError        10    missing or refused
    ├── ServiceUnavailable      11    a service cannot be reached
    ├── ToolMissing             12    a tool is missing on this host
    ├── AlreadyRunning          13    another release is running in this output folder
    ├── HostRefused             14    disk full, not writable, no permission
    ├── Interrupted            130    Ctrl-C
    ├── Unheard                141    who read the output has gone (a pipe is closed)
    └── Terminated             143    SIGTERM

A message says what was wrong and where (file, slice, key, line); `remedy` says what to do next.
The exit codes are a contract: scripts and CI depend on them.
"""

from __future__ import annotations

from typing import ClassVar


class ReleaseError(Exception):
    """What was wrong, where, and what to do next; a caller prints `str(error)` and exits with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  {self.remedy}" if self.remedy else ""
        return f"{place}{self.message}{advice}"

    @property
    def parts(self) -> tuple[ReleaseError, ...]:
        """Of several errors told in one, each."""
        return (self,)

    def at(self, where: str) -> ReleaseError:
        """The same error with a place in front of the one it has (a slice's error gains its file)."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self


class ConfigurationError(ReleaseError):
    exit_code = 2


class MalformedFile(ConfigurationError):
    """A file is truncated, contradicts itself or is of another kind than asked for."""


class NotSupported(ConfigurationError):
    """A case that is understood and not built yet; refused rather than approximated."""


class BuildError(ReleaseError):
    exit_code = 3


class SigningError(ReleaseError):
    exit_code = 4


class PreflightError(ReleaseError):
    exit_code = 5


class NotaryRejected(ReleaseError):
    exit_code = 6


class NotaryPending(ReleaseError):
    exit_code = 7


class StapleError(ReleaseError):
    exit_code = 8


class VerificationError(ReleaseError):
    exit_code = 9


class CredentialsError(ReleaseError):
    exit_code = 10


class ServiceUnavailable(ReleaseError):
    exit_code = 11


class ToolMissing(ReleaseError):
    exit_code = 12


class AlreadyRunning(ReleaseError):
    exit_code = 13


class HostRefused(ReleaseError):
    exit_code = 14


class Interrupted(ReleaseError):
    exit_code = 130


class Unheard(ReleaseError):
    exit_code = 141


class Terminated(ReleaseError):
    exit_code = 143
