"""The stand-in agent's two processes, built for this host: how they meet, whom they refuse, what viewers get."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "examples" / "agent"
CC = "xcrun clang" if platform.system() == "Darwin" else f"{shlex.quote(sys.executable)} -m ziglang cc"
PICTURE, REFRESH, SCREEN = 3, 6, 7
PATIENCE = 30.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent for this host."""
    folder = tmp_path_factory.mktemp("agent")
    cache = str(tmp_path_factory.mktemp("zig"))
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    words = [*shlex.split(CC), "-O2", '-DAGENT_VERSION="1"', "-o", str(folder / "meshagent")]
    subprocess.run([*words, *map(str, sorted(AGENT.glob("*.c")))], check=True, capture_output=True, env=environment)
    return folder / "meshagent"


@dataclass(kw_only=True)
class Machine:
    """A root with one agent in it. Its path is short, as that of a socket must be."""

    root: Path
    program: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def signal(self) -> Path:
        return self.root / "var" / "run" / "acme" / "session-active"

    def socket_path(self, ending: str) -> str:
        return str(self.root / "tmp" / f"acme.{ending}")

    def start(self, *words: str, program: Path | None = None) -> subprocess.Popen[bytes]:
        argv = [str(program or self.program), f"--root={self.root}", "--serviceId=acme", *words]
        process = subprocess.Popen(argv, stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """The daemon, once it listens."""
        process = self.start()
        with self.connect("sock"):
            return process

    def start_session(self, program: Path | None = None) -> subprocess.Popen[bytes]:
        """The process in the session, once the daemon calls for it, as launchd does."""
        while not self.signal.exists():
            assert self.started[-1].poll() is None, "the daemon ended"
        return self.start("-kvm1", program=program)

    def connect(self, ending: str = "view") -> socket.socket:
        """A connection, as soon as somebody listens there."""
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            try:
                connection.connect(self.socket_path(ending))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                assert self.started[-1].poll() is None, self.started[-1].stderr
                continue
            return connection


@pytest.fixture
def machine(program: Path) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="a ") as folder:
        root = Path(folder)
        for place in ("tmp", "var/run"):
            (root / place).mkdir(parents=True)
        machine = Machine(root=root, program=program)
        yield machine
        for process in machine.started:
            process.kill()
            process.communicate()


