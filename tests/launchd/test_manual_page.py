"""The judge's table of keys against launchd.plist(5): every key, type, choice, range, and what has no effect."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import launchd
from pipeline.launchd import JobFile, keys
from pipeline.launchd.shapes import Fields

VECTORS = Path(__file__).parents[1] / "vectors" / "launchd"
MAN_PAGE = tomllib.loads((VECTORS / "launchd.plist.5.toml").read_text())
SAMPLES: dict[str, Any] = {
    "boolean": True,
    "string": "/x",
    "integer": 3,
    "dictionary": {},
    "array of strings": ["/x"],
    "array of dictionaries": [{}],
    "dictionary of arrays": {"a": ["x"]},
    "dictionary of strings": {"a": "x"},
    "dictionary of booleans": {"a": True},
    "dictionary of dictionaries": {"a": {}},
    "dictionary of arrays of dictionaries": {"a": [{}]},
    "dictionary of dictionaries of dictionaries": {"a": {"b": {}}},
}
"""A value of each type that the page names."""
NEVER: list[Any] = [1.5, b"x", datetime(2026, 11, 21), [1.5], {"a": 1.5}, {"a": [1.5]}, {"a": {"b": 1.5}}]
"""No key may have any of these."""


def placed_at(path: str, value: Any) -> dict[str, Any]:
    """A dictionary with this value at a path of the page's list; `*` is a name of the job's own."""
    for part in reversed(path.split(".")):
        value = {"own" if part == "*" else part: value}
    return dict(value)


def judged(path: str, value: Any, *, in_agents: bool = False) -> list[str]:
    """What is said of a daemon's or an agent's key with this value."""
    bare = {"Label": "x", "Program": "/x"}
    place = f"/Library/Launch{'Agents' if in_agents else 'Daemons'}/x.plist"
    file = JobFile(path=place, job={**bare, **placed_at(path, value)}, mode=0o644, owner=0)
    return [f"{one.key}: {one.message}" for one in launchd.judge([file])]


@pytest.mark.parametrize("path", MAN_PAGE["types"])
def test_every_key_of_the_manual_page_has_its_type(path: str) -> None:
    """Each type that launchd.plist(5) gives a key is right, every other is found, at that key or inside it."""
    types = MAN_PAGE["types"][path].split(" or ")
    values = MAN_PAGE["values"].get(path, [SAMPLES[one] for one in types])
    if path == "LimitLoadToSessionType":  # the page does not list the sessions
        values = [*keys.SESSIONS, list(keys.SESSIONS)]
    own = path.replace("*", "own")
    for value in values:
        assert not [one for one in judged(path, value) if "launchd ignores it" not in one]
    for value in [SAMPLES[one] for one in ("boolean", "string", "integer") if one not in types] + NEVER:
        assert [one for one in judged(path, value) if one.startswith(own) and "launchd ignores it" not in one], value
    without = MAN_PAGE["without-effect"]
    ignored = [one for one in judged(path, values[0]) if one.startswith(f"{own}: launchd ignores it")]
    everywhere = [*without["everywhere"], *without["to-be-removed"], *without["in-daemons"]]
    assert bool(ignored) == (path in [*everywhere, "InitGroups"])


def test_no_key_is_known_beside_the_manual_pages() -> None:
    """What the judge knows is the page's list, and AfterInitialDemand, which launch.h alone has."""
    listed = {path.partition(".")[0] for path in MAN_PAGE["types"]}
    assert set(keys.KEYS) == listed
    for name in listed:
        inside = {path.rpartition(".")[2] for path in MAN_PAGE["types"] if path.startswith(f"{name}.")}
        fields = next((shape for shape in keys.KEYS[name] if isinstance(shape, Fields)), None)
        if fields is not None:
            assert set(fields.keys) - {"AfterInitialDemand"} == inside
    assert judged("KeepAlive.AfterInitialDemand", True) == []


@pytest.mark.parametrize("path", [*MAN_PAGE["ranges"], *MAN_PAGE["values"]])
def test_values_outside_the_manual_pages_are_found(path: str) -> None:
    """A number one below or above its range, and a text that is none of those listed, is found; the ends are not."""
    if path in MAN_PAGE["ranges"]:
        lowest, highest = MAN_PAGE["ranges"][path]
        assert judged(path, lowest) == judged(path, highest) == []
        for value in (lowest - 1, highest + 1):
            assert judged(path, value) == [f"{path}: {value} is not between {lowest} and {highest}"]
    else:
        assert '"other" is none of' in judged(path, "other")[0]


@pytest.mark.parametrize("key", MAN_PAGE["without-effect"]["in-agents"])
def test_keys_that_agents_cannot_have(key: str) -> None:
    """Who runs an agent is not for its job to say."""
    value = SAMPLES[MAN_PAGE["types"][key]]
    assert judged(key, value, in_agents=True)[0].startswith(f"{key}: launchd ignores it")
