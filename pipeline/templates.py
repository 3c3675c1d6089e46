"""Templates and a developer's copies of them: never over a changed copy; what a template has changed since is told.

Beside the copies, in `.templates/`, lies what each was made from: by it a developer's change and ours are told apart.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.host import Files

_ORIGINALS = ".templates"
_NOT_COPIED = "README.md"


class State(StrEnum):
    """How a copy stands."""

    ABSENT = "not copied"
    SAME = "as the template"
    OUTDATED = "not changed by you; the template is newer"
    YOURS = "changed by you"
    BOTH = "changed by you, and the template is newer"
    STRANGER = "another file of this name, no copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    name: str
    """Relative to the folder of templates, with forward slashes."""
    source: Path
    copy: Path
    original: Path
    state: State


def find(files: Files, folder: Path, target: Path) -> tuple[Template, ...]:
    """Every template in `folder`, and how its copy in `target` stands."""
    found = []
    for name in _names(folder):
        source, copy, original = folder / name, target / name, target / _ORIGINALS / name
        state = _state(files, source, copy, original)
        found.append(Template(name=name, source=source, copy=copy, original=original, state=state))
    return tuple(found)


def choose(templates: tuple[Template, ...], names: tuple[str, ...]) -> tuple[Template, ...]:
    """Those of these names, all without one. Raises ConfigurationError for a name that is none."""
    known = {template.name for template in templates}
    if unknown := sorted(set(names) - known):
        raise ConfigurationError(f'"{unknown[0]}" is no template', remedy=f"one of {', '.join(sorted(known))}")
    return tuple(template for template in templates if not names or template.name in names)


def copy(files: Files, template: Template) -> bool:
    """Copy a template where that loses nothing; was anything written?"""
    if template.state not in (State.ABSENT, State.OUTDATED):
        return False
    files.copy(template.source, template.copy)
    files.copy(template.source, template.original)
    return True


def changes(files: Files, template: Template) -> str:
    """What the template has changed since the copy was made, as a unified diff; empty for nothing."""
    if template.state is not State.BOTH:
        return ""
    before, after = (files.read(path).decode("utf-8", "replace") for path in (template.original, template.source))
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"{template.name} (then)", template.name
    )
    return "".join(lines)


def _names(folder: Path) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = (Path(here) / name).relative_to(folder).as_posix()
            if path != _NOT_COPIED:
                yield path


def _state(files: Files, source: Path, copy: Path, original: Path) -> State:
    if not os.path.lexists(copy):
        return State.ABSENT
    if copy.is_symlink() or not copy.is_file():
        return State.STRANGER
    now, template = files.read(copy), files.read(source)
    if now == template:
        return State.SAME
    if not original.is_file():
        return State.STRANGER
    made_from = files.read(original)
    if now == made_from:
        return State.OUTDATED
    return State.YOURS if made_from == template else State.BOTH