def message(viewer: socket.socket) -> tuple[int, bytes]:
    """The next message: type and body. EOFError where the other end is gone."""

    def exactly(length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = viewer.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    kind, length = struct.unpack(">HH", exactly(4))
    return kind, exactly(length - 4)


def test_a_viewer_calls_the_session_and_gets_size_and_tiles(machine: Machine) -> None:
    """The first viewer makes the signal; -kvm1 then connects; the resolution comes before any tile."""
    machine.start_daemon()
    assert not machine.signal.exists()
    with machine.connect() as viewer:
        machine.start_session()
        assert message(viewer) == (SCREEN, struct.pack(">HH", 1280, 800))
        assert message(viewer)[0] == PICTURE


def test_every_viewer_gets_the_size_first(machine: Machine) -> None:
    """Five viewers that come one after another, into a running stream, each get the resolution before any tile."""
    machine.start_daemon()
    with machine.connect() as first:
        machine.start_session()
        while message(first)[0] != PICTURE:
            pass
        viewers = []
        for _ in range(5):
            viewers.append(machine.connect())
            kind, body = message(viewers[-1])
            assert (kind, body) == (SCREEN, struct.pack(">HH", 1280, 800))
            assert message(first)[0] in (PICTURE, SCREEN)
        for viewer in viewers:
            while message(viewer)[0] != PICTURE:
                pass
            viewer.close()
        assert message(first)[0] in (PICTURE, SCREEN)


def test_the_session_ends_with_the_last_viewer(machine: Machine) -> None:
    """While one viewer is left the signal stays; when the last goes, it goes, and -kvm1 ends with exit code 0."""
    machine.start_daemon()
    one, other = machine.connect(), machine.connect()
    session = machine.start_session()
    assert message(one)[0] == message(other)[0] == SCREEN
    one.close()
    for _ in range(3):
        message(other)
    assert machine.signal.exists()
    other.close()
    assert session.wait(PATIENCE) == 0
    assert not machine.signal.exists()
    assert machine.signal.parent.is_dir()


def test_removing_the_signal_ends_the_session(machine: Machine) -> None:
    """Whoever removes session-active ends -kvm1; the daemon and its viewers stay, and a new session serves them."""
    daemon = machine.start_daemon()
    with machine.connect() as viewer:
        session = machine.start_session()
        assert message(viewer)[0] == SCREEN
        machine.signal.unlink()
        assert session.wait(PATIENCE) == 0
        assert daemon.poll() is None
        machine.signal.touch()
        machine.start_session()
        while message(viewer)[0] != SCREEN:
            pass
        assert message(viewer)[0] == PICTURE


def test_without_a_signal_a_session_ends_at_once(machine: Machine) -> None:
    """-kvm1 that nobody called ends with exit code 0."""
    assert machine.start("-kvm1").wait(PATIENCE) == 0


def test_other_code_is_refused(machine: Machine, tmp_path: Path) -> None:
    """A copy of the program, another file, and a script are refused and send nothing; the agent itself is not."""
    daemon = machine.start_daemon()
    copy = tmp_path / "meshagent"
    shutil.copy(machine.program, copy)
    with copy.open("ab") as stream:
        stream.write(b"other")
    with machine.connect() as viewer:
        # Closed before anything was sent, or after, or reset because what was sent was never read.
        with machine.connect("sock") as stranger, suppress(ConnectionResetError, BrokenPipeError):
            stranger.sendall(struct.pack(">HHHH", SCREEN, 8, 1, 1))
            assert stranger.recv(1) == b""
        other = machine.start_session(copy)
        machine.start_session()
        assert message(viewer) == (SCREEN, struct.pack(">HH", 1280, 800))
        other.kill()
    daemon.send_signal(signal.SIGTERM)
    _, said = daemon.communicate(timeout=PATIENCE)
    assert b"refused a connection from other code" in said


def test_a_session_reconnects(machine: Machine) -> None:
    """-kvm1 whose connection is cut connects again while the signal stays, and sends the resolution first each time."""
    machine.signal.parent.mkdir()
    machine.signal.touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(machine.socket_path("sock"))
        listener.listen()
        listener.settimeout(PATIENCE)
        session = machine.start("-kvm1")
        for _ in range(3):
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
            with connection:
                assert message(connection)[0] == SCREEN
                assert message(connection)[0] == PICTURE
                connection.sendall(struct.pack(">HHHH", REFRESH, 8, 0, 0))
                while message(connection)[0] != SCREEN:
                    pass
        machine.signal.unlink()
        assert session.wait(PATIENCE) == 0


def test_a_daemon_that_was_killed_leaves_nothing_in_the_way(machine: Machine) -> None:
    """After a kill the next daemon takes the socket over, removes the stale signal and keeps the folder."""
    daemon = machine.start_daemon()
    with machine.connect():
        while not machine.signal.exists():
            assert daemon.poll() is None
        daemon.kill()
        daemon.wait()
    assert machine.signal.exists()
    again = machine.start()
    while machine.signal.exists():
        assert again.poll() is None
    with machine.connect() as viewer:
        machine.start_session()
        assert message(viewer)[0] == SCREEN
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE) == 0
    assert list((machine.root / "tmp").iterdir()) == []
    assert list((machine.root / "var" / "run" / "acme").iterdir()) == []


@pytest.mark.parametrize("data", [b"\0\7\0\3", b"\0\7\0\0\0\0\0\0", b"\xff" * 9000])
def test_a_viewer_that_sends_nonsense_is_dropped(machine: Machine, data: bytes) -> None:
    """A message of an impossible length ends its sender's connection, and no other's."""
    machine.start_daemon()
    with machine.connect() as viewer, machine.connect() as hostile:
        with suppress(ConnectionResetError, BrokenPipeError):
            hostile.sendall(data)
            assert hostile.recv(1) == b""
        machine.start_session()
        assert message(viewer)[0] == SCREEN


def test_a_root_too_deep_for_a_socket_is_refused(machine: Machine) -> None:
    """A path that sockaddr_un cannot hold is exit code 2, never a socket elsewhere."""
    done = subprocess.run(
        [machine.program, f"--root=/tmp/{'a' * 120}", "--serviceId=acme"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "too long" in done.stderr
