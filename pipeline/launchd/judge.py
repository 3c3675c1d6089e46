"""What is wrong with a job, with its file, and with a daemon and an agent that should meet. Nothing is read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.launchd import keys, shapes
from pipeline.launchd.jobs import SESSION_ARGUMENT, arguments_of, is_session_job, program_of
from pipeline.launchd.places import AGENTS, DAEMONS, queue_of
from pipeline.launchd.service_id import AGENT_SUFFIX, agent_kvm_id, daemon_kvm_id, option_of, problem_of

_GROUP_OR_OTHERS_WRITE = 0o022
_SYSTEM_FOLDERS = (f"{DAEMONS}/", f"{AGENTS}/", "/System/Library/Launch")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A job as it was found."""

    path: str
    job: Mapping[str, object]
    mode: int
    """Permission bits; of a link, those of what it points to."""
    owner: int
    """User id, likewise."""
    is_link: bool = False

    @property
    def is_agent(self) -> bool:
        """By its folder, and elsewhere by what it says."""
        if "/LaunchDaemons/" in self.path or "/LaunchAgents/" in self.path:
            return "/LaunchAgents/" in self.path
        sessions = self.job.get("LimitLoadToSessionType", "System")
        return is_session_job(self.job) or "System" not in (sessions if isinstance(sessions, list) else [sessions])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    path: str
    key: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {f'{self.key}: ' if self.key else ''}{self.message}"


def judge(
    files: Sequence[JobFile], *, programs: Sequence[str] | None = None, installed: bool = False
) -> tuple[Finding, ...]:
    """Every finding of these files, each alone and together.

    `programs`: names of what a release carries; `installed`: the files lie where launchd takes them from, so that their
    owners count (they do anyway in the system's own folders).
    """
    findings: list[Finding] = []
    for file in files:
        found = [*_of_job(file), *_of_program(file, programs), *_of_file(file, installed=installed)]
        findings += [Finding(path=file.path, key=key, message=message) for key, message in found]
    daemons = [file for file in files if not file.is_agent]
    agents = [file for file in files if file.is_agent]
    for agent in agents:
        daemon = _daemon_of(agent, daemons)
        problems: tuple[str, ...] = ()
        if daemon is not None:
            problems = meeting_problems(daemon.job, agent.job)
        elif is_session_job(agent.job) and len(files) > 1:
            problems = ("there is no daemon here that it could meet",)
        findings += [Finding(path=agent.path, key=None, message=message) for message in problems]
    return (*findings, *_of_labels(daemons), *_of_labels(agents))


def meeting_problems(daemon: Mapping[str, object], agent: Mapping[str, object]) -> tuple[str, ...]:
    """Why these two would not find or accept each other; empty where they meet."""
    problems = []
    program, other = program_of(daemon), program_of(agent)
    if program != other:
        problems.append(f"starts {other}, and the daemon {program}: the daemon accepts its own code alone")
    if not is_session_job(agent):
        problems.append(f"does not start with {SESSION_ARGUMENT}, and would be a second daemon")
    label = daemon.get("Label")
    discovered = label if isinstance(label, str) else None
    served = daemon_kvm_id(option_of(arguments_of(daemon)), discovered)
    # An agent that is told nothing finds the daemon's job by its program.
    sought = agent_kvm_id(option_of(arguments_of(agent)), discovered if program == other else None)
    if served != sought:
        problems.append(f"looks for /tmp/{sought}.sock, and the daemon listens on /tmp/{served}.sock")
    queues = agent.get("QueueDirectories")
    watched = [path.rstrip("/") for path in queues if isinstance(path, str)] if isinstance(queues, list) else []
    if queue_of(served) not in watched:
        problems.append(f"does not watch {queue_of(served)}, where the daemon calls it")
    if discovered is not None and agent.get("Label") != f"{discovered}{AGENT_SUFFIX}":
        problems.append(f'has the label "{agent.get("Label")}" instead of "{discovered}{AGENT_SUFFIX}"')
    return tuple(problems)


