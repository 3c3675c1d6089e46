"""What the template verbs do, and what they print."""

from __future__ import annotations

from pathlib import Path

from pipeline import templates
from pipeline.host import Host
from pipeline.tasks.places import ROOT
from pipeline.templates import State

_FOLDER = ROOT / "templates-for-bin"


def show(host: Host, to: str | None, *, as_json: bool) -> None:
    found = templates.find(host.files, _FOLDER, _target(to))
    if as_json:
        states = {template.name: template.state.name.lower() for template in found}
        host.console.document(states)
        return
    width = max(len(template.name) for template in found)
    for template in found:
        host.console.result(f"{template.name:<{width}}  {template.state}")


def copy(host: Host, to: str | None, names: tuple[str, ...], *, dry: bool) -> None:
    found = templates.choose(templates.find(host.files, _FOLDER, _target(to)), names)
    for template in found:
        if dry and template.state in (State.ABSENT, State.OUTDATED):
            host.console.say(f"would copy: {template.copy}")
        elif not dry and templates.copy(host.files, template):
            host.console.say(f"copied: {template.copy}")
        elif template.state is not State.SAME:
            host.console.say(f"left alone: {template.copy} ({template.state})")
            if changed := templates.changes(host.files, template):
                host.console.result(changed.rstrip("\n"))


def _target(to: str | None) -> Path:
    return Path(to).absolute() if to else ROOT / "bin"
