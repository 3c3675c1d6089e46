"""Puts `tests/` on the path, so that tests share builders and fakes by name; counts what was skipped, and why.

CI_REQUIRE lists markers, separated by commas or spaces: a run in which a test with one of them was skipped fails.
"""

import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes on a busy machine says nothing about the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

sys.path.insert(0, str(Path(__file__).parent))

# What would steer a release behind a test's back: a test that wants one of them says so.
for _name in [name for name in os.environ if name in ("SOURCE_DATE_EPOCH", "CC", "SUDO_UID") or "GITHUB_" in name]:
    del os.environ[_name]

_reasons: Counter[str] = Counter()
_missed: list[str] = []


def _required() -> set[str]:
    return {name for name in re.split(r"[,\s]+", os.environ.get("CI_REQUIRE", "")) if name}


def pytest_configure(config: pytest.Config) -> None:
    known = {line.partition(":")[0] for line in config.getini("markers")}
    if unknown := _required() - known:
        raise pytest.UsageError(f"CI_REQUIRE names no marker of ours: {', '.join(sorted(unknown))}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    _reasons[reason.removeprefix("Skipped: ")] += 1
    _missed.extend(f"{report.nodeid} ({marker})" for marker in sorted(_required() & set(report.keywords)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _missed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in _reasons.most_common():
            terminalreporter.line(f"{count:5} {reason}")
    if _missed:
        terminalreporter.section("skipped, though CI_REQUIRE forbids it")
        for place in _missed:
            terminalreporter.line(place, red=True)
