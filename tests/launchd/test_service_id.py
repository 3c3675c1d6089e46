"""Service id rules: each numbered rule of the original system, and each worked example of its document."""

from __future__ import annotations

import pytest

from pipeline import launchd
from pipeline.errors import ConfigurationError, MalformedFile
from pipeline.launchd import Installation, Source

ACME_MSH = b"ServiceID=acmemesh\nMeshServiceName=ACME Mesh\nCompanyName=ACME, Inc.\n"


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


def test_document_example_1_default_installation() -> None:
    """Without parameters everything is called meshagent."""
    found = launchd.installed_id("meshagent")
    places = launchd.places_of(Installation(service_id=found.id, folder=launchd.install_folder("meshagent")))
    assert places.daemon_job == "/Library/LaunchDaemons/meshagent.plist"
    assert places.user_agent_job == "~/Library/LaunchAgents/meshagent-agent.plist"
    assert places.program == "/usr/local/mesh_services/meshagent/meshagent"
    assert places.configuration == "/usr/local/mesh_services/meshagent/meshagent.msh"
    assert places.database == "/usr/local/mesh_services/meshagent/meshagent.db"
    assert (places.socket, places.queue) == ("/tmp/meshagent.sock", "/var/run/meshagent")
    assert places.session == "/var/run/meshagent/session-active"


def test_document_example_2_everything_given() -> None:
    """Id and install path are given; the names stand in the daemon's arguments."""
    assert (launchd.sanitize("ACME Mesh"), launchd.sanitize("ACME, Inc.")) == ("acme-mesh", "acme-inc")
    found = launchd.installed_id("meshagent", set_service_id="acmemesh")
    folder = launchd.install_folder(service_name="ACME Mesh", company_name="ACME, Inc.", install_path="/opt/acmemesh")
    installation = Installation(service_id=found.id, folder=folder, service_name="ACME Mesh", company_name="ACME, Inc.")
    assert launchd.daemon_job(installation)["ProgramArguments"] == [
        "/opt/acmemesh/meshagent",
        "--meshServiceName=ACME Mesh",
        "--companyName=ACME, Inc.",
        "--serviceId=acmemesh",
    ]
    assert list(launchd.render(installation)) == ["acmemesh.plist", "acmemesh-agent.plist"]
    assert launchd.places_of(installation).socket == "/tmp/acmemesh.sock"


def test_document_example_3_id_from_the_msh() -> None:
    """The embedded settings give the id, the names the folder."""
    msh = launchd.parse_msh(ACME_MSH)
    assert launchd.installed_id("meshagent", msh=msh).id == "acmemesh"
    folder = launchd.install_folder(service_name=msh["MeshServiceName"], company_name=msh["CompanyName"])
    assert folder == "/usr/local/mesh_services/acme-inc/acme-mesh"


def test_document_example_4_renamed_binary() -> None:
    """The name of a renamed binary makes its id and its folder."""
    assert launchd.installed_id("acmemesh").id == "acmemesh"
    assert launchd.install_folder("acmemesh") == "/usr/local/mesh_services/acmemesh"


def test_document_example_5_names_do_not_make_an_id() -> None:
    """Service and company name move the folder and leave the id meshagent."""
    assert launchd.installed_id("meshagent").id == "meshagent"
    folder = launchd.install_folder("meshagent", service_name="ACME Mesh", company_name="ACME, Inc.")
    assert folder == "/usr/local/mesh_services/acme-inc/acme-mesh"


ACME = Installation(service_id="acmemesh", folder="/opt/acmemesh", service_name="ACME Mesh", company_name="ACME, Inc.")
DEFAULT = Installation(service_id="meshagent", folder="/usr/local/mesh_services/meshagent")


def test_document_storage_1_the_daemons_job() -> None:
    """Label and arguments of the default daemon and of one with names and an id of its own."""
    default, custom = launchd.daemon_job(DEFAULT), launchd.daemon_job(ACME)
    program = "/usr/local/mesh_services/meshagent/meshagent"
    assert (default["Label"], default["ProgramArguments"]) == ("meshagent", [program, "--serviceId=meshagent"])
    names = ["--meshServiceName=ACME Mesh", "--companyName=ACME, Inc."]
    assert custom["Label"] == "acmemesh"
    assert custom["ProgramArguments"] == ["/opt/acmemesh/meshagent", *names, "--serviceId=acmemesh"]


def test_document_storage_2_the_agents_job() -> None:
    """Label, arguments and queue of the agent."""
    job = launchd.agent_job(ACME)
    assert job["Label"] == "acmemesh-agent"
    assert job["ProgramArguments"] == ["/opt/acmemesh/meshagent", "-kvm1", "--serviceId=acmemesh"]
    assert job["QueueDirectories"] == ["/var/run/acmemesh"]


