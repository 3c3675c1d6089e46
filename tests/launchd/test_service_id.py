"""Service id rules: each numbered rule of the original system, and what no job can hold."""

from __future__ import annotations

import pytest

from pipeline import launchd
from pipeline.errors import ConfigurationError
from pipeline.launchd import Installation, Source


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("ACME, Inc.", "acme-inc"),
        ("ACME Mesh", "acme-mesh"),
        ("ACMEmesh", "acmemesh"),
        ("ACME_Remote", "acme_remote"),
        ("a   b", "a-b"),
        (" a\t\u00a0b ", "-a-b-"),
        ("Größe 7", "gre-7"),
    ],
)
def test_rule_01_sanitizing(text: str, made: str) -> None:
    """Runs of blanks become one hyphen, all but letters, digits, _ and - goes, capitals become small."""
    assert launchd.sanitize(text) == made


def test_rule_02_nothing_and_nothing_left() -> None:
    """Nothing given is None; what has nothing to keep is an empty text, as the code does and the document does not."""
    assert launchd.sanitize(None) is None
    assert launchd.sanitize("") is None
    assert launchd.sanitize("@#$%^&*()") == ""


def test_rule_03_an_explicit_id_stands_as_it_is() -> None:
    """An explicit id keeps its dots and capitals; a file's name loses them."""
    assert launchd.build_service_id("meshagent", explicit="com.acme.Remote") == "com.acme.Remote"
    assert launchd.build_service_id("com.acme.remote") == "comacmeremote"


def test_rule_04_the_order_of_the_documents_and_of_the_code() -> None:
    """--setServiceID wins by the documents; where --serviceId differs, the remark tells what the code takes."""
    found = launchd.installed_id("meshagent", set_service_id="one", service_id="two", msh={"ServiceID": "three"})
    assert (found.id, found.source) == ("one", Source.SET_SERVICE_ID)
    assert found.remark is not None
    assert '"two"' in found.remark
    assert launchd.installed_id("meshagent", set_service_id="one", service_id="one").remark is None
    second = launchd.installed_id("meshagent", service_id="two", msh={"ServiceID": "three"})
    assert (second.id, second.source) == ("two", Source.SERVICE_ID)
    third = launchd.installed_id("meshagent", msh={"ServiceID": "three"})
    assert (third.id, third.source) == ("three", Source.MSH)
    last = launchd.installed_id("Mesh Agent")
    assert (last.id, last.source) == ("mesh-agent", Source.BASE_NAME)


@pytest.mark.parametrize("key", ["ServiceID", "serviceId"])
def test_rule_05_both_spellings_in_the_msh(key: str) -> None:
    """The .msh names the id under ServiceID or serviceId; an empty one is none."""
    assert launchd.installed_id("meshagent", msh={key: "acmemesh"}).id == "acmemesh"
    assert launchd.installed_id("meshagent", msh={key: ""}).id == "meshagent"


def test_rule_06_the_running_daemon() -> None:
    """The command line wins over the database; with neither, the service is looked up by its name."""
    assert launchd.runtime_id(["/x/meshagent", "--serviceId=a", "--serviceId=b"], "c") == "a"
    assert launchd.runtime_id(["/x/meshagent"], "c") == "c"
    assert launchd.runtime_id(["/x/meshagent"], None) is None
    assert launchd.lookup_name(None) == "meshagent"
    assert launchd.lookup_name(None, "ACME Mesh") == "ACME Mesh"
    assert launchd.lookup_name("c", "ACME Mesh") == "c"


def job(label: str, *arguments: str) -> dict[str, object]:
    return {"Label": label, "ProgramArguments": list(arguments)}


def test_rule_07_discovery_by_the_program() -> None:
    """The id is the label of a daemon whose first argument is the binary itself, byte for byte; else unknown-agent."""
    jobs: list[dict[str, object]] = [
        {"Label": "no arguments"},
        {"Label": 1, "ProgramArguments": ["/opt/acmemesh/meshagent"]},
        job("other", "/opt/acmemesh/meshagent2"),
        job("slash", "/opt/acmemesh//meshagent"),
        job("second", "/bin/sh", "/opt/acmemesh/meshagent"),
        job("acmemesh", "/opt/acmemesh/meshagent", "--x"),
    ]
    assert launchd.discover(jobs, "/opt/acmemesh/meshagent") == ("acmemesh",)
    several = launchd.discover([*jobs, job("aaa", "/opt/acmemesh/meshagent")], "/opt/acmemesh/meshagent")
    assert several == ("aaa", "acmemesh")
    assert launchd.daemon_kvm_id("given", "found") == "given"
    assert launchd.daemon_kvm_id(None, "found") == "found"
    assert launchd.daemon_kvm_id("", None) == "unknown-agent"


def test_rule_08_paths_and_logs() -> None:
    """Socket, queue and signal follow the id; logs follow the name of the executable."""
    places = launchd.places_of(Installation(service_id="acme.id", folder="/opt/acme", program="acmemesh"))
    assert places.socket == "/tmp/acme.id.sock"
    assert places.queue == "/var/run/acme.id"
    assert places.session == "/var/run/acme.id/session-active"
    assert (places.daemon_log, places.agent_log) == ("/tmp/acmemesh-daemon.log", "/tmp/acmemesh-agent.log")
    assert (places.configuration, places.database) == ("/opt/acme/acmemesh.msh", "/opt/acme/acmemesh.db")


