"""A release put in place of a running agent, below a root with a launchctl of its own; and put back."""

from __future__ import annotations

import hashlib
import plistlib
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders.workshop import Ran, Workshop
from fakes import launchctl

_STANDING_CLOCK = Path(__file__).parents[1] / "fakes" / "standing_clock.py"
USER = 502
PROGRAM = "opt/acmemesh/meshagent"
DAEMON = "Library/LaunchDaemons/acmemesh.plist"
AGENT = "Library/LaunchAgents/acmemesh-agent.plist"
TARGETS = {"system/acmemesh", f"gui/{USER}/acmemesh-agent"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine below a folder with a space in its path: nothing installed, one user logged in."""
    root = tmp_path / "a machine"
    launchctl.put(root, USER)
    return root


def deploy(workshop: Workshop, root: Path, *words: str, verb: str = "install") -> Ran:
    return workshop.invoke(f"deploy.{verb}", "--root", str(root), "--user", str(USER), *words)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def state_of(root: Path) -> dict[str, str]:
    """Every file that an installation touches, with its digest."""
    places = (root / "opt", root / "Library")
    return {str(path): digest(path) for place in places for path in place.rglob("*") if path.is_file()}


def install_older(workshop: Workshop, root: Path) -> str:
    """An agent that runs already: the release's thin file stands for an older version; returns its digest."""
    assert deploy(workshop, root).code == 0
    older = root / PROGRAM
    older.write_bytes((workshop.outputs / "x86_64" / "meshagent").read_bytes())
    for target in TARGETS:
        launchctl.main(root, "bootout", target)
    launchctl.main(root, "bootstrap", "system", str(root / DAEMON))
    launchctl.main(root, "bootstrap", f"gui/{USER}", str(root / AGENT))
    assert set(launchctl.loaded(root)) == TARGETS
    return digest(older)


def test_a_first_installation(carrying: Workshop, root: Path) -> None:
    """Binary and jobs lie in place with their modes, and launchd runs the daemon and knows the agent."""
    ran = deploy(carrying, root)
    assert ran.code == 0, ran.err
    assert digest(root / PROGRAM) == digest(carrying.outputs / "universal" / "meshagent")
    assert stat.S_IMODE((root / PROGRAM).stat().st_mode) == 0o755
    for path in (DAEMON, AGENT):
        assert (root / path).read_bytes() == (carrying.outputs / "launchd" / "custom" / Path(path).name).read_bytes()
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o644
    jobs = launchctl.loaded(root)
    assert {target: job["state"] for target, job in jobs.items()} == {
        "system/acmemesh": "running",
        f"gui/{USER}/acmemesh-agent": "not running",
    }
    assert "REHEARSAL" in ran.err


def test_dry_says_every_step_and_does_none(carrying: Workshop, root: Path) -> None:
    """--dry prints the steps in order, and changes nothing."""
    ran = deploy(carrying, root, "--dry")
    assert ran.code == 0, ran.err
    words = [line.split()[1] for line in ran.out.splitlines()]
    assert words == ["stop", "stop", "back", "replace", "verify", "write", "write", "start", "start", "read"]
    assert state_of(root) == {}


def test_a_running_agent_is_replaced_and_kept(carrying: Workshop, root: Path) -> None:
    """The old binary and its jobs lie in a backup; jobs are written anew only with --refresh-plists."""
    older = install_older(carrying, root)
    job = plistlib.loads((root / DAEMON).read_bytes()) | {"Nice": 3}
    (root / DAEMON).write_bytes(plistlib.dumps(job))
    ran = deploy(carrying, root)
    assert ran.code == 0, ran.err
    backups = sorted((root / "opt/acmemesh").glob("meshagent.backup.*"))
    assert digest(backups[-1] / "meshagent") == older
    assert plistlib.loads((backups[-1] / "LaunchDaemons" / "acmemesh.plist").read_bytes())["Nice"] == 3
    assert plistlib.loads((root / DAEMON).read_bytes())["Nice"] == 3
    assert {job["sha256"] for job in launchctl.loaded(root).values()} == {digest(root / PROGRAM)}
    refreshed = deploy(carrying, root, "--refresh-plists")
    assert refreshed.code == 0, refreshed.err
    assert "Nice" not in plistlib.loads((root / DAEMON).read_bytes())


def test_a_binary_that_does_not_stay_up_is_rolled_back(carrying: Workshop, root: Path) -> None:
    """launchd does not keep the new one running: exit 9, the old one lies there and runs, no file is another."""
    older = install_older(carrying, root)
    (root / "dying" / digest(carrying.outputs / "universal" / "meshagent")).touch()
    before = state_of(root)
    # On a clock that whoever sleeps sets ahead: how long launchd is given takes no time here.
    now = {"NOW": datetime.now(UTC).isoformat()}
    words = ("--root", str(root), "--user", str(USER), "--refresh-plists")
    ran = carrying.invoke("deploy.install", *words, lever=_STANDING_CLOCK, environment=now)
    assert ran.code == 9
    assert "state = spawn scheduled" in ran.err
    assert state_of(root) == before
    jobs = launchctl.loaded(root)
    assert set(jobs) == TARGETS
    assert {job["sha256"] for job in jobs.values()} == {older}


def test_a_disabled_job_is_enabled_and_a_slow_one_waited_for(carrying: Workshop, root: Path) -> None:
    """A daemon that somebody disabled by hand runs again; one that takes its time to end is not started over itself."""
    install_older(carrying, root)
    for lever in ("disabled", "lingering"):
        (root / lever / "acmemesh").touch()
    now = {"NOW": datetime.now(UTC).isoformat()}
    words = ("--root", str(root), "--user", str(USER))
    ran = carrying.invoke("deploy.install", *words, lever=_STANDING_CLOCK, environment=now)
    assert ran.code == 0, ran.err
    jobs = launchctl.loaded(root)
    assert set(jobs) == TARGETS
    assert {job["sha256"] for job in jobs.values()} == {digest(root / PROGRAM)}


def test_a_binary_that_was_changed_is_rolled_back(carrying: Workshop, root: Path, tmp_path: Path) -> None:
    """One changed byte of the release's binary: its signature does not hold, and the old one runs again."""
    older = install_older(carrying, root)
    changed = carrying.copy(tmp_path / "changed")
    path = changed.outputs / "universal" / "meshagent"
    data = bytearray(path.read_bytes())
    data[0x5000] ^= 1
    path.write_bytes(data)
    before = state_of(root)
    ran = deploy(changed, root)
    assert ran.code == 9
    assert state_of(root) == before
    assert {job["sha256"] for job in launchctl.loaded(root).values()} == {older}


def test_a_job_that_was_changed_is_not_installed(carrying: Workshop, root: Path, tmp_path: Path) -> None:
    """One that starts another program, put where the release's was: refused before anything is stopped."""
    changed = carrying.copy(tmp_path / "changed")
    for path in changed.outputs.rglob("launchd/*/acmemesh.plist"):
        job = plistlib.loads(path.read_bytes()) | {"Program": "/tmp/another"}
        path.write_bytes(plistlib.dumps(job))
    before = state_of(root)
    ran = deploy(changed, root)
    assert ran.code == 9
    assert "acmemesh.plist: was changed after the release was made" in ran.err
    assert state_of(root) == before
    assert not launchctl.loaded(root)


def test_a_job_that_launchd_refuses_is_rolled_back(carrying: Workshop, root: Path) -> None:
    """A job that others can write is refused by launchd: exit 14, and everything is as before."""
    install_older(carrying, root)
    (root / AGENT).chmod(0o666)
    before = state_of(root)
    ran = deploy(carrying, root)
    assert ran.code == 14
    assert "bad ownership" in ran.err
    assert state_of(root) == before


def test_a_first_installation_that_fails_leaves_nothing(carrying: Workshop, root: Path) -> None:
    """Where there was no agent there is none again: no binary, no job, nothing that launchd knows."""
    (root / "refused" / "acmemesh").touch()
    ran = deploy(carrying, root)
    assert ran.code == 14
    assert state_of(root) == {}
    assert launchctl.loaded(root) == {}


def test_rollback_puts_the_one_before_back(carrying: Workshop, root: Path) -> None:
    """deploy.rollback installs the newest backup and uses it up; without one it says so."""
    older = install_older(carrying, root)
    assert deploy(carrying, root).code == 0
    (kept,) = (root / "opt/acmemesh").glob("meshagent.backup.*/LaunchDaemons/acmemesh.plist")
    job, before = kept.read_bytes(), launchctl.loaded(root)
    for broken in (b"<plist>", plistlib.dumps({"ProgramArguments": [f"/{PROGRAM}"]})):
        kept.write_bytes(broken)
        refused = deploy(carrying, root, verb="rollback")
        assert refused.code in (2, 9)
        assert kept.parents[1].name in refused.err
        assert launchctl.loaded(root) == before
    kept.write_bytes(job)
    ran = deploy(carrying, root, verb="rollback")
    assert ran.code == 0, ran.err
    assert digest(root / PROGRAM) == older
    assert {job["sha256"] for job in launchctl.loaded(root).values()} == {older}
    again = deploy(carrying, root, verb="rollback")
    assert again.code == 2
    assert "no backup" in again.err


def test_nobody_is_logged_in(carrying: Workshop, root: Path) -> None:
    """Without a session the agent waits for the next login, and the daemon runs."""
    (root / "sessions" / str(USER)).unlink()
    ran = deploy(carrying, root)
    assert ran.code == 0, ran.err
    assert "starts with the next login" in ran.err
    assert set(launchctl.loaded(root)) == {"system/acmemesh"}


OLD = {
    "system/oldmesh": Path("Library/LaunchDaemons/oldmesh.plist"),
    f"gui/{USER}/meshagent-kvm1": Path("Library/LaunchAgents/meshagent-kvm1.plist"),
    f"gui/{USER}/com.meshagent.kvm": Path("Library/LaunchAgents/com.meshagent.kvm.plist"),
}
"""Jobs as earlier and other installers left them: another id, labels that do not follow from it, no --serviceId."""


@pytest.fixture
def old_id(carrying: Workshop, root: Path) -> dict[str, str]:
    """This program runs under another id, settings and database beside it; what lies there, with digests."""
    program = root / PROGRAM
    program.parent.mkdir(parents=True)
    program.write_bytes((carrying.outputs / "x86_64" / "meshagent").read_bytes())
    program.with_suffix(".msh").write_text("ServiceID=oldmesh\n")
    program.with_suffix(".db").write_bytes(b"ServiceID oldmesh")
    for target, path in OLD.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        session = target.startswith("gui/")
        label = target.rpartition("/")[2]
        option = "-kvmagent" if label == "com.meshagent.kvm" else "-kvm1"
        job = {"Label": label, "ProgramArguments": [f"/{PROGRAM}", *[option] * session]}
        (root / path).write_bytes(plistlib.dumps(job | {"RunAtLoad": not session}))
        assert launchctl.main(root, "bootstrap", target.rpartition("/")[0], str(root / path)) == 0
    (root / "Library/LaunchDaemons/nowhere.plist").symlink_to("missing")
    (root / "Library/LaunchDaemons/broken.plist").write_bytes(b"<plist>")
    return state_of(root)


def test_another_id_for_the_same_program_is_refused(carrying: Workshop, root: Path, old_id: dict[str, str]) -> None:
    """Jobs of another id that start this program are named, and nothing is done."""
    ran = deploy(carrying, root)
    assert ran.code == 2
    assert "oldmesh, com.meshagent.kvm, meshagent-kvm1 starts this program too" in ran.err
    assert "--rename" in ran.err
    assert state_of(root) == old_id
    assert set(launchctl.loaded(root)) == set(OLD)


def test_a_service_id_is_renamed_and_named_back(carrying: Workshop, root: Path, old_id: dict[str, str]) -> None:
    """--rename removes the old id's jobs and keeps settings and database; deploy.rollback brings the old id back."""
    dry = deploy(carrying, root, "--rename", "--dry")
    assert [line.split()[1] for line in dry.out.splitlines()].count("remove") == len(OLD)
    assert state_of(root) == old_id
    ran = deploy(carrying, root, "--rename")
    assert ran.code == 0, ran.err
    assert set(launchctl.loaded(root)) == TARGETS
    now = state_of(root)
    assert not set(now) & {str(root / path) for path in OLD.values()}
    for name in ("opt/acmemesh/meshagent.msh", "opt/acmemesh/meshagent.db"):
        assert now[str(root / name)] == old_id[str(root / name)]
    back = deploy(carrying, root, verb="rollback")
    assert back.code == 0, back.err
    assert state_of(root) == old_id
    jobs = launchctl.loaded(root)
    assert set(jobs) == set(OLD)
    assert {job["sha256"] for job in jobs.values()} == {old_id[str(root / PROGRAM)]}


def test_an_agent_of_another_label_alone_is_replaced(carrying: Workshop, root: Path) -> None:
    """The daemon has our id, its agent an older label: renamed, one agent is left; rolled back, it is the older one."""
    assert deploy(carrying, root).code == 0
    older = root / "Library/LaunchAgents/meshagent-kvm1.plist"
    (root / AGENT).rename(older)
    older.write_bytes(older.read_bytes().replace(b"acmemesh-agent", b"meshagent-kvm1"))
    launchctl.main(root, "bootout", f"gui/{USER}/acmemesh-agent")
    launchctl.main(root, "bootstrap", f"gui/{USER}", str(older))
    before = {path.name for path in (root / "Library").rglob("*.plist")}
    assert deploy(carrying, root).code == 2
    assert deploy(carrying, root, "--rename").code == 0
    assert set(launchctl.loaded(root)) == TARGETS
    assert deploy(carrying, root, verb="rollback").code == 0
    assert {path.name for path in (root / "Library").rglob("*.plist")} == before
    assert set(launchctl.loaded(root)) == {"system/acmemesh", f"gui/{USER}/meshagent-kvm1"}


def test_a_rename_that_fails_leaves_the_old_id(carrying: Workshop, root: Path, old_id: dict[str, str]) -> None:
    """launchd does not take the new agent: the old jobs lie where they lay and run, the new daemon is gone again."""
    (root / "refused" / "acmemesh-agent").touch()
    ran = deploy(carrying, root, "--rename")
    assert ran.code == 14
    assert state_of(root) == old_id
    jobs = launchctl.loaded(root)
    assert set(jobs) == set(OLD)
    assert {job["sha256"] for job in jobs.values()} == {old_id[str(root / PROGRAM)]}


def test_another_layout_and_a_release_without_jobs(carrying: Workshop, finished: Workshop, root: Path) -> None:
    """--layout chooses one that the release carries; a release without [launchd] cannot be deployed."""
    ran = deploy(carrying, root, "--layout", "tacticalrmm")
    assert ran.code == 0, ran.err
    assert (root / "opt/tacticalmesh/meshagent").is_file()
    assert deploy(carrying, root, "--layout", "nothing").code == 2
    assert deploy(finished, root).code == 2
