"""Put a release's agent in place of the one that runs on this machine, or the one before back.

Stop its jobs, back up, replace the binary by rename, verify what lies there, remove jobs of another service id, refresh
the jobs, start them, read back what launchd says. A step that fails undoes those before it. Everything lies under
`Site.root`, launchctl too: "/" on a Mac, a folder in a trial. The .msh and .db beside the binary are not touched.
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

SYSTEM = "system"
"""launchctl's domain of daemons."""
_STAMP = "%Y%m%d_%H%M%S"
# launchd starts a job that was bootstrapped when it comes to it, and lets go of one that was booted out likewise.
# launchctl itself answers at once, or is stuck.
_LIMIT = timedelta(minutes=2)
_PAUSE, _PATIENCE = timedelta(milliseconds=250), 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as launchctl knows it, and its file."""

    domain: str
    label: str
    path: Path

    @property
    def target(self) -> str:
        return f"{self.domain}/{self.label}"


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
    def jobs(self) -> tuple[Job, ...]:
        """The daemon, and the agent of `user`."""
        places, label = launchd.places_of(self.installation), self.installation.service_id
        return (
            Job(domain=SYSTEM, label=label, path=self.path(places.daemon_job)),
            Job(domain=self.session, label=f"{label}-agent", path=self.path(places.agent_job)),
        )

    @property
    def session(self) -> str:
        """launchctl's domain of the agent."""
        return f"gui/{self.user}"

    def job_at(self, path: Path, values: Mapping[str, object]) -> Job:
        """The job of a file in a folder of launchd's. Raises VerificationError for one without a label."""
        label = values.get("Label")
        if not isinstance(label, str) or not label:
            raise VerificationError("has no Label", where=path.name)
        domain = SYSTEM if path.parent == self.path(launchd.DAEMONS) else self.session
        return Job(domain=domain, label=label, path=path)

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
    jobs: Mapping[Path, bytes]
    """Where a job's file lies → its bytes; a job that is not named stays as it is."""


def install(
    host: Host, site: Site, payload: Payload, anchors: Anchors, replaced: Sequence[Job] = ()
) -> tuple[Step, ...]:
    """The steps of an installation; nothing is done yet. `replaced`: jobs of the same program, to be removed."""
    return _Installer(host, site, anchors, runs=site.jobs, removed=replaced).steps(payload)


