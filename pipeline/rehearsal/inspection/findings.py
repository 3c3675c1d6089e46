"""What an inspection can find, in Apple's exact words, and the report that it ends in.

The messages and the anchors of their explanations are those of public developer logs and of
https://developer.apple.com/documentation/security/resolving-common-notarization-issues
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_EXPLANATIONS = (
    "https://developer.apple.com/documentation/security/"
    "notarizing_macos_software_before_distribution/resolving_common_notarization_issues"
)


class Rule(Enum):
    """(message, anchor of its explanation), in the order in which logs list them for one file."""

    SIGNED = ("The binary is not signed.", "3087721")
    STRONG = ("The signature algorithm used is too weak.", None)
    VALID = ("The signature of the binary is invalid.", "3087735")
    DEVELOPER_ID = ("The binary is not signed with a valid Developer ID certificate.", "3087721")
    TIMESTAMP = ("The signature does not include a secure timestamp.", "3087733")
    HARDENED_RUNTIME = ("The executable does not have the hardened runtime enabled.", "3087724")
    GET_TASK_ALLOW = ("The executable requests the com.apple.security.get-task-allow entitlement.", "3087731")
    SDK = ("The binary uses an SDK older than the 10.9 SDK.", "3087723")
    ENTITLEMENTS = ("Embedded entitlements are invalid: syntax error near line {line}", "3561456")

    @property
    def message(self) -> str:
        return str(self.value[0])

    @property
    def explanation(self) -> str | None:
        return f"{_EXPLANATIONS}#{self.value[1]}" if self.value[1] else None


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that one slice breaks. `reason` is for a person who asks what exactly; no log of Apple's has it."""

    rule: Rule
    reason: str
    line: int = 1
    """Of the entitlements, where the rule is about them."""

    @property
    def message(self) -> str:
        return self.rule.message.format(line=self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An entry of the log's `issues`. `path` begins with the archive's name; `architecture` is None for no code."""

    severity: Severity
    path: str
    message: str
    explanation: str | None
    architecture: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeObject:
    """An entry of the log's `ticketContents`. `hash_type` is the code directory's: 1 SHA-1, 2 and 3 SHA-256."""

    path: str
    architecture: str
    hash_type: int
    cdhash: bytes
    """20 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    issues: tuple[Issue, ...]
    contents: tuple[CodeObject, ...]

    @property
    def is_accepted(self) -> bool:
        return all(issue.severity is not Severity.ERROR for issue in self.issues)


class Broken(Exception):
    """What is read is not what it says it is; the text says why. Never leaves the inspection."""
