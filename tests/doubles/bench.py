"""Where doubles lie, what they share, and their levers.

<folder>/codesign, lipo, …     the executables
<folder>/bench.json            the rehearsal they work for
<folder>/levers.json           what goes wrong; written by a test
<folder>/keychains.json        the user's keychains
<folder>/counts/<number>       how often a fault's call was made
<folder>/spied                 with the lever of that name: argv and environment of every call
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.host import Host

ROOT = Path(__file__).parents[2]
NAMES = (
    "arch",
    "codesign",
    "ditto",
    "install_name_tool",
    "lipo",
    "notarytool",
    "plutil",
    "security",
    "spctl",
    "stapler",
    "sw_vers",
    "xattr",
    "xcodebuild",
    "xcrun",
)
# Without site-packages' own start, which takes longer than most calls.
PROGRAM = f"""\
#!{sys.executable} -IS
import sys
sys.path += {[str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if path.endswith("-packages"))]}
from doubles.bench import main
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The `at`-th call of a tool with all these words, and the `times - 1` after it, ends like this.

    A word stands for a path that ends in it, too.
    """

    tool: str
    words: tuple[str, ...] = ()
    at: int = 1
    times: int = 1_000_000
    exit: int = 1
    out: str = ""
    err: str = ""
    works: bool = False
    """Is what was asked done all the same, before?"""
    kills: int = 0
    """A signal that the caller is sent then, in place of an answer."""
    hangs: bool = False
    """It never ends. Where the bench has a pipe `held`, it and a child of its own hold that open for writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    folder: Path

    @classmethod
    def install(cls, folder: Path, rehearsal: Path, program: str = PROGRAM) -> Bench:
        """Put executables of every name into `folder`, each this text; `doubles.server` has another."""
        (folder / "counts").mkdir(parents=True)
        bench = cls(folder=folder)
        bench.equip(program)
        # Relative, so that a copy of the folder around both works for its own rehearsal.
        (folder / "bench.json").write_text(json.dumps({"rehearsal": os.path.relpath(rehearsal, folder)}))
        bench.set()
        return bench

    def equip(self, program: str = PROGRAM) -> None:
        """Make every executable this text."""
        for name in NAMES:
            (self.folder / name).write_text(program)
            (self.folder / name).chmod(0o755)

    def set(self, *faults: Fault, **levers: object) -> None:
        """These faults and levers, in place of those before."""
        for count in (self.folder / "counts").iterdir():
            count.unlink()
        document = {"faults": [asdict(fault) for fault in faults], "levers": levers}
        (self.folder / "levers.json").write_text(json.dumps(document))

    @property
    def rehearsal(self) -> Path:
        return self.folder / str(json.loads((self.folder / "bench.json").read_text())["rehearsal"])

    def lever(self, name: str) -> Any:
        return json.loads((self.folder / "levers.json").read_text())["levers"].get(name)

    def fault(self, tool: str, words: Sequence[str]) -> Fault | None:
        """Counts a call; the fault that it meets, if any."""
        names = {*words, *map(os.path.basename, words)}
        for number, fields in enumerate(json.loads((self.folder / "levers.json").read_text())["faults"]):
            fault = Fault(**fields | {"words": tuple(fields["words"])})
            if fault.tool == tool and set(fault.words) <= names:
                count = self._count(number)
                if fault.at <= count < fault.at + fault.times:
                    return fault
        return None

    def _count(self, number: int) -> int:
        with (self.folder / "counts" / str(number)).open("a+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            count = int(stream.read() or "0") + 1
            stream.truncate(0)
            stream.write(str(count))
        return count

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among the doubles of this bench."""
        with (self.folder / "lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


class Job:
    """One run of one double: its bench, its words, and how it speaks."""

    def __init__(self, bench: Bench, words: Sequence[str], caller: int) -> None:
        self.bench = bench
        self.words = list(words)
        self.caller = caller
        """The process that runs the tool."""

    @cached_property
    def host(self) -> Host:
        from pipeline.host import system_host  # a double that only fails starts without it

        return system_host()

    def say(self, *lines: str) -> None:
        """On standard error, where most of Apple's tools speak."""
        print(*lines, sep="\n", file=sys.stderr)

    def tell(self, *lines: str) -> None:
        print(*lines, sep="\n")


def main() -> None:
    """What every executable calls."""
    tool = Path(sys.argv[0]).absolute()
    raise SystemExit(run(Job(Bench(folder=tool.parent), sys.argv[1:], os.getppid()), tool.name))


def run(job: Job, tool: str) -> int:
    if job.bench.lever("spied"):
        with (job.bench.folder / "spied").open("a") as stream:
            stream.write(json.dumps([sys.argv, dict(os.environ)]) + "\n")
    fault = job.bench.fault(tool, job.words)
    if fault is None:
        return _act(job, tool)
    if fault.works:
        _act(job, tool)
    if fault.kills:
        os.kill(job.caller, fault.kills)
        if fault.kills != signal.SIGKILL:
            signal.pause()  # a caller that still acts ends its tools
    sys.stdout.write(fault.out)
    sys.stderr.write(fault.err)
    if fault.hangs:
        _hang(job.bench)
    return fault.exit


def _hang(bench: Bench) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if (bench.folder / "held").exists():
        os.open(bench.folder / "held", os.O_WRONLY)
        os.fork()
    while True:
        signal.pause()


def _act(job: Job, tool: str) -> int:
    act: Callable[[Job], int] = import_module(f"doubles.{tool}").act
    return act(job)


def option(words: Sequence[str], name: str) -> str | None:
    """The word after `name`."""
    return words[words.index(name) + 1] if name in words else None
