"""Put a release's agent in place of the one that runs on this machine, or the one before back.

Stop both jobs, back up, replace the binary by rename, verify what lies there, refresh the jobs, start both, read back
what launchd says. A step that fails undoes those before it. Everything lies under `Site.root`, launchctl too: "/" on a
Mac, a folder in a trial. The .msh and .db beside the binary are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline import disk, launchd
from pipeline.codesign.certificates import Anchors
from pipeline.errors import ConfigurationError, HostRefused, ReleaseError, VerificationError
from pipeline.host import Completed, Host

_STAMP = "%Y%m%d_%H%M%S"
# launchd starts a job that was bootstrapped when it comes to it, and lets go of one that was booted out likewise.
_PAUSE, _PATIENCE = timedelta(milliseconds=250), 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an agent is installed, on the machine below `root`."""

    root: Path
    installation: launchd.Installation
    user: int
    """Numeric id of the user in whose session the agent runs."""

    def path(self, place: str) -> Path:
        return self.root / place.lstrip("/")

    @property
    def program(self) -> Path:
        return self.path(launchd.places_of(self.installation).program)

    @property
    def jobs(self) -> dict[str, Path]:
        """launchctl's domain → the job's file; the daemon first."""
        places = launchd.places_of(self.installation)
        return {"system": self.path(places.daemon_job), f"gui/{self.user}": self.path(places.agent_job)}

    def target(self, domain: str) -> str:
        suffix = "" if domain == "system" else "-agent"
        return f"{domain}/{self.installation.service_id}{suffix}"

    def backups(self) -> list[Path]:
        """Folders with what lay there before, the oldest first."""
        return sorted(self.program.parent.glob(f"{self.program.name}.backup.*_*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do, in words, and how it is undone."""

    words: str
    act: Callable[[], None]
    undo: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What is installed: the binary, its CDHash for each architecture, and the jobs' property lists."""

    binary: Path
    cdhashes: Mapping[str, str] | None
    """None: whatever it is signed with (of a backup nothing is recorded)."""
    jobs: Mapping[str, bytes]
    """Name of a job's file → its bytes; a job that is not named stays as it is."""


def install(host: Host, site: Site, payload: Payload, anchors: Anchors) -> tuple[Step, ...]:
    """The steps of an installation; nothing is done yet."""
    return _Installer(host, site, anchors).steps(payload)


def rollback(host: Host, site: Site, anchors: Anchors) -> tuple[Step, ...]:
    """The steps that put the newest backup back, which is then used up. Raises ConfigurationError without one."""
    backups = site.backups()
    if not backups:
        raise ConfigurationError("there is no backup to go back to", where=str(site.program.parent))
    newest = backups[-1]
    jobs = {path.name: host.files.read(path) for path in sorted(newest.glob("*.plist"))}
    payload = Payload(binary=newest / site.program.name, cdhashes=None, jobs=jobs)
    used = Step(words=f"remove {newest.name}", act=lambda: host.files.remove(newest))
    return (*_Installer(host, site, anchors).steps(payload, back_up=False), used)


def carry_out(host: Host, steps: Sequence[Step]) -> None:
    """Every step in order. One that fails undoes what was done, the last first, and its error goes on."""
    done: list[Step] = []
    try:
        for step in steps:
            host.console.say(step.words)
            done.append(step)
            step.act()
    except BaseException:
        for step in reversed(done):
            if step.undo is None:
                continue
            host.console.say(f"undo: {step.words}")
            try:
                step.undo()
            except ReleaseError as error:
                host.console.say(f"could not be undone: {error}")
        raise


class _Installer:
    """What the steps share: what was there before, and which jobs ran."""

    def __init__(self, host: Host, site: Site, anchors: Anchors) -> None:
        self._host = host
        self._site = site
        self._anchors = anchors
        stamp = host.clock.now().strftime(_STAMP)
        self._backup = site.program.with_name(f"{site.program.name}.backup.{stamp}")
        self._ran: set[str] = set()
        self._before: dict[Path, bytes | None] = {}
        self._replaces = site.program.is_file()

    def steps(self, payload: Payload, *, back_up: bool = True) -> tuple[Step, ...]:
        site = self._site
        agent, daemon = reversed(site.jobs)
        writes = {path: payload.jobs[path.name] for path in site.jobs.values() if path.name in payload.jobs}
        steps = [self._stop(domain) for domain in (agent, daemon)]
        if back_up:
            # Kept where the undoing of a later step needs it, removed only where the installation fails.
            words = f"back up {site.program} and its jobs to {self._backup.name}"
            steps.append(Step(words=words, act=self._back_up, undo=lambda: self._host.files.remove(self._backup)))
        steps.append(
            Step(
                words=f"replace {site.program} by {payload.binary}",
                act=lambda: self._put_binary(payload.binary),
                undo=self._put_back,
            )
        )
        steps.append(Step(words=f"verify {site.program}", act=lambda: self._verify(payload)))
        steps += [self._write_job(path, data) for path, data in writes.items()]
        steps += [self._start(domain) for domain in (daemon, agent)]
        steps.append(Step(words="read back what launchd runs", act=self._read_back, undo=self._stop_all))
        return tuple(steps)

    def _stop(self, domain: str) -> Step:
        def act() -> None:
            if self._is_loaded(domain):
                self._ran.add(domain)
                self._bootout(domain)

        def undo() -> None:
            if domain in self._ran and not self._is_loaded(domain):
                self._bootstrap(domain)

        return Step(words=f"stop {self._site.target(domain)}", act=act, undo=undo)

    def _start(self, domain: str) -> Step:
        def act() -> None:
            if domain != "system" and self._launchctl("print", domain).returncode != 0:
                self._host.console.say(f"nobody is logged in as user {self._site.user}: it starts with the next login")
                return
            self._bootstrap(domain)

        def undo() -> None:
            if self._is_loaded(domain):
                self._bootout(domain)

        return Step(words=f"start {self._site.target(domain)}", act=act, undo=undo)

    def _stop_all(self) -> None:
        for domain in reversed(self._site.jobs):
            if self._is_loaded(domain):
                self._bootout(domain)

    def _back_up(self) -> None:
        files, program = self._host.files, self._site.program
        for path in (program, *self._site.jobs.values()):
            if path.is_file():
                files.copy(path, self._backup / path.name)

    def _put_binary(self, binary: Path) -> None:
        files, program = self._host.files, self._site.program
        if self._replaces:
            files.copy(program, self._aside)
        files.copy(binary, program, mode=0o755)

    def _put_back(self) -> None:
        if self._aside.is_file():
            self._host.files.move(self._aside, self._site.program)
        elif not self._replaces:
            self._host.files.remove(self._site.program)

    @property
    def _aside(self) -> Path:
        return self._site.program.with_name(f".{self._site.program.name}.before")

    def _verify(self, payload: Payload) -> None:
        slices = disk.verify_path(self._site.program, anchors=self._anchors)
        found = {one.arch: one.cdhash for one in slices}
        if payload.cdhashes is not None and found != dict(payload.cdhashes):
            raise VerificationError(
                f"has CDHashes {found}, and the release {dict(payload.cdhashes)}", where=str(self._site.program)
            )

    def _write_job(self, path: Path, data: bytes) -> Step:
        files = self._host.files

        def act() -> None:
            self._before[path] = files.read(path) if path.is_file() else None
            files.write(path, data, mode=0o644)

        def undo() -> None:
            if path not in self._before:
                return
            before = self._before[path]
            if before is None:
                files.remove(path)
            else:
                files.write(path, before, mode=0o644)

        return Step(words=f"write {path}", act=act, undo=undo)

    def _read_back(self) -> None:
        program = launchd.places_of(self._site.installation).program
        for domain in self._site.jobs:
            target = self._site.target(domain)
            if domain != "system" and not self._is_loaded(domain):
                continue
            # An agent waits for its queue folder; a daemon runs from the start.
            said = self._wait(target, "state = " if domain != "system" else "state = running\n")
            if f"program = {program}\n" not in said:
                raise VerificationError(f"launchd does not run {program} as {target}", where=target)
        self._host.files.remove(self._aside)

    def _wait(self, target: str, words: str) -> str:
        """What launchctl prints of a job, a line without blanks around it each, as soon as it holds these words."""
        text = ""
        for _ in range(_PATIENCE):
            lines = self._launchctl("print", target).stdout.decode("utf-8", "replace").splitlines()
            text = "".join(f"{line.strip()}\n" for line in lines)
            if words in text:
                return text
            self._host.clock.sleep(_PAUSE)
        state = next((line for line in text.splitlines() if line.startswith("state = ")), "not loaded")
        raise VerificationError(f"does not run: {state}", where=target, remedy="its log tells more")

    def _is_loaded(self, domain: str) -> bool:
        return self._launchctl("print", self._site.target(domain)).returncode == 0

    def _bootout(self, domain: str) -> None:
        target = self._site.target(domain)
        done = self._launchctl("bootout", target)
        for _ in range(_PATIENCE):
            if not self._is_loaded(domain):
                return
            self._host.clock.sleep(_PAUSE)
        raise HostRefused(f"launchctl bootout {target} failed: {done.last_lines(2)}", where=target)

    def _bootstrap(self, domain: str) -> None:
        # A job that was ever disabled by hand stays so, whatever its property list says.
        self._launchctl("enable", self._site.target(domain))
        path = self._site.jobs[domain]
        done = self._launchctl("bootstrap", domain, str(path))
        if done.returncode != 0:
            raise HostRefused(f"launchctl bootstrap {domain} failed: {done.last_lines(2)}", where=str(path))

    def _launchctl(self, *words: str) -> Completed:
        return self._host.runner.run((self._site.path("/bin/launchctl"), *words))
