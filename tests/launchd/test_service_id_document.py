"""Service ids: each worked example and each table of the original system's document."""

from __future__ import annotations

import pytest

from pipeline import launchd
from pipeline.launchd import Installation

ACME_MSH = b"ServiceID=acmemesh\nMeshServiceName=ACME Mesh\nCompanyName=ACME, Inc.\n"


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
