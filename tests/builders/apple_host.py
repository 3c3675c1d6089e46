"""Apple's toolchain over doubles, in this process, with a clock that nobody waits for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from doubles.bench import Bench
from doubles.server import serving
from fakes.clock import FakeClock

from builders.hosts import Terminal, host_with
from pipeline.host import Host
from pipeline.model import World
from pipeline.rehearsal import Rehearsal
from pipeline.toolchain import SignRequest
from pipeline.toolchain.apple import AppleToolchain, Tools
from pipeline.toolchain.portable import PortableToolchain

_TARGETS = {"x86_64": "x86_64-macos.10.13", "arm64": "aarch64-macos.11.0"}
REQUEST = SignRequest(identifier="com.example.tool", entitlements=None, era="macos-26")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mac:
    """A host with doubles for tools, and what it has said and logged."""

    folder: Path
    bench: Bench
    rehearsal: Rehearsal
    host: Host
    clock: FakeClock
    terminal: Terminal
    events: list[dict[str, object]] = field(default_factory=list)

    @property
    def tools(self) -> Tools:
        return Tools(host=self.host, folder=self.bench.folder, record=self._record)

    def _record(self, event: str, **facts: object) -> None:
        self.events.append({"event": event, **facts})

    @property
    def engine(self) -> PortableToolchain:
        return PortableToolchain(self.host, lambda: self.rehearsal.services, self.folder, World.REHEARSAL)

    def toolchain(
        self, *, world: World = World.REHEARSAL, identity: str | None = None, profile: str | None = None
    ) -> AppleToolchain:
        engine = PortableToolchain(self.host, lambda: self.rehearsal.services, self.folder, world)
        return AppleToolchain(self.tools, engine, self.folder, world, identity=identity, profile=profile)

    def calls(self, *words: str) -> int:
        """How many calls of tools had all these words."""
        return sum(set(words) <= set(map(_name, entry["argv"])) for entry in self.events)  # type: ignore[call-overload]


def _name(word: str) -> str:
    return Path(word).name if word.startswith("/") else word


@pytest.fixture(scope="session")
def program() -> Iterator[str]:
    """What each double is while a server does their work: a Python to start for each would take five times as long."""
    with serving() as text:
        yield text


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rehearsal's keys, which take long to make."""
    folder = tmp_path_factory.mktemp("keys")
    with Rehearsal(folder, host_with()):
        return folder / "keys"


@pytest.fixture
def mac(tmp_path: Path, keys: Path, program: str) -> Iterator[Mac]:
    clock, terminal = FakeClock(), Terminal()
    host = host_with(clock, terminal)
    folder = tmp_path / "outputs"
    shutil.copytree(keys, folder / "rehearsal" / "keys")
    with Rehearsal(folder / "rehearsal", host) as rehearsal:
        yield Mac(
            folder=folder,
            bench=Bench.install(tmp_path / "tools", folder / "rehearsal", program),
            rehearsal=rehearsal,
            host=host,
            clock=clock,
            terminal=terminal,
        )


@pytest.fixture(scope="session")
def thins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an executable for each architecture, unsigned but for what its linker does."""
    folder = tmp_path_factory.mktemp("thins")
    source = folder / "tool.c"
    source.write_text("int main(void) { return 0; }\n")
    for arch, target in _TARGETS.items():
        argv = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-O2", "-o", str(folder / arch), str(source)]
        subprocess.run(argv, check=True, capture_output=True)
    return folder


@pytest.fixture
def tool(thins: Path, tmp_path: Path) -> Path:
    """A copy of the arm64 executable."""
    return Path(shutil.copy(thins / "arm64", tmp_path / "tool"))


@pytest.fixture(scope="session")
def both(thins: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture → its executable, signed as REQUEST asks, with those keys."""
    folder = tmp_path_factory.mktemp("both")
    host = host_with()
    shutil.copytree(keys, folder / "rehearsal" / "keys")
    with Rehearsal(folder / "rehearsal", host) as rehearsal:
        engine = PortableToolchain(host, lambda: rehearsal.services, folder, World.REHEARSAL)
        for arch in _TARGETS:
            engine.sign(thins / arch, folder / arch, REQUEST)
    return {arch: folder / arch for arch in _TARGETS}


@pytest.fixture(scope="session")
def signed(both: dict[str, Path]) -> Path:
    """The arm64 one of them."""
    return both["arm64"]
