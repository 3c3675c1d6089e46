"""A release with [launchd]: its jobs are rendered, recorded, verified and audited."""

from __future__ import annotations

import hashlib
import json
import plistlib

import pytest
from builders.workshop import Workshop

LAYOUTS = ("mesh_services", "tacticalrmm", "custom")
FILES = [f"launchd/{layout}/acmemesh{end}.plist" for layout in LAYOUTS for end in ("", "-agent")]


def test_both_jobs_of_every_layout_are_artifacts(carrying: Workshop) -> None:
    """Manifest and log name each job with its digest, and it lies in its layout's folder."""
    found = {entry["path"]: entry for entry in carrying.manifest()["artifacts"] if entry["kind"] == "launchd"}
    assert sorted(found) == sorted(FILES)
    log = [json.loads(line) for line in (carrying.outputs / "audit.jsonl").read_text().splitlines()]
    rendered = {entry["artifact"]: entry for entry in log if entry["event"] == "rendered"}
    for path, entry in found.items():
        data = (carrying.outputs / path).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest() == rendered[path]["sha256"]
        arguments = plistlib.loads(data)["ProgramArguments"]
        assert arguments[-1] == "--serviceId=acmemesh"
    agent = plistlib.loads((carrying.outputs / FILES[-1]).read_bytes())
    assert agent["ProgramArguments"][:2] == ["/opt/acmemesh/meshagent", "-kvm1"]


def test_verify_says_what_both_jobs_run(carrying: Workshop) -> None:
    """The log tells each layout's program, one for both jobs, and its CDHashes, those of the universal slices."""
    log = [json.loads(line) for line in (carrying.outputs / "audit.jsonl").read_text().splitlines()]
    meets = {entry["artifact"]: entry for entry in log if entry["event"] == "meets"}
    artifacts = {entry["path"]: entry for entry in carrying.manifest()["artifacts"]}
    slices = {one["arch"]: one["cdhash"] for one in artifacts["universal/meshagent"]["slices"]}
    assert set(meets) == {f"launchd/{layout}" for layout in LAYOUTS}
    assert all(facts["cdhashes"] == slices for facts in meets.values())
    assert meets["launchd/custom"]["program"] == "/opt/acmemesh/meshagent"


def test_audit_and_check_have_nothing_to_say(carrying: Workshop) -> None:
    """The audit holds, and launchd.check finds the jobs in order, their program in the release."""
    assert carrying.invoke_plain("audit", "--folder", str(carrying.outputs)).code == 0
    folder = str(carrying.outputs)
    ran = carrying.invoke_plain("launchd.check", f"{folder}/launchd", "--folder", folder)
    assert (ran.code, ran.out) == (0, "")


def test_a_changed_job_is_found(carrying: Workshop, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One changed byte of a job: verify and audit exit 9 and name the file; a stranger beside it is found too."""
    changed = carrying.copy(tmp_path_factory.mktemp("changed") / "a checkout")
    path = changed.outputs / FILES[1]
    path.write_bytes(path.read_bytes().replace(b"-kvm1", b"-kvm0"))
    verified = changed.invoke("verify")
    assert verified.code == 9
    assert FILES[1] in verified.err
    (changed.outputs / "launchd" / "stranger.plist").write_text("")
    audited = changed.invoke_plain("audit", "--folder", str(changed.outputs))
    assert audited.code == 9
    assert FILES[1] in audited.out + audited.err
    assert "launchd/stranger.plist" in audited.out + audited.err


def test_without_the_table_the_jobs_go(carrying: Workshop, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A release that no longer has [launchd] removes the jobs that it carried."""
    without = carrying.copy(tmp_path_factory.mktemp("without") / "a checkout")
    without.configure()
    assert without.invoke("release").code == 0
    assert not list((without.outputs / "launchd").rglob("*.plist"))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('service-id = "acme-agent"\ninstall-path = "/opt/a"', "[launchd].service-id"),
        ('service-id = "acme"\ninstall-path = "opt/a"', "[launchd].install-path"),
        ('service-id = "acme"\ninstall-path = "/opt/a"\nlayouts = ["tactical"]', 'did you mean "tacticalrmm"?'),
        ('service-id = "acme"', "[launchd].install-path"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(workshop: Workshop, lines: str, words: str) -> None:
    """An id, a path or a layout that cannot work is a configuration error, at its key."""
    workshop.configure(more=f"[launchd]\n{lines}\n")
    ran = workshop.invoke("--dry", "release")
    assert ran.code == 2
    assert words in ran.err
    assert "release.toml line" in ran.err
