"""The workflow for GitHub, step by step as it is written, in three clones; its artefacts travel as folders."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from builders.clone import clone_of, fresh_clone, run
from builders.workshop import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "templates-for-bin" / "github-release.yml").read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -e ."
SECRETS = {
    "IDENTITY_P12": base64.b64encode(b"an identity").decode(),
    "IDENTITY_PASSWORD": "hunter22 of the identity",
    "NOTARY_CREDENTIALS": '{"key": "the notary\'s key"}',
}
EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What one job is run with. Values are those of the expressions that the workflow uses."""

    checkout: Path
    artefacts: Path
    values: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def fill(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self.values[found[1]], text)

    def do(self, step: dict[str, Any]) -> subprocess.CompletedProcess[str] | None:
        """One step: a shell's line as the runner runs it, or what the action does with files."""
        action, options = step.get("uses", "").partition("@")[0], step.get("with", {})
        path = self.checkout / self.fill(options.get("path", ""))
        if action == "actions/upload-artifact":
            assert any(path.iterdir())
            shutil.copytree(path, self.artefacts / self.fill(options["name"]))
            for file in (self.artefacts / self.fill(options["name"])).rglob("*"):
                file.chmod(0o644 if file.is_file() else 0o755)  # modes do not travel
        elif action == "actions/download-artifact":
            shutil.copytree(self.artefacts, path)
        elif not action and step["run"] != SET_UP:
            told = self.checkout.parent / f"{self.checkout.name}.output"
            told.touch()
            variables = {name: self.fill(value) for name, value in step.get("env", {}).items()}
            script = self.checkout.parent / f"{self.checkout.name}.sh"
            script.write_text(self.fill(step["run"]))
            done = run(self.checkout, "bash", "-e", script, environment={**variables, "GITHUB_OUTPUT": str(told)})
            for line in told.read_text().splitlines():
                name, _, value = line.partition("=")
                self.outputs[name] = value
            self.said.append(done.stdout + done.stderr)
            return done
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    clone: Path
    zig: Path
    artefacts: Path
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Every runner of the matrix has done its steps, each in a clone of its own."""
    folder = tmp_path_factory.mktemp("a fleet")
    zig, artefacts = folder / "zig", folder / "artefacts"
    clone = fresh_clone(folder / "the repository", zig)
    job = JOBS["build"]
    outputs: dict[str, str] = {}
    for row in job["strategy"]["matrix"]["include"]:
        checkout = clone_of(clone, folder / f"runner {row['arch']}", zig)
        values = {f"matrix.{name}": value for name, value in row.items()}
        runner = Runner(checkout=checkout, artefacts=artefacts, values=values)
        for step in job["steps"]:
            done = runner.do(step)
            assert done is None or done.returncode == 0, done.stderr
        told = {f"steps.build.outputs.{name}": value for name, value in runner.outputs.items()}
        for name, text in job["outputs"].items():
            outputs |= {f"needs.build.outputs.{name}": told[key] for key in EXPRESSION.findall(text) if key in told}
        assert not (checkout / "bin").exists()
    return Fleet(clone=clone, zig=zig, artefacts=artefacts, outputs=outputs)


def joiner(fleet: Fleet, folder: Path) -> Runner:
    shutil.copytree(fleet.artefacts, folder / "artefacts")
    values = fleet.outputs | {f"secrets.{name}": value for name, value in SECRETS.items()}
    checkout = clone_of(fleet.clone, folder / "the joining runner", fleet.zig)
    return Runner(checkout=checkout, artefacts=folder / "artefacts", values=values)


def test_the_fleet_makes_a_release(built: Fleet, tmp_path: Path) -> None:
    """Each step succeeds in order; the gate refuses a rehearsal, and nothing else; no key is left, no secret said."""
    runner = joiner(built, tmp_path)
    results = [(step, runner.do(step)) for step in JOBS["release"]["steps"]]
    for step, done in results:
        if done is None:
            continue
        gate = "--gate" in step["run"]
        assert done.returncode == (9 if gate else 0), done.stderr
        assert not gate or "rehearsal" in done.stderr
    log = (runner.checkout / "build" / "macos" / "audit.jsonl").read_text()
    assert log.count('"event":"adopted"') + log.count('"event": "adopted"') == 2
    assert '"event":"built"' not in log.replace(": ", ":")
    assert sorted(path.name for path in (runner.artefacts / "release").iterdir())[0] == "SHA256SUMS"
    assert list((runner.checkout / "bin").iterdir()) == []
    for secret in SECRETS.values():
        assert secret not in "".join(runner.said)
        for path in (runner.checkout / "build" / "macos").rglob("*.json*"):
            assert secret not in path.read_text()


def test_a_byte_changed_between_runners_stops_the_joining_one(built: Fleet, tmp_path: Path) -> None:
    """An artefact that is not as its runner left it: the adopting step fails, with the file's name."""
    runner = joiner(built, tmp_path)
    path = runner.artefacts / "unsigned-arm64" / "meshagent"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = None
    for step in JOBS["release"]["steps"]:
        done = runner.do(step)
        if done is not None:
            break
    assert done is not None
    assert done.returncode == 9
    assert "unsigned-arm64/meshagent" in done.stderr


def test_a_runner_may_do_little_and_knows_little() -> None:
    """Read alone; actions of a named version; no token kept; secrets in one step."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    steps = [step for job in JOBS.values() for step in job["steps"]]
    assert [step.get("run") for step in steps].count(SET_UP) == len(JOBS)
    for step in steps:
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+(\.\d+\.\d+)?", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert not [job for job in JOBS.values() if "permissions" in job or "env" in job]
    assert len([step for step in steps if "secrets." in str(step)]) == 1
    assert not [step for step in steps if "secrets." in step.get("run", "")]
