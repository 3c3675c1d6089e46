"""A rehearsal whose keys are made once: making them takes longer than a whole submission."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.notary_desk import Desk
from fakes.clock import FakeClock

from pipeline.rehearsal import Levers, Rehearsal, Status


@pytest.fixture(scope="session")
def rehearsal_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rehearsal's folder in which nothing has happened."""
    folder = tmp_path_factory.mktemp("keys") / "rehearsal"
    with Rehearsal(folder, host_with(FakeClock())):
        return folder


@pytest.fixture
def desk(tmp_path: Path, rehearsal_keys: Path) -> Iterator[Desk]:
    """Services that accept whatever archive comes."""
    shutil.copytree(rehearsal_keys, tmp_path / "rehearsal")
    clock = FakeClock()
    levers = Levers(verdict=Status.ACCEPTED)
    with Rehearsal(tmp_path / "rehearsal", host_with(clock), levers) as rehearsal:
        yield Desk(folder=tmp_path, rehearsal=rehearsal, clock=clock)