def _daemon_of(agent: JobFile, daemons: Sequence[JobFile]) -> JobFile | None:
    """The daemon that an agent belongs to: by label, else by id, else by program; foreign agents have none."""
    label, sought, program = agent.job.get("Label"), option_of(arguments_of(agent.job)), program_of(agent.job)
    by_label = [daemon for daemon in daemons if f"{daemon.job.get('Label')}{AGENT_SUFFIX}" == label]
    by_id = [daemon for daemon in daemons if sought is not None and option_of(arguments_of(daemon.job)) == sought]
    # Others too have a daemon and an agent of one program, and let them meet in ways of their own.
    same = is_session_job(agent.job)
    by_program = [daemon for daemon in daemons if same and program_of(daemon.job) == program]
    return next(iter([*by_label, *by_id, *by_program]), None)


def _of_labels(files: Sequence[JobFile]) -> Iterator[Finding]:
    """Jobs of one domain whose label another has."""
    first: dict[object, str] = {}
    for file in files:
        label = file.job.get("Label")
        if not isinstance(label, str) or not label:
            continue
        if label in first:
            message = f'"{label}" is the label of {first[label]} too: launchd takes the one or the other'
            yield Finding(path=file.path, key="Label", message=message)
        first.setdefault(label, file.path)


def _of_job(file: JobFile) -> Iterator[tuple[str, str]]:
    job = file.job
    ignored = {**keys.IGNORED, **(keys.IGNORED_IN_AGENTS if file.is_agent else keys.IGNORED_IN_DAEMONS)}
    if not file.is_agent and "UserName" not in job:
        ignored["InitGroups"] = "there is no UserName whose groups they would be"
    if job.get("KeepAlive") is True:
        ignored["EnablePressuredExit"] = "KeepAlive is true"
    for key, value in job.items():
        if key not in keys.KEYS:
            private = key in keys.PRIVATE or key.startswith("_")
            yield key, "a key of Apple's own jobs, with no promise" if private else shapes.unknown(key, keys.KEYS)
            continue
        wrong = dict(shapes.problems(value, keys.KEYS[key], key))
        yield from wrong.items()
        inside = [f"{key}.{one}" for one in value] if isinstance(value, dict) else []
        for name in (key, *inside):
            if name in ignored and name not in wrong:
                yield name, f"launchd ignores it: {ignored[name]}"
    if not job.get("Label"):
        yield "Label", "missing"
    if not job.get("ProgramArguments") and not {"Program", "BundleProgram"} & job.keys():
        yield "ProgramArguments", "missing, and there is no Program"
    given = option_of(arguments_of(job))
    if given is not None and (problem := problem_of(given)):
        yield "ProgramArguments", f'the service id "{given}" {problem}'


def _of_program(file: JobFile, programs: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """Program is an absolute path; the first of ProgramArguments may be a bare name of the system's."""
    program = program_of(file.job)
    if program is None:
        if "BundleProgram" in file.job and file.path.startswith(_SYSTEM_FOLDERS):
            yield "BundleProgram", "is for jobs inside an app, which SMAppService installs"
        return
    key = "Program" if isinstance(file.job.get("Program"), str) else "ProgramArguments"
    if not program.startswith("/") and (key == "Program" or "/" in program or not program):
        yield key, f'"{program}" is not an absolute path: launchd has no folder to start it from'
    elif not program.startswith("/") and programs is not None:
        yield key, f"starts {program} of {keys.STANDARD_PATH}, and no program of the release"
    elif programs is not None and program.rpartition("/")[2] not in programs:
        yield key, f"starts {program}, and the release has no such program, only {', '.join(programs)}"


def _of_file(file: JobFile, *, installed: bool) -> Iterator[tuple[None, str]]:
    """launchctl(1): a job's file belongs to root (a user's own agents to that user), and nobody else can write it."""
    if file.is_link:
        yield None, "is a symbolic link: at boot launchd may not reach what it points to; a copy is safe"
    if file.mode & _GROUP_OR_OTHERS_WRITE:
        yield None, f"mode {file.mode:04o}: launchd refuses a file that its group or others can write; 0644"
    if file.owner != 0 and (installed or file.path.startswith(_SYSTEM_FOLDERS)):
        yield None, f"belongs to user {file.owner}: launchd refuses a file of the system's that is not root's"
