"""Gatekeeper's word on an app, and whether a file starts: what only a Mac can say.

`spctl` has no word on a bare tool, and its exit 0 is no proof of notarization: only its words are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import VerificationError
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools, text_of

NOTARIZED = "Notarized Developer ID"
_VERSION = re.compile(r"(?<![0-9.])[0-9]{2}\.[0-9]{3,4}\.[0-9]{4}(?![0-9.])", re.ASCII)
_NO_ROSETTA = "Bad CPU type in executable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    accepted: bool
    source: str | None


def parse_assessment(text: str) -> Assessment:
    """spctl's answer on one path. Accepted only if the verdict's line says so and no other line says otherwise."""
    lines = [line.strip() for line in text.splitlines()]
    sources = [line.partition("=")[2] for line in lines if line.startswith("source=")]
    verdicts = [line.rpartition(": ")[2] for line in lines if line.endswith((": accepted", ": rejected"))]
    return Assessment(accepted=verdicts == ["accepted"], source=sources[0] if len(sources) == 1 else None)


def assess(tools: Tools, app: Path, where: str) -> str:
    """What Gatekeeper says of an app; VerificationError unless it accepts it as notarized."""
    completed = tools.run("spctl", "--assess", "-vvv", "--type", "execute", app)
    found = parse_assessment(text_of(completed))
    ended = completed.returncode == 0 and not completed.timed_out
    if ended and found.accepted and found.source == NOTARIZED:
        return NOTARIZED
    if ended:
        raise VerificationError(
            f'Gatekeeper does not say "{NOTARIZED}" of it; spctl said:\n{completed.last_lines(4)}', where=where
        )
    raise refusal("spctl", completed, VerificationError, where).error


def not_run(arch: str) -> str:
    """What is told of a slice that this Mac cannot run."""
    remedy = "softwareupdate --install-rosetta" if arch == "x86_64" else "it takes a Mac that has it"
    return f"not run: this Mac cannot run the architecture ({remedy})"


def start(tools: Tools, executable: Path, arch: str, version: str, where: str) -> str | None:
    """Run one slice with `--version`; what came of it. VerificationError where it does not run, or is another version.

    None for a slice that this Mac has no way to run. A program that tells no version is told as such.
    """
    completed = tools.run("arch", f"-{arch}", executable, "--version")
    text = text_of(completed)
    if _NO_ROSETTA in text:
        return None
    if completed.returncode < 0 or completed.returncode > 128 or completed.timed_out:
        raise VerificationError(
            f"does not run: `--version` ended with {completed.returncode}\n{completed.last_lines(4)}",
            where=where,
            remedy="a kill at start is the system's: look for AMFI in `log show --last 5m`",
        )
    told = _VERSION.findall(text)
    if version in told:
        return f"runs: {version}"
    if told:
        raise VerificationError(f"says that it is version {told[0]}, and the release is {version}", where=where)
    return f"runs, and tells no version (exit {completed.returncode})"
