"""A skipped test is counted with its reason, and fails a run that requires its marker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import pytest

@pytest.mark.llvm
def test_with_a_client_that_is_absent():
    pytest.skip("needs a thing")

def test_that_runs():
    assert True
"""
_MARKERS = "[pytest]\nmarkers =\n    llvm: needs LLVM\n    openssl: needs openssl\n"


@pytest.mark.parametrize(
    ("required", "code"), [("", 0), ("openssl", 0), ("llvm", 1), ("openssl, llvm", 1), ("openssl llvm", 1), ("lvm", 4)]
)
def test_a_required_marker_may_not_skip(tmp_path: Path, required: str, code: int) -> None:
    """pytest's exit code tells whether a test that CI_REQUIRE asks for was skipped, or asks for what nobody knows."""
    (tmp_path / "test_some.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text(_MARKERS)
    shutil.copyfile(Path(__file__).with_name("conftest.py"), tmp_path / "conftest.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "CI_REQUIRE": required, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    if code != 4:
        assert "    1 needs a thing" in done.stdout
    assert ("test_with_a_client_that_is_absent (llvm)" in done.stdout) == (code == 1)