def test_rule_09_labels_and_files() -> None:
    """The agent's job lies in /Library/LaunchAgents; in the home folder only where one user alone installed it."""
    places = launchd.places_of(Installation(service_id="acmemesh", folder="/opt/acmemesh"))
    assert places.daemon_job == "/Library/LaunchDaemons/acmemesh.plist"
    assert places.agent_job == "/Library/LaunchAgents/acmemesh-agent.plist"
    assert places.user_agent_job == "~/Library/LaunchAgents/acmemesh-agent.plist"
    assert launchd.agent_job(Installation(service_id="acmemesh", folder="/opt/acmemesh"))["Label"] == "acmemesh-agent"


def test_rule_10_an_id_that_ends_in_agent() -> None:
    """The agent strips -agent from any id, so that such an id parts the two sockets: it is refused."""
    assert launchd.daemon_kvm_id("x-agent", None) == "x-agent"
    assert launchd.agent_kvm_id("x-agent", None) == "x"
    assert launchd.agent_kvm_id(None, None) == "unknown"
    with pytest.raises(ConfigurationError, match=r"/tmp/x\.sock"):
        launchd.demand_usable("x-agent")
    with pytest.raises(ConfigurationError):
        Installation(service_id="x-agent", folder="/opt/x")


@pytest.mark.parametrize("bad", ["", "a/b", "a b", "é", "a\n", "a" * 94, ".", "..", "x-agent", "-agent"])
def test_rule_11_ids_that_cannot_work(bad: str) -> None:
    """An id is 1 to 93 letters, digits, dots, _ and -: sun_path holds 104 bytes with its NUL."""
    assert launchd.problem_of(bad) is not None


@pytest.mark.parametrize("good", ["a", "com.acme.remote", "A_b-1", "a" * 93, "agent", "x-agents"])
def test_rule_11_ids_that_work(good: str) -> None:
    """The longest id makes a socket's path of 103 bytes, which leaves room for the NUL."""
    assert launchd.problem_of(good) is None
    places = launchd.places_of(Installation(service_id=good, folder="/opt/x"))
    assert len(places.socket.encode()) + 1 <= 104


def test_rule_12_the_install_folder() -> None:
    """Company and service make the folder, the id never does; --installPath overrides both."""
    assert launchd.install_folder() == "/usr/local/mesh_services/meshagent"
    assert launchd.install_folder(service_name="ACME Mesh") == "/usr/local/mesh_services/acme-mesh"
    both = launchd.install_folder(service_name="ACME Mesh", company_name="ACME, Inc.")
    assert both == "/usr/local/mesh_services/acme-inc/acme-mesh"
    assert launchd.install_folder(service_name="ACME Mesh", install_path="/opt/acmemesh/") == "/opt/acmemesh"


def test_rule_13_upgrades() -> None:
    """An upgrade keeps the id: the job's, else the .msh's, the database's, the name's; only --setServiceID renames."""
    everything = {"arguments": ["/x", "--serviceId=job"], "msh": {"ServiceID": "msh"}, "database": "db"}
    for source, expected in (("arguments", "job"), ("msh", "msh"), ("database", "db"), (None, "meshagent")):
        upgrade = launchd.upgraded("meshagent", **everything)  # type: ignore[arg-type]
        assert upgrade.old.id == upgrade.new.id == expected
        assert not upgrade.renames
        everything.pop(source or "", None)
    renamed = launchd.upgraded("meshagent", arguments=["/x", "--serviceId=job"], set_service_id="new")
    assert (renamed.old.id, renamed.new.id, renamed.renames) == ("job", "new", True)


def test_rule_14_launchctl_targets() -> None:
    """launchctl knows the daemon as system/ID and the agent as gui/UID/ID-agent."""
    assert launchd.places_of(Installation(service_id="acmemesh", folder="/x")).daemon_target == "system/acmemesh"
    assert launchd.agent_target("acmemesh", 502) == "gui/502/acmemesh-agent"


def test_rule_15_the_agents_job_names_id_and_queue() -> None:
    """The agent's job carries --serviceId=ID and watches /var/run/ID alone."""
    job = launchd.agent_job(Installation(service_id="acmemesh", folder="/opt/acmemesh"))
    assert job["ProgramArguments"] == ["/opt/acmemesh/meshagent", "-kvm1", "--serviceId=acmemesh"]
    assert job["QueueDirectories"] == ["/var/run/acmemesh"]


@pytest.mark.parametrize(
    "changes", [{"program": "a\x01"}, {"program": ".."}, {"service_name": "a\n"}, {"company_name": "\x7f"}]
)
def test_names_that_a_job_cannot_hold(changes: dict[str, str]) -> None:
    """A property list has no control characters, and a program's name no path."""
    with pytest.raises(ConfigurationError):
        Installation(**({"service_id": "x", "folder": "/opt/x"} | changes))


@pytest.mark.parametrize("folder", ["", "opt/x", "/opt/x/", "/opt//x", "/opt/../x", "/", "/opt/\0", "/opt/\x1b"])
def test_folders_that_are_no_install_path(folder: str) -> None:
    """An install path is absolute and plain."""
    with pytest.raises(ConfigurationError):
        Installation(service_id="x", folder=folder)