def rollback(host: Host, site: Site, anchors: Anchors) -> tuple[Step, ...]:
    """The steps that put the newest backup back, which is then used up. Raises ConfigurationError without one.

    Jobs are as they were then: another service id's come back, and those of `site` that were not there are removed.
    """
    backups = site.backups()
    if not backups:
        raise ConfigurationError("there is no backup to go back to", where=str(site.program.parent))
    newest = backups[-1]
    folders = [site.path(place) for place in (launchd.DAEMONS, launchd.AGENTS)]
    data = {
        folder / path.name: host.files.read(path)
        for folder in folders
        for path in sorted((newest / folder.name).glob("*.plist"))
    }
    try:
        kept = [site.job_at(path, launchd.parse_job(one)) for path, one in data.items()]
    except ReleaseError as error:
        raise error.at(str(newest)) from None
    payload = Payload(binary=newest / site.program.name, cdhashes=None, jobs=data)
    before = {job.path for job in kept}
    runs, removed = (kept, [job for job in site.jobs if job.path not in before]) if kept else (site.jobs, ())
    used = Step(words=f"remove {newest.name}", act=lambda: host.files.remove(newest))
    return (*_Installer(host, site, anchors, runs=runs, removed=removed).steps(payload, back_up=False), used)


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

    def __init__(
        self, host: Host, site: Site, anchors: Anchors, *, runs: Sequence[Job], removed: Sequence[Job]
    ) -> None:
        """`runs`: the jobs that are to run, their daemon first; `removed`: those that are not to be there any more."""
        self._host = host
        self._site = site
        self._anchors = anchors
        self._runs = sorted(runs, key=lambda job: job.domain != SYSTEM)
        self._removed = sorted(removed, key=lambda job: job.domain != SYSTEM)
        stamp = host.clock.now().strftime(_STAMP)
        self._backup = site.program.with_name(f"{site.program.name}.backup.{stamp}")
        self._ran: set[str] = set()
        self._before: dict[Path, bytes | None] = {}
        self._replaces = site.program.is_file()

    def steps(self, payload: Payload, *, back_up: bool = True) -> tuple[Step, ...]:
        site = self._site
        steps = [self._stop(job) for job in (*reversed(self._removed), *reversed(self._runs))]
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
        steps += [self._change_job(job.path, None) for job in self._removed if job.path.is_file()]
        steps += [self._change_job(job.path, payload.jobs[job.path]) for job in self._runs if job.path in payload.jobs]
        steps += [self._start(job) for job in self._runs]
        steps.append(Step(words="read back what launchd runs", act=self._read_back, undo=self._stop_all))
        return tuple(steps)

    def _stop(self, job: Job) -> Step:
        def act() -> None:
            if self._is_loaded(job):
                self._ran.add(job.target)
                self._bootout(job)

        def undo() -> None:
            if job.target in self._ran and not self._is_loaded(job):
                self._bootstrap(job)

        return Step(words=f"stop {job.target}", act=act, undo=undo)

    def _start(self, job: Job) -> Step:
        def act() -> None:
            if job.domain != SYSTEM and self._launchctl("print", job.domain).returncode != 0:
                self._host.console.say(f"nobody is logged in as user {self._site.user}: it starts with the next login")
                return
            self._bootstrap(job)

        def undo() -> None:
            if self._is_loaded(job):
                self._bootout(job)

        return Step(words=f"start {job.target}", act=act, undo=undo)

    def _stop_all(self) -> None:
        for job in reversed(self._runs):
            if self._is_loaded(job):
                self._bootout(job)

    def _back_up(self) -> None:
        files, program = self._host.files, self._site.program
        if program.is_file():
            files.copy(program, self._backup / program.name)
        for job in (*self._removed, *self._runs):
            if job.path.is_file():
                files.copy(job.path, self._backup / job.path.parent.name / job.path.name)

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

    def _change_job(self, path: Path, data: bytes | None) -> Step:
        """Write a job, or remove it where there are no data."""
        files = self._host.files

        def put(values: bytes | None) -> None:
            if values is None:
                files.remove(path)
            else:
                files.write(path, values, mode=0o644)

        def act() -> None:
            self._before[path] = files.read(path) if path.is_file() else None
            put(data)

        def undo() -> None:
            if path in self._before:
                put(self._before[path])

        return Step(words=f"{'remove' if data is None else 'write'} {path}", act=act, undo=undo)

    def _read_back(self) -> None:
        program = launchd.places_of(self._site.installation).program
        for job in self._runs:
            if job.domain != SYSTEM and not self._is_loaded(job):
                continue
            # An agent waits for its queue folder; a daemon runs from the start.
            said = self._wait(job.target, "state = " if job.domain != SYSTEM else "state = running\n")
            if f"program = {program}\n" not in said:
                raise VerificationError(f"launchd does not run {program} as {job.target}", where=job.target)
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

    def _is_loaded(self, job: Job) -> bool:
        return self._launchctl("print", job.target).returncode == 0

    def _bootout(self, job: Job) -> None:
        done = self._launchctl("bootout", job.target)
        for _ in range(_PATIENCE):
            if not self._is_loaded(job):
                return
            self._host.clock.sleep(_PAUSE)
        raise HostRefused(f"launchctl bootout {job.target} failed: {done.last_lines(2)}", where=job.target)

    def _bootstrap(self, job: Job) -> None:
        # A job that was ever disabled by hand stays so, whatever its property list says.
        self._launchctl("enable", job.target)
        done = self._launchctl("bootstrap", job.domain, str(job.path))
        if done.returncode != 0:
            raise HostRefused(f"launchctl bootstrap {job.domain} failed: {done.last_lines(2)}", where=str(job.path))

    def _launchctl(self, *words: str) -> Completed:
        done = self._host.runner.run((self._site.path("/bin/launchctl"), *words), timeout=_LIMIT)
        if done.timed_out:
            raise HostRefused(f"launchctl {' '.join(words)} did not end in time and was stopped", where=words[-1])
        return done
