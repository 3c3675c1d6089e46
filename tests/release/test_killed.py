"""A real SIGKILL to the process group of a real release, at a host operation chosen by number, in every stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.workshop import Workshop, new_workshop

from pipeline.host import Files
from pipeline.rehearsal import State

_LEVER = Path(__file__).parents[1] / "fakes" / "killing.py"
_STAGES = ("build", "sign", "universal", "app", "archive", "notarize", "staple", "package", "verify")


@pytest.fixture(scope="session")
def operations(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> dict[str, list[int]]:
    """Stage → the numbers of the host operations that a whole release makes in it."""
    folder = tmp_path_factory.mktemp("traced")
    trace = folder / "trace.txt"
    ran = new_workshop(folder / "a checkout", prebuilt).invoke(
        "release", lever=_LEVER, environment={"TRACE": str(trace), "KILL_AT": "0"}
    )
    assert ran.code == 0, ran.err
    stages: dict[str, list[int]] = {name: [] for name in _STAGES}
    current = None
    for line in trace.read_text().splitlines():
        number, kind, subject = line.split("\t")
        name = Path(subject).stem if Path(subject).parent.name == "records" else None
        if kind == "remove" and name in stages:
            current = name
        if current:
            stages[current].append(int(number))
        if kind == "write" and name == current:
            current = None
    return stages


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("stage", _STAGES)
def test_killed_release_completes_when_run_again(
    workshop: Workshop, operations: dict[str, list[int]], stage: str, part: float, tmp_path: Path
) -> None:
    """Whatever the stage and the moment, the next run completes, and one submission was uploaded."""
    numbers = operations[stage]
    at = numbers[int(part * len(numbers))]
    killed = workshop.invoke(
        "release", lever=_LEVER, environment={"TRACE": str(tmp_path / "trace.txt"), "KILL_AT": str(at)}
    )
    assert killed.code == -9
    again = workshop.invoke("release")
    assert again.code == 0, again.err
    assert workshop.invoke("verify").code == 0
    submissions = State(workshop.outputs / "rehearsal", Files()).submissions()
    assert sum(one.uploads for one in submissions) == 1
    assert not [path for path in workshop.outputs.rglob(".*") if path.name not in (".lock", ".work")]
