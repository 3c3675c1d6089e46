"""Binaries compiled once, and one whole release made once; tests that change it take a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders.apple import EACH, SMALL, TWO_PRODUCTS, copy_of, new_apple_workshop, new_portable_workshop
from builders.apple_host import program
from builders.submissions import submissions
from builders.workshop import LEVERED, Workshop, new_workshop

_SOURCE = """
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) static int greet(int count) { return printf("tool %d\\n", count); }
int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "--version") == 0) return puts("1") < 0;
    return greet(count) < 0;
}
"""
_LAUNCHD = """
[launchd]
service-id = "acmemesh"
install-path = "/opt/acmemesh"
"""
__all__ = ["program"]

_TARGETS = {"x86_64": "x86_64-macos.10.13", "arm64": "aarch64-macos.11.0"}


@pytest.fixture(scope="session")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<arch>/tool` and `<arch>/DEBUG_tool`, by the compiler that a release on Linux uses."""
    folder = tmp_path_factory.mktemp("prebuilt")
    source = tmp_path_factory.mktemp("source") / "tool.c"
    source.write_text(_SOURCE)
    cache = str(tmp_path_factory.mktemp("cache"))
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    for arch, target in _TARGETS.items():
        (folder / arch).mkdir()
        for name, flags in (("tool", ["-O2", "-s"]), ("DEBUG_tool", ["-g"])):
            subprocess.run(
                [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, "-o", folder / arch / name, source],
                check=True,
                capture_output=True,
                env=environment,
            )
    return folder


@pytest.fixture
def workshop(tmp_path: Path, prebuilt: Path) -> Workshop:
    """A fresh checkout in which nothing has run."""
    return new_workshop(tmp_path / "a checkout", prebuilt)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> Workshop:
    """A whole rehearsal release. Not to be changed: take `released` for that."""
    workshop = new_workshop(tmp_path_factory.mktemp("finished") / "a checkout", prebuilt)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture(scope="session")
def carrying(finished: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A finished release, released again with [launchd]. Not to be changed."""
    workshop = finished.copy(tmp_path_factory.mktemp("carrying") / "a checkout")
    workshop.configure(more=_LAUNCHD)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture
def released(finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of a whole rehearsal release, to be changed."""
    return finished.copy(tmp_path / "a released checkout")


@pytest.fixture(scope="session")
def archived(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> Workshop:
    """A release that is done up to its archive, and waits a second for the notary. Not to be changed: take a copy."""
    workshop = new_workshop(tmp_path_factory.mktemp("archived") / "a checkout", prebuilt)
    workshop.configure(more='\n[notary]\nwait = "1s"\n')
    ran = workshop.invoke("release", lever=LEVERED, environment={"LEVERS": "submit=401,times=100000"})
    assert ran.code == 10, ran.err
    assert submissions(workshop.outputs) == []
    shutil.rmtree(workshop.outputs / "notary")
    return workshop


@pytest.fixture(scope="session")
def portable_finished(prebuilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A release of two products, each a bare tool and an app, in four archives. Not to be changed."""
    workshop = new_portable_workshop(tmp_path_factory.mktemp("portable"), prebuilt, body=TWO_PRODUCTS, more=EACH)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture(scope="session")
def apple_finished(
    portable_finished: Workshop, prebuilt: Path, program: str, tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    """The same release by Apple's toolchain, with the same keys. Not to be changed."""
    keys = portable_finished.outputs / "rehearsal"
    folder = tmp_path_factory.mktemp("apple")
    workshop = new_apple_workshop(folder, prebuilt, keys=keys, body=TWO_PRODUCTS, more=EACH, program=program)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture
def apple_released(apple_finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of it with its doubles, to be changed."""
    return copy_of(apple_finished, tmp_path / "copy")


@pytest.fixture(scope="session")
def small_finished(prebuilt: Path, program: str, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A release by Apple's toolchain of one product without a DEBUG twin, in two archives. Not to be changed."""
    workshop = new_apple_workshop(tmp_path_factory.mktemp("small"), prebuilt, body=SMALL, more=EACH, program=program)
    ran = workshop.invoke("release")
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture
def small(small_finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of it with its doubles, to be changed."""
    return copy_of(small_finished, tmp_path / "copy")


def pytest_configure() -> None:
    """A release needs git and make; without them nothing here can be said."""
    for name in ("git", "make"):
        if shutil.which(name) is None:
            pytest.exit(f"{name} is not on this machine")
