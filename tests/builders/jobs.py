"""The jobs that MeshAgent's macOS port published, as a table, and such as a release renders."""

from __future__ import annotations

from typing import Any

from pipeline import launchd
from pipeline.launchd import Installation

LAYOUT_NAMES = ("mesh_services", "tacticalrmm")
# Key: daemon, agent; {P} is the layout's install path, None a key that is not there. With the id in the arguments.
ROWS: dict[str, tuple[Any, Any]] = {
    "Label": ("meshagent", "meshagent-agent"),
    "Disabled": (False, False),
    "KeepAlive": (True, False),
    "RunAtLoad": (True, None),
    "LimitLoadToSessionType": (None, ["Aqua", "LoginWindow"]),
    "ProgramArguments": (
        ["{P}/meshagent", "--serviceId=meshagent"],
        ["{P}/meshagent", "-kvm1", "--serviceId=meshagent"],
    ),
    "QueueDirectories": (None, ["/var/run/meshagent"]),
    "StandardErrorPath": ("/tmp/meshagent-daemon.log", "/tmp/meshagent-agent.log"),
    "StandardOutPath": ("/tmp/meshagent-daemon.log", "/tmp/meshagent-agent.log"),
    "WorkingDirectory": ("{P}", "{P}"),
}


def installation(layout: str = "mesh_services", **changes: Any) -> Installation:
    return Installation(**({"service_id": "meshagent", "folder": launchd.LAYOUTS[layout]} | changes))


def placed(value: Any, folder: str) -> Any:
    """A row's value at this install path."""
    if isinstance(value, list):
        return [placed(one, folder) for one in value]
    return value.replace("{P}", folder) if isinstance(value, str) else value


def published(layout: str, column: int) -> dict[str, Any]:
    """Daemon (0) or agent (1) as the table has it, without the id in the arguments."""
    job = {key: placed(row[column], launchd.LAYOUTS[layout]) for key, row in ROWS.items() if row[column] is not None}
    return job | {"ProgramArguments": [one for one in job["ProgramArguments"] if not one.startswith("--serviceId")]}
