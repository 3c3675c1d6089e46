"""Where an installed agent lives on a Mac: paths, labels and launchctl's names. All are texts of that machine.

The rules are MeshAgent's (modules/agent-installer.js, modules/service-manager.js, mac_kvm.c); what makes the id itself
is in `service_id`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from pipeline.launchd.service_id import AGENT_SUFFIX, demand_usable, sanitize

DAEMONS = "/Library/LaunchDaemons"
AGENTS = "/Library/LaunchAgents"
SERVICES = "/usr/local/mesh_services"
LAYOUTS: Mapping[str, str] = {
    "mesh_services": "/usr/local/mesh_services/meshagent",
    "tacticalrmm": "/opt/tacticalmesh",
}
"""The published layouts and their install folders: MeshAgent's own and TacticalRMM's."""
CUSTOM = "custom"
"""The name of a layout that is neither."""

_PROGRAM = re.compile(r"[^/\x00-\x1f\x7f]{1,255}")
# A property list in XML has no way to write them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One agent on one machine. Raises ConfigurationError where launchd or the agent could not work with it."""

    service_id: str
    folder: str
    """Where the binary lies: absolute, without a slash at its end."""
    program: str = "meshagent"
    """The binary's name; its .msh and .db have the same."""
    service_name: str | None = None
    company_name: str | None = None

    def __post_init__(self) -> None:
        demand_usable(self.service_id)
        parts = self.folder.split("/")
        plain = self.folder.startswith("/") and all(parts[1:]) and not {".", ".."} & set(parts)
        if not plain or _CONTROL.search(self.folder):
            raise ConfigurationError(
                f"{self.folder!r} is not an install path", remedy="absolute, plain, without a slash at its end"
            )
        if not _PROGRAM.fullmatch(self.program) or self.program in (".", ".."):
            raise ConfigurationError(f"{self.program!r} is not the name of a program")
        for name in filter(None, (self.service_name, self.company_name)):
            if _CONTROL.search(name):
                raise ConfigurationError(f"the name {name!r} holds a control character")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The path matrix of an installation."""

    program: str
    configuration: str
    database: str
    daemon_job: str
    agent_job: str
    user_agent_job: str
    """Of an installation for one user alone, which the documents describe and the code's constant does not."""
    socket: str
    queue: str
    session: str
    daemon_log: str
    """Logs follow the program's name, not the id: two agents of one name share them."""
    agent_log: str
    daemon_target: str


def places_of(installation: Installation) -> Places:
    """Socket, queue and jobs follow the id, logs follow the program's name."""
    name, program = installation.service_id, f"{installation.folder}/{installation.program}"
    return Places(
        program=program,
        configuration=f"{program}.msh",
        database=f"{program}.db",
        daemon_job=f"{DAEMONS}/{name}.plist",
        agent_job=f"{AGENTS}/{name}{AGENT_SUFFIX}.plist",
        user_agent_job=f"~{AGENTS}/{name}{AGENT_SUFFIX}.plist",
        socket=f"/tmp/{name}.sock",
        queue=queue_of(name),
        session=f"{queue_of(name)}/session-active",
        daemon_log=f"/tmp/{installation.program}-daemon.log",
        agent_log=f"/tmp/{installation.program}-agent.log",
        daemon_target=f"system/{name}",
    )


def queue_of(service_id: str) -> str:
    """The folder that the agent's job watches."""
    return f"/var/run/{service_id}"


def agent_target(service_id: str, user: int) -> str:
    """launchctl's name of the agent's job in the session of `user` (a numeric user id)."""
    return f"gui/{user}/{service_id}{AGENT_SUFFIX}"


def install_folder(
    base_name: str = "meshagent",
    *,
    service_name: str | None = None,
    company_name: str | None = None,
    install_path: str | None = None,
) -> str:
    """Where an installation goes: by company and service, never by id; `install_path` overrides both.

    Without a service name the executable's name stands for it.
    """
    if install_path is not None:
        return install_path.rstrip("/") or "/"
    company, service = sanitize(company_name), sanitize(service_name) or sanitize(base_name)
    return "/".join([SERVICES, *filter(None, (company, service))])


def layouts_of(folder: str | None, names: tuple[str, ...] = tuple(LAYOUTS)) -> dict[str, str]:
    """Layout → install folder: the published ones of these names, and `folder` as "custom" where it is none of them."""
    chosen = {name: LAYOUTS[name] for name in names}
    known = {path: name for name, path in LAYOUTS.items()}
    if folder is not None:
        chosen[known.get(folder, CUSTOM)] = folder
    return chosen
