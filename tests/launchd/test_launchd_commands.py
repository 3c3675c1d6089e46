"""The launchd verbs as a user types them."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest
from builders.workshop import ROOT

from pipeline import launchd


def invoke(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "invoke", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_render_writes_both_layouts(tmp_path: Path) -> None:
    """Four files, byte for byte what the rules make; a second run makes the same; --dry makes none."""
    out = tmp_path / "some where"
    words = ("launchd.render", "--service-id", "acme.id", "--program", "acmemesh", "--output", str(out))
    assert invoke(*words, "--dry").returncode == 0
    assert not out.exists()
    for _ in range(2):
        done = invoke(*words)
        assert done.returncode == 0, done.stderr
        for layout, folder in launchd.LAYOUTS.items():
            expected = launchd.render(launchd.Installation(service_id="acme.id", folder=folder, program="acmemesh"))
            assert {path.name: path.read_bytes() for path in (out / layout).iterdir()} == expected


def test_render_prints_one_layout_with_names() -> None:
    """Without --output the jobs are printed; the daemon's carries the names that it is given."""
    done = invoke("launchd.render", "--install-path", "/opt/acme/", "--company-name", "ACME, Inc.")
    daemon = plistlib.loads(done.stdout.partition("</plist>")[0].encode() + b"</plist>")
    assert daemon["ProgramArguments"] == ["/opt/acme/meshagent", "--companyName=ACME, Inc.", "--serviceId=meshagent"]


