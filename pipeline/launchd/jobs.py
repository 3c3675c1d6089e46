"""Job property lists: read, written, and made for the two jobs of an agent, a LaunchDaemon and a LaunchAgent.

Keys and values are those of the files that MeshAgent published (examples/launchd at 6aa5bc0c), with the service id
added to the arguments, as its later installer does. What launchd thinks of a job is in `judge`.
"""

from __future__ import annotations

import plistlib
from collections.abc import Iterable, Mapping
from typing import Any
from xml.parsers.expat import ExpatError

from pipeline.errors import MalformedFile
from pipeline.launchd.places import Installation, places_of

LARGEST = 1024 * 1024
DEEPEST = 64
SESSION_ARGUMENT = "-kvm1"


def parse_job(data: bytes) -> dict[str, Any]:
    """A job's keys and values, from XML or binary. Raises MalformedFile for anything but a dictionary."""
    if len(data) > LARGEST:
        raise MalformedFile(f"{len(data)} bytes; the most that is read of a job is {LARGEST}")
    try:
        values = plistlib.loads(data)
    except (plistlib.InvalidFileException, ExpatError) as error:
        raise MalformedFile(f"is not a property list: {error}") from error
    # plistlib has no error of its own for XML: what its handlers stumble over comes out as it is.
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedFile(f"is not a property list: {type(error).__name__}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise MalformedFile("is a property list, and not a dictionary")
    _demand_shallow(values)
    return values


def build_job(values: Mapping[str, object]) -> bytes:
    """The job as XML, keys sorted: the same values give the same bytes."""
    return plistlib.dumps(dict(values), sort_keys=True)


def arguments_of(job: Mapping[str, object]) -> tuple[str, ...]:
    """ProgramArguments where it is a list of texts; else nothing."""
    words = job.get("ProgramArguments")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return ()
    return tuple(words)


def program_of(job: Mapping[str, object]) -> str | None:
    """What launchd executes: Program, and without it the first of ProgramArguments."""
    program = job.get("Program")
    return program if isinstance(program, str) else next(iter(arguments_of(job)), None)


def is_session_job(job: Mapping[str, object]) -> bool:
    """Is it an agent's second half, which runs in the session of whoever is logged in?"""
    return SESSION_ARGUMENT in arguments_of(job)


def daemon_job(installation: Installation) -> dict[str, object]:
    """The LaunchDaemon: runs as root from the start, and is kept alive."""
    places = places_of(installation)
    names = {"--meshServiceName": installation.service_name, "--companyName": installation.company_name}
    return {
        "Disabled": False,
        "KeepAlive": True,
        "Label": installation.service_id,
        "ProgramArguments": [
            places.program,
            *(f"{option}={name}" for option, name in names.items() if name),
            f"--serviceId={installation.service_id}",
        ],
        "RunAtLoad": True,
        "StandardErrorPath": places.daemon_log,
        "StandardOutPath": places.daemon_log,
        "WorkingDirectory": installation.folder,
    }


def agent_job(installation: Installation) -> dict[str, object]:
    """The LaunchAgent: started in a session, the login window's too, while the daemon's queue folder holds a file."""
    places = places_of(installation)
    return {
        "Disabled": False,
        "KeepAlive": False,
        "Label": f"{installation.service_id}-agent",
        "LimitLoadToSessionType": ["Aqua", "LoginWindow"],
        "ProgramArguments": [places.program, SESSION_ARGUMENT, f"--serviceId={installation.service_id}"],
        "QueueDirectories": [places.queue],
        "StandardErrorPath": places.agent_log,
        "StandardOutPath": places.agent_log,
        "WorkingDirectory": installation.folder,
    }


def render(installation: Installation) -> dict[str, bytes]:
    """File name → property list of both jobs, the daemon's first."""
    return {
        f"{installation.service_id}.plist": build_job(daemon_job(installation)),
        f"{installation.service_id}-agent.plist": build_job(agent_job(installation)),
    }


def discover(jobs: Iterable[Mapping[str, object]], program: str) -> tuple[str, ...]:
    """Labels of the jobs that start `program`: ProgramArguments[0] equal to it, byte for byte.

    The agent takes the first in the order of the folder, which nothing defines: where there are several, any of them.
    """
    labels = {job.get("Label") for job in jobs if arguments_of(job)[:1] == (program,)}
    return tuple(sorted(label for label in labels if isinstance(label, str)))


def _demand_shallow(values: object) -> None:
    level: list[object] = [values]
    for _ in range(DEEPEST):
        inside: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
            elif isinstance(value, list):
                inside += value
        if not inside:
            return
        # A binary list may hold one object many times over: doubling at each level, 64 levels would never end.
        level = list({id(value): value for value in inside}.values())
    raise MalformedFile(f"nested deeper than {DEEPEST} levels")
