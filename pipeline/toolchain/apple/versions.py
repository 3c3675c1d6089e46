"""Which macOS, Xcode, SDK and codesign make a release: what the manifest tells, and what decides to make it again."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import ToolMissing
from pipeline.toolchain.apple.tools import Tools

ABSENT = "absent"
_LONGEST = 200


def versions_of(tools: Tools) -> Mapping[str, str]:
    """Name → version; "absent" for what this Mac does not have (Xcode, where only its command line tools are)."""
    system = f"{_line(tools, 'sw_vers', '-productVersion')} ({_line(tools, 'sw_vers', '-buildVersion')})"
    return {
        "macos": system,
        "xcode": _line(tools, "xcodebuild", "-version"),
        "sdk": _line(tools, "xcrun", "--sdk", "macosx", "--show-sdk-version"),
        "codesign": str(tools.path("codesign")) if tools.folder is None else "of [toolchain] path",
        "notarytool": _line(tools, "xcrun", "notarytool", "--version"),
    }


def _line(tools: Tools, tool: str, *words: str) -> str:
    """All that the tool prints on standard output, on one line."""
    try:
        completed = tools.run(tool, *words)
    except ToolMissing:
        return ABSENT
    text = " ".join(completed.stdout.decode("utf-8", "replace").split())[:_LONGEST]
    return text if completed.returncode == 0 and text else ABSENT
