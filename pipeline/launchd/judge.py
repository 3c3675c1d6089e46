"""What is wrong with a job, with its file, and with a daemon and an agent that should meet. Nothing is read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.launchd import keys
from pipeline.launchd.jobs import SESSION_ARGUMENT, arguments_of, is_session_job, program_of
from pipeline.launchd.keys import Type
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
    """Permission bits."""
    owner: int
    is_link: bool = False

    @property
    def is_agent(self) -> bool:
        """By its folder, and elsewhere by what it says."""
        if "/LaunchDaemons/" in self.path or "/LaunchAgents/" in self.path:
            return "/LaunchAgents/" in self.path
        return is_session_job(self.job) or "LimitLoadToSessionType" in self.job


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
    """Every finding of these files, each alone and as pairs.

    `programs`: names of what a release carries; `installed`: the files lie where launchd takes them from, so that their
    owners count (they do anyway in the system's own folders).
    """
    findings: list[Finding] = []
    for file in files:
        found = [*_of_job(file), *_of_program(file, programs), *_of_file(file, installed=installed)]
        findings += [Finding(path=file.path, key=key, message=message) for key, message in found]
    daemons = [file for file in files if not file.is_agent]
    for agent in (file for file in files if file.is_agent):
        daemon = _daemon_of(agent, daemons)
        problems: tuple[str, ...] = ()
        if daemon is not None:
            problems = meeting_problems(daemon.job, agent.job)
        elif is_session_job(agent.job) and len(files) > 1:
            problems = ("there is no daemon here that it could meet",)
        findings += [Finding(path=agent.path, key=None, message=message) for message in problems]
    return tuple(findings)


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
    by_program = [daemon for daemon in daemons if program_of(daemon.job) == program]
    return next(iter([*by_label, *by_id, *by_program]), None)


def _of_job(file: JobFile) -> Iterator[tuple[str, str]]:
    ignored = {**keys.IGNORED, **(keys.IGNORED_IN_AGENTS if file.is_agent else keys.IGNORED_IN_DAEMONS)}
    for key, value in file.job.items():
        if key not in keys.KEYS:
            yield key, "unknown key"
        elif not any(_is(value, kind) for kind in keys.KEYS[key]):
            yield key, f"must be {' or '.join(keys.KEYS[key])}"
        elif key in ignored:
            yield key, f"launchd ignores it: {ignored[key]}"
    yield from _of_keep_alive(file.job.get("KeepAlive"))
    if not file.job.get("Label"):
        yield "Label", "missing"
    if not file.job.get("ProgramArguments") and not {"Program", "BundleProgram"} & file.job.keys():
        yield "ProgramArguments", "missing, and there is no Program"
    yield from _of_choices(file.job)
    given = option_of(arguments_of(file.job))
    if given is not None and (problem := problem_of(given)):
        yield "ProgramArguments", f'the service id "{given}" {problem}'


def _of_keep_alive(value: object) -> Iterator[tuple[str, str]]:
    for key, inside in value.items() if isinstance(value, dict) else ():
        if key not in keys.KEEP_ALIVE:
            yield f"KeepAlive.{key}", "unknown key"
        elif not _is(inside, keys.KEEP_ALIVE[key]):
            yield f"KeepAlive.{key}", f"must be {keys.KEEP_ALIVE[key]}"
        elif key in keys.IGNORED_IN_KEEP_ALIVE:
            yield f"KeepAlive.{key}", f"launchd ignores it: {keys.IGNORED_IN_KEEP_ALIVE[key]}"


def _of_choices(job: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    sessions = job.get("LimitLoadToSessionType", [])
    for session in sessions if isinstance(sessions, list) else [sessions]:
        if isinstance(session, str) and session not in keys.SESSIONS:
            yield "LimitLoadToSessionType", f'"{session}" is none of {", ".join(keys.SESSIONS)}'
    kind = job.get("ProcessType")
    if isinstance(kind, str) and kind not in keys.PROCESS_TYPES:
        yield "ProcessType", f'"{kind}" is none of {", ".join(keys.PROCESS_TYPES)}'


def _of_program(file: JobFile, programs: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    program = program_of(file.job)
    if program is None:
        return
    key = "Program" if "Program" in file.job else "ProgramArguments"
    if not program.startswith("/"):
        yield key, f'"{program}" is not an absolute path: launchd has no folder to start it from'
    elif programs is not None and program.rpartition("/")[2] not in programs:
        yield key, f"starts {program}, and the release has no such program, only {', '.join(programs)}"


def _of_file(file: JobFile, *, installed: bool) -> Iterator[tuple[None, str]]:
    """launchd(8) takes a job only from a regular file that nobody else can write; the system's belong to root."""
    if file.is_link:
        yield None, "is a symbolic link"
    if file.mode & _GROUP_OR_OTHERS_WRITE:
        yield None, f"mode {file.mode:04o}: launchd refuses a file that its group or others can write; 0644"
    if file.owner != 0 and (installed or file.path.startswith(_SYSTEM_FOLDERS)):
        yield None, f"belongs to user {file.owner}: launchd refuses a file of the system's that is not root's"


def _is(value: object, kind: Type) -> bool:
    match kind:
        case Type.BOOLEAN:
            return isinstance(value, bool)
        case Type.TEXT:
            return isinstance(value, str)
        case Type.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Type.TEXTS | Type.DICTIONARIES:
            wanted = Type.TEXT if kind is Type.TEXTS else Type.DICTIONARY
            return isinstance(value, list) and all(_is(one, wanted) for one in value)
        case Type.DICTIONARY:
            return isinstance(value, dict)
        case Type.TEXTS_BY_NAME | Type.NUMBERS_BY_NAME:
            wanted = Type.TEXT if kind is Type.TEXTS_BY_NAME else Type.INTEGER
            return isinstance(value, dict) and all(_is(one, wanted) for one in value.values())