def test_render_takes_a_configuration(tmp_path: Path) -> None:
    """--config takes id, layouts and program from a release.toml."""
    done = invoke("launchd.render", "--config", str(ROOT / "release.toml"), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh_services", "tacticalrmm"]


def test_paths_of_the_documents_second_example() -> None:
    """The command line of the document's second example gives the paths that it names."""
    done = invoke(
        *("launchd.paths", "--json", "--user", "502", "--set-service-id", "acmemesh", "--service-name", "ACME Mesh"),
        *("--company-name", "ACME, Inc.", "--install-path", "/opt/acmemesh"),
    )
    found = json.loads(done.stdout)
    expected = {
        "service_id": "acmemesh",
        "source": "--setServiceID",
        "program": "/opt/acmemesh/meshagent",
        "daemon_job": "/Library/LaunchDaemons/acmemesh.plist",
        "agent_job": "/Library/LaunchAgents/acmemesh-agent.plist",
        "socket": "/tmp/acmemesh.sock",
        "queue": "/var/run/acmemesh",
        "daemon_target": "system/acmemesh",
        "agent_target": "gui/502/acmemesh-agent",
    }
    assert {key: found[key] for key in expected} == expected


def test_paths_of_an_upgrade(tmp_path: Path) -> None:
    """An installed daemon's id is kept, by its argument or its label; --set-service-id renames it, and that is said."""
    program = "/usr/local/mesh_services/meshagent/meshagent"
    job = {"Label": "oldmesh", "ProgramArguments": [program]}
    (tmp_path / "oldmesh.plist").write_bytes(plistlib.dumps(job))
    (tmp_path / "other.plist").write_bytes(b"not a job")
    kept = json.loads(invoke("launchd.paths", "--daemons", str(tmp_path), "--json").stdout)
    assert (kept["service_id"], kept.get("replaces")) == ("oldmesh", None)
    words = ("launchd.paths", "--daemons", str(tmp_path), "--set-service-id", "newmesh", "--json")
    renamed = json.loads(invoke(*words).stdout)
    assert (renamed["service_id"], renamed["replaces"]) == ("newmesh", "oldmesh")
    (tmp_path / "twin.plist").write_bytes(plistlib.dumps(job | {"Label": "twin"}))
    ambiguous = invoke("launchd.paths", "--daemons", str(tmp_path))
    assert ambiguous.returncode == 2
    assert "oldmesh, twin all start" in ambiguous.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("launchd.paths", "--service-id", "x-agent"),
        ("launchd.paths", "--program", "@#$"),
        ("launchd.paths", "--daemons", "pipeline", "--service-id", "x"),
        ("launchd.paths", "--install-path", "relative"),
        ("launchd.render", "--layout", "tactical"),
        ("launchd.check", "nowhere"),
        ("launchd.check", "pipeline"),
    ],
)
def test_what_cannot_work_is_exit_code_two(words: tuple[str, ...]) -> None:
    """Ids, paths, layouts and files that cannot work are refused with a message, never a traceback."""
    done = invoke(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "defect" not in done.stderr


def test_check_of_installed_folders(tmp_path: Path) -> None:
    """Jobs in LaunchDaemons and LaunchAgents beside each other are held together; each finding is listed, exit 9."""
    jobs = launchd.render(launchd.Installation(service_id="acme", folder="/opt/acme"))
    for folder, (name, data) in zip(("LaunchDaemons", "LaunchAgents"), jobs.items(), strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
        (tmp_path / folder / name).chmod(0o644)
    assert invoke("launchd.check", str(tmp_path)).returncode == 0
    agent = tmp_path / "LaunchAgents" / "acme-agent.plist"
    agent.write_bytes(agent.read_bytes().replace(b"/var/run/acme", b"/var/run/other"))
    agent.chmod(0o664)
    (tmp_path / "LaunchDaemons" / "broken.plist").write_bytes(b"<plist>")
    done = invoke("launchd.check", str(tmp_path), "--json")
    assert done.returncode == 9
    messages = " ".join(finding["message"] for finding in json.loads(done.stdout))
    for words in ("does not watch /var/run/acme", "mode 0664", "is not a property list"):
        assert words in messages


def test_a_folder_of_hostile_files(tmp_path: Path) -> None:
    """Links to nowhere, a pipe, a giant, other encodings, no property list: a finding each, exit 9."""
    good = plistlib.dumps({"Label": "good", "Program": "/bin/true"}, fmt=plistlib.FMT_BINARY)
    (tmp_path / "good.plist").write_bytes(good)
    (tmp_path / "link.plist").symlink_to("good.plist")
    (tmp_path / "nowhere.plist").symlink_to("missing")
    (tmp_path / "loop.plist").symlink_to("loop.plist")
    os.mkfifo(tmp_path / "pipe.plist")
    (tmp_path / "folder.plist").mkdir()
    with (tmp_path / "giant.plist").open("wb") as stream:
        stream.truncate(5 << 30)
    (tmp_path / "latin.plist").write_bytes(b"<plist><dict><key>Label</key><string>\xe9</string></dict></plist>")
    (tmp_path / "broken.plist").write_bytes(b"<plist><dict><key>Label</key>")
    (tmp_path / "binary.plist").write_bytes(good[:40])
    (tmp_path / "empty.plist").write_bytes(b"")
    (tmp_path / "list.plist").write_bytes(plistlib.dumps(["Label"]))
    for path in tmp_path.glob("good.plist"):
        path.chmod(0o644)
    done = invoke("launchd.check", str(tmp_path), "--json")
    assert done.returncode == 9
    assert "Traceback" not in done.stderr
    said = {Path(one["path"]).name: one["message"] for one in json.loads(done.stdout) if one["key"] is None}
    assert "symbolic link: no such file" in said.pop("nowhere.plist")
    assert "symbolic link: " in said.pop("loop.plist")
    assert "symbolic link: at boot" in said.pop("link.plist")
    assert "not a regular file" in said.pop("pipe.plist")
    assert f"{5 << 30} bytes" in said.pop("giant.plist")
    assert "not a dictionary" in said.pop("list.plist")
    assert set(said) == {"latin.plist", "broken.plist", "binary.plist", "empty.plist"}
    assert all(message.startswith("is not a property list") for message in said.values())
    found = json.loads(invoke("launchd.paths", "--daemons", str(tmp_path), "--json").stdout)
    assert found["service_id"] == "meshagent"