def test_document_storage_3_the_msh() -> None:
    """The document's whole .msh: every value as it stands, the server's address with its = and colons; and back."""
    text = (
        "MeshName=ACMEnet\nMeshType=2\nMeshID=0x1234567890ABCDEF\nServerID=server1\n"
        "MeshServer=wss://mesh.acme.example.com:443/agent.ashx\n"
        "MeshServiceName=ACME Mesh\nCompanyName=ACME, Inc.\nServiceID=acmemesh\n"
    )
    values = launchd.parse_msh(text.encode())
    assert values["MeshServer"] == "wss://mesh.acme.example.com:443/agent.ashx"
    assert (values["MeshServiceName"], values["CompanyName"]) == ("ACME Mesh", "ACME, Inc.")
    assert launchd.installed_id("meshagent", msh=values).id == "acmemesh"
    assert launchd.build_msh(values) == text.encode()


def test_document_storage_4_the_database() -> None:
    """The database's id counts where the command line says nothing."""
    assert launchd.runtime_id(["/opt/acmemesh/meshagent"], "acmemesh") == "acmemesh"
    assert launchd.runtime_id(["/opt/acmemesh/meshagent", "--serviceId=other"], "acmemesh") == "other"


@pytest.mark.parametrize(("installation", "name"), [(DEFAULT, "meshagent"), (ACME, "acmemesh")])
def test_document_path_matrix(installation: Installation, name: str) -> None:
    """Each row of the matrix, for the default and for an id of its own."""
    places = launchd.places_of(installation)
    assert places.daemon_job == f"/Library/LaunchDaemons/{name}.plist"
    assert places.user_agent_job == f"~/Library/LaunchAgents/{name}-agent.plist"
    assert places.socket == f"/tmp/{name}.sock"
    assert places.queue == f"/var/run/{name}"
    assert places.session == f"/var/run/{name}/session-active"
    assert places.daemon_target == f"system/{name}"
    assert launchd.agent_target(name, 502) == f"gui/502/{name}-agent"


@pytest.mark.parametrize(
    ("service", "company", "path", "folder"),
    [
        (None, None, None, "/usr/local/mesh_services/meshagent"),
        ("ACME Mesh", None, None, "/usr/local/mesh_services/acme-mesh"),
        ("ACME Mesh", "ACME, Inc.", None, "/usr/local/mesh_services/acme-inc/acme-mesh"),
        (None, None, "/opt/acmemesh", "/opt/acmemesh"),
    ],
)
def test_document_table_of_install_directories(
    service: str | None, company: str | None, path: str | None, folder: str
) -> None:
    """Each row: names make the folder, an explicit path overrides them."""
    made = launchd.install_folder(service_name=service, company_name=company, install_path=path)
    assert made == folder


def test_document_upgrade_renames_by_flag_alone() -> None:
    """The installed id is kept, whatever the .msh says; --setServiceID changes it, and the old jobs go."""
    arguments = ["/opt/acmemesh/meshagent", "--serviceId=acmemesh"]
    kept = launchd.upgraded("meshagent", arguments=arguments, msh={"ServiceID": "other"})
    assert (kept.new.id, kept.renames) == ("acmemesh", False)
    renamed = launchd.upgraded("meshagent", arguments=arguments, set_service_id="newmesh")
    assert (renamed.old.id, renamed.new.id, renamed.renames) == ("acmemesh", "newmesh", True)


@pytest.mark.parametrize(
    ("base_name", "explicit", "msh", "expected"),
    [
        ("meshagent", None, None, "meshagent"),
        ("acmemesh", None, None, "acmemesh"),
        ("meshagent", "com.acme.remote", None, "com.acme.remote"),
        ("meshagent", "acmemesh", None, "acmemesh"),
        ("meshagent", None, {"ServiceID": "acmemesh"}, "acmemesh"),
    ],
)
def test_document_table_of_values(
    base_name: str, explicit: str | None, msh: dict[str, str] | None, expected: str
) -> None:
    """Each scenario of the document's first table has the id that it says."""
    assert launchd.installed_id(base_name, service_id=explicit, msh=msh).id == expected


def test_a_msh_is_read_as_the_agent_reads_it() -> None:
    """Comments, blanks around lines and Windows' line ends do not count; a value may hold =; the last key wins."""
    data = b"\xef\xbb\xbf# a comment\r\nMeshID=0xAB==\r\n\r\n  MeshType = 2 \nMeshType=3\nEmpty=\n"
    assert launchd.parse_msh(data) == {"MeshID": "0xAB==", "MeshType": "3", "Empty": ""}


def test_a_msh_comes_back_as_it_was() -> None:
    """What is written is read back; what cannot be written is refused."""
    values = {"MeshName": "ACMEnet", "MeshServer": "wss://mesh.acme.example.com:443/agent.ashx", "Empty": ""}
    assert launchd.parse_msh(launchd.build_msh(values)) == values
    for bad in ({"a=b": "c"}, {"a": "b\nc"}, {"a": " b"}, {"": "x"}, {"#a": "b"}, {"a": "b\0"}):
        with pytest.raises(ConfigurationError):
            launchd.build_msh(bad)


@pytest.mark.parametrize("data", [b"no sign", b"=value", b"a=\xff", b"a=b\0c", b"a=" + bytes(1 << 20)])
def test_a_msh_that_is_none(data: bytes) -> None:
    """What is no Key=Value text is a malformed file, with its line."""
    with pytest.raises(MalformedFile):
        launchd.parse_msh(data)


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
