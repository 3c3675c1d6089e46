"""A release by Apple's toolchain that is ended in the middle of every kind of call of a tool, and taken up again."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest
from builders.apple import agreed, pull
from builders.rewinding import rewind
from builders.submissions import demand_once
from builders.workshop import Workshop
from doubles.bench import Fault

# In the order in which a release makes them.
CALLS = (
    ("xattr",),
    ("codesign", "--sign", "meshagent"),
    ("codesign", "--verify"),
    ("codesign", "-d"),
    ("lipo", "-create"),
    ("codesign", "--sign", "meshagent.app"),
    ("ditto",),
    ("notarytool", "submit"),
    ("notarytool", "info"),
    ("notarytool", "log"),
    ("stapler", "staple"),
    ("stapler", "validate"),
    ("codesign", "--check-notarization"),
    ("arch", "-x86_64"),
    ("spctl",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    name: str
    signal: signal.Signals
    works: bool
    code: int


ENDS = (
    End(name="killed before the tool has done anything", signal=signal.SIGKILL, works=False, code=-9),
    End(name="killed when the tool has done its work", signal=signal.SIGKILL, works=True, code=-9),
    End(name="terminated while the tool works", signal=signal.SIGTERM, works=False, code=143),
)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_a_release_that_is_ended_at_every_call_completes(small: Workshop, end: End) -> None:
    """Each run gets past the call at which the one before was ended, and the last is whole: one upload an archive.

    Nothing of an ended run stays: no key, no half-made file, no copy of an archive.
    """
    expected = agreed(small)
    rewind(small, "build")
    for tool, *words in CALLS:
        pull(small, Fault(tool=tool, words=tuple(words), kills=end.signal, works=end.works))
        ran = small.invoke("release")
        assert ran.code == end.code, f"{tool} {words}: {ran.code}\n{ran.err}"
        assert not (small.outputs / "release.json").exists()
        keys = list(small.outputs.rglob("AuthKey_*.p8"))
        assert all(end.signal is signal.SIGKILL and key.stat().st_mode & 0o077 == 0 for key in keys)
    pull(small)
    ran = small.invoke("release")
    assert ran.code == 0, ran.err
    assert agreed(small) == expected
    demand_once(small.outputs, 2)
    unfinished = [path for path in small.outputs.rglob("*") if path.name.startswith(".") and path.name != ".lock"]
    left = [*small.outputs.rglob("AuthKey_*.p8"), *small.outputs.rglob("*.sending"), *unfinished]
    assert [path for path in left if path.name != ".work" or any(path.iterdir())] == []
