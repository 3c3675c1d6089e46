"""Apple's command line tools: where each lies, how long it may take, and what it said, kept in the log.

An argv, never a shell. Nothing is concluded here: `texts` and the files named after the tools do that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pipeline.host import Completed, Host, seconds_since

# Where macOS has them. PATH is not asked: packages put other programs of these names (lipo, xattr) in front of them.
_SYSTEM = {
    "arch": "/usr/bin/arch",
    "codesign": "/usr/bin/codesign",
    "ditto": "/usr/bin/ditto",
    "lipo": "/usr/bin/lipo",
    "security": "/usr/bin/security",
    "spctl": "/usr/sbin/spctl",
    "sw_vers": "/usr/bin/sw_vers",
    "xattr": "/usr/bin/xattr",
    "xcodebuild": "/usr/bin/xcodebuild",
    "xcrun": "/usr/bin/xcrun",
}
# codesign waits for the time-stamp authority, spctl and stapler (by xcrun) for Apple's servers, ditto and lipo for the
# disk; `arch` starts a product, which prints a version. The others wait for nobody, unless they show a prompt.
_LIMITS = {
    **dict.fromkeys(_SYSTEM, timedelta(minutes=10)),
    **dict.fromkeys(("arch", "security", "sw_vers", "xattr", "xcodebuild"), timedelta(minutes=2)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    host: Host
    folder: Path | None
    """[toolchain] path: tools used instead of the system's; None for the system's."""
    record: Callable[..., object]
    """Writes to the audit log: an event's name, then facts by keyword."""
    limits: Mapping[str, timedelta] = field(default_factory=lambda: _LIMITS)
    """After which a tool is killed, with all that it started."""

    def path(self, tool: str) -> Path:
        return Path(_SYSTEM[tool]) if self.folder is None else self.folder / tool

    def run(self, tool: str, *words: str | Path, stdin: bytes = b"", timeout: timedelta | None = None) -> Completed:
        """What the tool left, whatever it was; its wording goes to the log. Raises ToolMissing, HostRefused."""
        argv = [str(self.path(tool)), *map(str, words)]
        began = self.host.clock.monotonic()
        completed = self.host.runner.run(argv, stdin=stdin, timeout=timeout or self.limits[tool])
        self.record(
            "ran",
            argv=argv,
            exit=completed.returncode,
            seconds=seconds_since(self.host.clock, began),
            words=completed.last_lines(),
            **({"timed_out": True} if completed.timed_out else {}),
        )
        return completed


def text_of(completed: Completed) -> str:
    """All that a tool said: most speak on standard error, whatever the outcome."""
    return (completed.stdout + b"\n" + completed.stderr).decode("utf-8", "replace")
