"""Service ids: what makes one, who is asked first, and which ids cannot work.

The rules are those of MeshAgent's macOS port (modules/macOSHelpers.js, modules/agent-installer.js,
meshcore/agentcore.c, meshcore/KVM/MacOS/mac_kvm.c, meshconsole/main.c) and of its document "macOS MeshAgent ServiceID
System"; where the two differ, both are told. The paths that follow from an id are in `places`, finding one in installed
jobs in `jobs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import ConfigurationError

LONGEST = 93
"""sockaddr_un.sun_path of macOS has 104 bytes (sys/un.h); "/tmp/", ".sock" and the final NUL leave 93."""
AGENT_SUFFIX = "-agent"
UNKNOWN = "unknown-agent"
"""What the daemon's KVM code falls back to (mac_kvm.c)."""
OPTION = "--serviceId="
MSH_KEYS = ("ServiceID", "serviceId")

# ECMAScript's \s (WhiteSpace and LineTerminator); Python's has other members.
_BLANKS = re.compile("[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")
_DROPPED = re.compile(r"[^a-zA-Z0-9_-]")
_USABLE = re.compile(r"[A-Za-z0-9._-]+")


class Source(StrEnum):
    """Where an id comes from."""

    SET_SERVICE_ID = "--setServiceID"
    SERVICE_ID = "--serviceId"
    JOB = "the installed daemon's --serviceId"
    MSH = "ServiceID in the .msh"
    DATABASE = "ServiceID in the database"
    BASE_NAME = "the executable's name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An id and where it comes from; `remark` where documents and code disagree about it."""

    id: str
    source: Source
    remark: str | None = None


def sanitize(text: str | None) -> str | None:
    """A run of blanks → one hyphen, all but letters, digits, `_` and `-` dropped, lower case.

    None for nothing given. What has nothing to keep gives "": the documents say null there, the code does not.
    """
    if not text:
        return None
    return _DROPPED.sub("", _BLANKS.sub("-", text)).lower()


def build_service_id(base_name: str, explicit: str | None = None) -> str:
    """An explicit id as it stands, else the executable's name, sanitized. Service and company names play no part."""
    return explicit if explicit is not None else sanitize(base_name) or ""


def problem_of(service_id: str) -> str | None:
    """Why daemon and agent could not both use an id; None where they can."""
    if not service_id:
        return "is empty"
    if not _USABLE.fullmatch(service_id):
        return "has a character that is not a letter, a digit, '.', '_' or '-'"
    if service_id in (".", ".."):
        return "is the name of a folder"
    if len(service_id) > LONGEST:
        return f"has {len(service_id)} characters; a socket's path has room for {LONGEST}"
    if service_id.endswith(AGENT_SUFFIX):
        socket = f"/tmp/{service_id.removesuffix(AGENT_SUFFIX)}.sock"
        return f"ends in {AGENT_SUFFIX}, which the agent strips: it would look for {socket}"
    return None


def demand_usable(service_id: str, where: str | None = None) -> str:
    """The id itself. Raises ConfigurationError where it cannot work."""
    problem = problem_of(service_id)
    if problem:
        raise ConfigurationError(
            f'the service id "{service_id}" {problem}',
            where=where,
            remedy=f"letters, digits, '.', '_' and '-', at most {LONGEST} of them, not ending in {AGENT_SUFFIX}",
        )
    return service_id


def installed_id(
    base_name: str,
    *,
    set_service_id: str | None = None,
    service_id: str | None = None,
    msh: Mapping[str, str] | None = None,
) -> Resolved:
    """The id of a fresh installation, in the documented order: --setServiceID, --serviceId, .msh, executable's name.

    The code takes --setServiceID only where --serviceId is absent; a remark says so where both are given and differ.
    """
    remark = None
    if set_service_id is not None:
        if service_id not in (None, set_service_id):
            remark = (
                f'--serviceId is given too: by the documents "{set_service_id}" is used, '
                f'by checkParameters() in agent-installer.js "{service_id}"'
            )
        return Resolved(id=set_service_id, source=Source.SET_SERVICE_ID, remark=remark)
    if service_id is not None:
        return Resolved(id=service_id, source=Source.SERVICE_ID)
    found = msh_id(msh or {})
    if found is not None:
        return Resolved(id=found, source=Source.MSH)
    return Resolved(id=build_service_id(base_name), source=Source.BASE_NAME)


def msh_id(msh: Mapping[str, str]) -> str | None:
    """The id that a .msh holds, under either spelling of its key; an empty one is none."""
    return next((msh[key] for key in MSH_KEYS if msh.get(key)), None)


def option_of(arguments: Sequence[str]) -> str | None:
    """The value of the first `--serviceId=` on a command line, as agentcore.c reads it."""
    return next((word.removeprefix(OPTION) for word in arguments if word.startswith(OPTION)), None)


def runtime_id(arguments: Sequence[str], database: str | None) -> str | None:
    """The id that the running daemon has: its command line's, else its database's, else none."""
    given = option_of(arguments)
    return given if given is not None else database


def lookup_name(service_id: str | None, service_name: str = "meshagent") -> str:
    """The name by which the daemon looks for its own service."""
    return service_id if service_id is not None else service_name


def daemon_kvm_id(explicit: str | None, discovered: str | None) -> str:
    """The id that the daemon makes its socket with: explicit, else discovered by its program, else "unknown-agent"."""
    return explicit or discovered or UNKNOWN


def agent_kvm_id(explicit: str | None, discovered: str | None) -> str:
    """The id that `-kvm1` looks for a socket with: the same, its trailing "-agent" stripped, wherever it is from."""
    return daemon_kvm_id(explicit, discovered).removesuffix(AGENT_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What an upgrade does to an id."""

    old: Resolved
    new: Resolved

    @property
    def renames(self) -> bool:
        """The old id's two jobs are removed, and new ones made."""
        return self.old.id != self.new.id


def upgraded(
    base_name: str,
    *,
    arguments: Sequence[str] = (),
    msh: Mapping[str, str] | None = None,
    database: str | None = None,
    set_service_id: str | None = None,
) -> Upgrade:
    """An upgrade keeps the id: of the installed daemon's `arguments`, else .msh, database, executable's name.

    Only --setServiceID renames it.
    """
    candidates = (
        (option_of(arguments), Source.JOB),
        (msh_id(msh or {}), Source.MSH),
        (database, Source.DATABASE),
        (build_service_id(base_name), Source.BASE_NAME),
    )
    old = next(Resolved(id=found, source=source) for found, source in candidates if found is not None)
    new = old if set_service_id is None else Resolved(id=set_service_id, source=Source.SET_SERVICE_ID)
    return Upgrade(old=old, new=new)
