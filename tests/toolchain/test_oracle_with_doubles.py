"""The oracle's tests run as programs: with doubles that sign with our engine they pass, with others they fail.

This proves nothing about Apple's tools: the comparison with those takes place on a Mac alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders.workshop import ROOT
from doubles.bench import Bench

# How pytest words a comparison that failed: the first part depends on the quotes in what was compared.
_UNEQUAL = ("assert ", "AssertionError: assert ")
# What only a Mac has: system programs, a linker that takes -sectcreate.
_ELSEWHERE = "not apples_own and not this_is_a_mac and not informed"
# One of each kind: what takes part in every run need not be everything.
_SOME = "order or nothing or real or executable-both or leaf or tool-1.0.2 or app_is or replaced or joined or bit"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, keys: Path, program: str) -> Bench:
    folder = tmp_path_factory.mktemp("oracle")
    shutil.copytree(keys, folder / "rehearsal" / "keys")
    shutil.copytree(keys.parent / "anchors", folder / "rehearsal" / "anchors")
    return Bench.install(folder / "tools", folder / "rehearsal", program)


def outcomes(bench: Bench, *words: str, **environment: str) -> dict[str, int]:
    """Of the oracle's tests: "passed", "failure", "skipped", "error" → how many."""
    report = bench.folder.parent / "outcomes.xml"
    argv = [sys.executable, "-m", "pytest", "-p", "fakes.mac_of_doubles", "-p", "no:cacheprovider", "-q", *words]
    variables = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "DOUBLES": str(bench.folder), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*argv, f"--junit-xml={report}", "tests/oracle"],
        cwd=ROOT,
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        found.update([result.tag for result in case] or ["passed"])
        for failure in case.iter("failure"):
            # A failure is one of the comparison: of no other kind.
            assert failure.get("message", "").startswith(_UNEQUAL), done.stdout
    assert found, done.stdout + done.stderr
    return dict(found)


def test_they_pass_where_both_sign_alike_and_keep_what_was_made(bench: Bench, tmp_path: Path) -> None:
    """None is skipped, and each comparison leaves both files for later."""
    bench.set()
    found = outcomes(bench, "-k", f"({_SOME}) and {_ELSEWHERE}", ORACLE_KEEP=str(tmp_path / "kept"), CI_REQUIRE="mac")
    assert set(found) == {"passed"}
    assert found["passed"] == 11
    kept = tmp_path / "kept"
    assert (kept / "app" / "theirs" / "Tool.app" / "Contents" / "_CodeSignature" / "CodeResources").is_file()
    assert (kept / "entitlements-order" / "theirs").is_dir()


def test_they_fail_where_codesign_signs_otherwise(bench: Bench) -> None:
    """A codesign of another generation, or one that ignores an option, fails every comparison."""
    bench.set(era="macos-12")
    assert outcomes(bench, "-k", "entitlements_are_written and (booleans or nothing)") == {"failure": 2}
    bench.set(**{"no-runtime": True})
    assert outcomes(bench, "-k", "hardened and executable and arm64 and not plain") == {"failure": 1}


def test_without_a_mac_they_are_skipped_and_that_is_no_success() -> None:
    """On any other machine they are skipped, and a run that requires them fails."""
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/oracle"]
    environment = os.environ | {"CI_REQUIRE": "mac", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if sys.platform == "darwin" else 1)
