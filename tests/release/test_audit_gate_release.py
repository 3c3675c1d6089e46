"""The publish gate on whole releases of world "real", with simulated services, and their roots, in Apple's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders.workshop import Workshop, new_workshop

from pipeline.audit import audit
from pipeline.codesign.certificates import Anchors
from pipeline.errors import VerificationError
from pipeline.host import system_host
from pipeline.identity import load_anchors

APPLE = Path(__file__).parents[1] / "fakes" / "simulated_apple.py"
MORE = """
[sign]
identity = "identity.p12"

[notary]
profile = "simulated"
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, prebuilt: Path) -> Workshop:
    """A whole release whose services are doubles; everything else is what a real release does. Not to be changed."""
    workshop = new_workshop(tmp_path_factory.mktemp("real") / "a checkout", prebuilt)
    (workshop.folder / "identity.p12").write_bytes(b"the simulated services bring an identity of their own")
    workshop.configure(world="real", more=MORE)
    ran = workshop.invoke("release", lever=APPLE)
    assert ran.code == 0, ran.err
    return workshop


@pytest.fixture
def changed(real: Workshop, tmp_path: Path) -> Workshop:
    return real.copy(tmp_path / "a checkout")


def roots(workshop: Workshop) -> Anchors:
    return load_anchors(system_host().files, workshop.outputs / "rehearsal" / "anchors")


def refusals(workshop: Workshop) -> list[str]:
    """Everything that the gate says, under the roots that the release was made with."""
    with pytest.raises(VerificationError) as caught:
        audit(system_host(), workshop.outputs, gate=True, apple=roots(workshop))
    return [one.message for one in caught.value.parts]


def test_a_release_that_meets_everything_passes(real: Workshop) -> None:
    """Signed, accepted, stapled, verified, attested, of a clean commit: it may be published."""
    report = audit(system_host(), real.outputs, gate=True, apple=roots(real))
    assert report.publishable
    assert report.objections == ()
    assert report.to_text().endswith("It may be published.")


def test_the_command_takes_no_roots_but_apples(real: Workshop) -> None:
    """The same release, asked for as users do: its signatures lead to nobody whom Apple knows, and the gate is shut."""
    ran = real.invoke_plain("audit", "--folder", str(real.outputs), "--gate", "--json")
    assert ran.code == 9
    document: dict[str, Any] = json.loads(ran.out)
    wrong = {one["where"].partition(":")[0] for one in document["findings"]}
    assert {"arm64/meshagent", "universal/meshagent", "universal/meshagent.app", "universal/meshagent.ticket"} <= wrong


def test_uncommitted_changes_are_refused(changed: Workshop) -> None:
    """--allow-dirty makes the release, and the gate refuses it for that alone."""
    (changed.folder / "source" / "notes.txt").write_text("not committed")
    assert changed.invoke("release", lever=APPLE).code == 2
    ran = changed.invoke("release", "--allow-dirty", lever=APPLE)
    assert ran.code == 0, ran.err
    assert refusals(changed) == ["not for publication: the checkout had changes that were not committed"]


def test_without_provenance_it_is_refused(changed: Workshop) -> None:
    """A provenance that was promised and is gone is found, and nothing else is wrong."""
    (changed.outputs / "provenance.json").unlink()
    assert refusals(changed) == ["is missing"]


def test_a_release_that_was_not_finished_is_refused(changed: Workshop) -> None:
    """A stage that ran alone takes the manifest away: what was left out is not green."""
    ran = changed.invoke("sign", lever=APPLE)
    assert ran.code == 0, ran.err
    assert refusals(changed) == ["is missing: no release is finished here"]
