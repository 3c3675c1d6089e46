"""Jobs: the published files byte for byte, each row of their table, and what a judge says of jobs that are wrong."""

from __future__ import annotations

import hashlib
import plistlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builders.clients import need
from hypothesis import given
from hypothesis import strategies as st

from pipeline import launchd
from pipeline.errors import MalformedFile
from pipeline.launchd import Installation, JobFile

# SHA-256 of the files that MeshAgent's macOS port published (github.com/Ylianst/MeshAgent, examples/launchd): daemon of
# commit c6ed1ee6921117c5e9228c10b4e1e7c8a01c8dc1 and c7a627123d493f0d71246b75b0d553e79be814d7, agent of
# f1ceb27c6de07c2641a55d7b07f3e0f26bd8f25b and c6ed1ee6921117c5e9228c10b4e1e7c8a01c8dc1.
PUBLISHED = {
    ("mesh_services", "meshagent.plist"): "611402c0dd4755a8af776a85dae446b3b50f6324cad38f16e457172ba1b01239",
    ("mesh_services", "meshagent-agent.plist"): "f947b817974d1f7b6fbe9a9a94090d2adcbad6d1d698beb0ff9e870d6f5a301d",
    ("tacticalrmm", "meshagent.plist"): "7d1af5c9ee4dddcba7a1006c03853d823234c007156f426f062a14faba2dfa07",
    ("tacticalrmm", "meshagent-agent.plist"): "2d09bc1e67ac08e69bd32eb99ef42abb816365feea519fed00188f94c6ceba98",
}
# As products for fleets have them: helpers on demand, a socket, an interval, agents at the login window alone.
OTHERS: dict[str, list[dict[str, Any]]] = {
    "guard": [
        {
            "Label": "org.example.guard.bundles",
            "ProgramArguments": ["/Applications/Guard.app/Contents/MacOS/bundles", "--syslog"],
            "MachServices": {"org.example.guard.bundles": True},
            "RunAtLoad": False,
            "KeepAlive": False,
            "ProcessType": "Adaptive",
            "ThrottleInterval": 0,
            "EnablePressuredExit": True,
            "AssociatedBundleIdentifiers": ["org.example.guard"],
        },
        {"Label": "org.example.guard", "Program": "/Applications/Guard.app/Contents/MacOS/Guard", "KeepAlive": True},
    ],
    "updater": [
        {
            "Label": "org.example.updater.window",
            "KeepAlive": {"PathState": {"/Users/Shared/.org.example.updater.ask": True}},
            "LimitLoadToSessionType": ["LoginWindow"],
            "ProgramArguments": ["/usr/local/updater/update", "--at-logout"],
        },
        {
            "Label": "org.example.updater.restart",
            "ProgramArguments": ["/usr/local/updater/libexec/restart"],
            "Sockets": {"restart": {"SockPathMode": 0o666, "SockPathName": "/var/run/updater"}},
        },
        {"Label": "org.example.updater", "ProgramArguments": ["/usr/local/updater/update"], "StartInterval": 3600},
    ],
}
LAYOUT_NAMES = ("mesh_services", "tacticalrmm")
ROWS: dict[str, tuple[Any, Any]] = {
    "Label": ("meshagent", "meshagent-agent"),
    "Disabled": (False, False),
    "KeepAlive": (True, False),
    "RunAtLoad": (True, None),
    "LimitLoadToSessionType": (None, ["Aqua", "LoginWindow"]),
    "ProgramArguments": (
        ["{P}/meshagent", "--serviceId=meshagent"],
        ["{P}/meshagent", "-kvm1", "--serviceId=meshagent"],
    ),
    "QueueDirectories": (None, ["/var/run/meshagent"]),
    "StandardErrorPath": ("/tmp/meshagent-daemon.log", "/tmp/meshagent-agent.log"),
    "StandardOutPath": ("/tmp/meshagent-daemon.log", "/tmp/meshagent-agent.log"),
    "WorkingDirectory": ("{P}", "{P}"),
}


def installation(layout: str = "mesh_services", **changes: Any) -> Installation:
    return Installation(**({"service_id": "meshagent", "folder": launchd.LAYOUTS[layout]} | changes))


def placed(value: Any, folder: str) -> Any:
    if isinstance(value, list):
        return [placed(one, folder) for one in value]
    return value.replace("{P}", folder) if isinstance(value, str) else value


def published(layout: str, column: int) -> dict[str, Any]:
    """Daemon (0) or agent (1) as the table has it, without the id in the arguments."""
    job = {key: placed(row[column], launchd.LAYOUTS[layout]) for key, row in ROWS.items() if row[column] is not None}
    return job | {"ProgramArguments": [one for one in job["ProgramArguments"] if not one.startswith("--serviceId")]}


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize(
    "number_and_key", tuple(enumerate(ROWS, 1)), ids=lambda pair: f"table_row_{pair[0]:02}_{pair[1]}"
)
def test_every_row_of_the_published_table(layout: str, number_and_key: tuple[int, str]) -> None:
    """Daemon and agent have the key's published value, the id added to the arguments; or neither has the key."""
    key = number_and_key[1]
    for made, expected in zip(
        (launchd.daemon_job(installation(layout)), launchd.agent_job(installation(layout))), ROWS[key], strict=True
    ):
        assert made.get(key) == placed(expected, launchd.LAYOUTS[layout])
        assert set(made) <= set(ROWS)


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_without_the_id_they_are_the_published_files_byte_for_byte(layout: str) -> None:
    """What is rendered differs from the published files in one line each, the id in the arguments."""
    for name, data in launchd.render(installation(layout)).items():
        line = b"\t\t<string>--serviceId=meshagent</string>\n"
        assert data.count(line) == 1
        assert hashlib.sha256(data.replace(line, b"")).hexdigest() == PUBLISHED[layout, name]


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_the_published_table_is_the_published_files(layout: str) -> None:
    """Written as jobs, the rows without the id are the published bytes."""
    for column, name in enumerate(("meshagent.plist", "meshagent-agent.plist")):
        assert hashlib.sha256(launchd.build_job(published(layout, column))).hexdigest() == PUBLISHED[layout, name]


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_an_independent_reader_finds_every_key(layout: str, tmp_path: Path) -> None:
    """libplist's plistutil turns each rendered job into its binary form, which holds the same values."""
    tool = need("plistutil")
    odd = installation(layout, program="acme & <mesh>", service_name='"ACME" & Söhne', company_name="<x>")
    for name, data in (
        launchd.render(installation(layout)) | {"odd": launchd.build_job(launchd.daemon_job(odd))}
    ).items():
        (tmp_path / name).write_bytes(data)
        argv = [str(tool), "-i", str(tmp_path / name), "-o", str(tmp_path / "binary"), "-f", "bin"]
        subprocess.run(argv, check=True, capture_output=True)
        binary = (tmp_path / "binary").read_bytes()
        assert binary.startswith(b"bplist00")
        assert plistlib.loads(binary) == launchd.parse_job(data)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1),
        st.booleans() | st.integers(0, 2**63 - 1) | st.lists(st.text("abc <&>'\"é")),
    )
)
def test_unknown_keys_survive(values: dict[str, Any]) -> None:
    """Whatever a job holds is the same after it was written and read, and its bytes do not depend on the order."""
    data = launchd.build_job(values)
    assert launchd.parse_job(data) == values
    assert launchd.build_job(dict(reversed(values.items()))) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"bplist00",
        b"<plist><array/></plist>",
        b"<plist><dict><key>a</key></dict></plist>",
        b"<plist><dict><key>a</key><integer>x</integer></dict></plist>",
        b"<!DOCTYPE plist [<!ENTITY a 'b'>]><plist><dict/></plist>",
        b"<plist>" + b"<array>" * 5000,
        plistlib.dumps({"a": [[]]}).replace(b"<array/>", b"<array>" * 70 + b"</array>" * 70),
        bytes((1 << 20) + 1),
    ],
)
def test_hostile_files_are_malformed_files(data: bytes) -> None:
    """What is no job ends in one kind of error."""
    with pytest.raises(MalformedFile):
        launchd.parse_job(data)


def test_a_binary_list_that_doubles_at_each_level_is_refused_at_once() -> None:
    """A file of a kilobyte whose lists hold one another twice, 200 levels deep, is malformed, and costs nothing."""
    levels = 200
    objects = [bytes([0xD1, 0, 1])[:1] + bytes([1, 2]), b"\x51a"]
    objects += [bytes([0xA2, number + 3, number + 3]) for number in range(levels)] + [b"\xa0"]
    body, offsets = b"bplist00", []
    for one in objects:
        offsets.append(len(body))
        body += one
    table = b"".join(offset.to_bytes(2, "big") for offset in offsets)
    trailer = bytes(6) + bytes([2, 1]) + b"".join(n.to_bytes(8, "big") for n in (len(objects), 0, len(body)))
    with pytest.raises(MalformedFile):
        launchd.parse_job(body + table + trailer)


def found(job: dict[str, Any], *others: dict[str, Any], path: str = "/x/a.plist", **changes: Any) -> list[str]:
    """What the judge says of these jobs, the first with these circumstances."""
    options = {key: changes.pop(key) for key in ("programs", "installed") if key in changes}
    files = [JobFile(path=path, job=job, **({"mode": 0o644, "owner": 0} | changes))]
    files += [JobFile(path=f"/x/{number}.plist", job=one, mode=0o644, owner=0) for number, one in enumerate(others)]
    return [str(one) for one in launchd.judge(files, **options)]


def agent(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**launchd.agent_job(installation()), **changes}.items() if value is not None}


def daemon(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**launchd.daemon_job(installation()), **changes}.items() if value is not None}


def test_nothing_is_wrong_with_what_is_rendered_or_published() -> None:
    """The judge finds nothing in our jobs, and nothing in the published ones."""
    assert found(daemon(), agent()) == []
    for layout in LAYOUT_NAMES:
        assert found(published(layout, 0), published(layout, 1), programs=["meshagent"]) == []


@pytest.mark.parametrize("product", OTHERS)
def test_nothing_is_wrong_with_jobs_of_others(product: str) -> None:
    """Jobs such as other products install, held together: no finding, and their values come back."""
    files = [JobFile(path=f"/x/{job['Label']}.plist", job=job, mode=0o644, owner=0) for job in OTHERS[product]]
    assert launchd.judge(files) == ()
    for file in files:
        assert launchd.parse_job(launchd.build_job(file.job)) == file.job


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RunAtLaod": True}, "RunAtLaod: unknown key"),
        ({"RunAtLoad": "yes"}, "RunAtLoad: must be true or false"),
        ({"ThrottleInterval": True}, "ThrottleInterval: must be a whole number"),
        ({"ProgramArguments": "/x"}, "ProgramArguments: must be a list of texts"),
        ({"EnvironmentVariables": {"A": 1}}, "EnvironmentVariables.A: must be a text"),
        ({"OnDemand": True}, "OnDemand: launchd ignores it"),
        ({"TimeOut": 3}, "TimeOut: launchd ignores it"),
        ({"KeepAlive": {"NetworkState": True}}, "KeepAlive.NetworkState: launchd ignores it"),
        ({"KeepAlive": {"Succesful": True}}, "KeepAlive.Succesful: unknown key"),
        ({"KeepAlive": {"Crashed": 1}}, "KeepAlive.Crashed: must be true or false"),
        ({"ProcessType": "Fast"}, 'ProcessType: "Fast" is none of'),
        ({"Label": None}, "Label: missing"),
        ({"ProgramArguments": None}, "ProgramArguments: missing"),
        ({"ProgramArguments": ["bin/meshagent"]}, "is not an absolute path"),
        ({"ProgramArguments": [""]}, "is not an absolute path"),
        ({"ProgramArguments": ["meshagent"]}, "starts meshagent of /usr/bin:/bin:/usr/sbin:/sbin"),
        ({"Program": "meshagent"}, '"meshagent" is not an absolute path'),
        ({"enabletransactions": True}, "unknown key; did you mean EnableTransactions?"),
        ({"POSIXSpawnType": "Interactive"}, "a key of Apple's own jobs"),
        ({"_PanicOnCrash": True}, "a key of Apple's own jobs"),
        ({"HopefullyExitsLast": True}, "HopefullyExitsLast: must be a text"),
        ({"InitGroups": True}, "InitGroups: launchd ignores it: there is no UserName"),
        ({"EnablePressuredExit": True}, "EnablePressuredExit: launchd ignores it: KeepAlive is true"),
        ({"LimitLoadToHardware": {"model": "Mac14,2"}}, "LimitLoadToHardware.model: must be a list"),
        ({"KeepAlive": {"PathState": {"/x": 1}}}, "KeepAlive.PathState./x: must be true or false"),
        ({"StartCalendarInterval": [{"Hour": 3}, {"WeekDay": 3}]}, "[1].WeekDay: unknown key; did you mean Weekday?"),
        ({"Sockets": {"a": [{"SockServiceName": 22}, {"SockPort": 22}]}}, "Sockets.a[1].SockPort: unknown key"),
        ({"ProgramArguments": ["/x/meshagent", "--serviceId=x-agent"]}, "which the agent strips"),
        ({"ProgramArguments": ["/x/other"]}, "the release has no such program, only meshagent"),
    ],
)
def test_what_is_wrong_with_a_job_alone(changes: dict[str, Any], words: str) -> None:
    """Each mistake is one finding, with its key."""
    said = found(daemon(**changes), programs=["meshagent"])
    assert len(said) == 1
    assert words in said[0]


def test_keys_that_only_the_other_kind_of_job_knows() -> None:
    """A daemon has no session, and an agent cannot choose its user: launchd ignores both keys."""
    in_daemons = "/Library/LaunchDaemons/a.plist"
    assert (
        "LimitLoadToSessionType: launchd ignores it" in found(daemon(LimitLoadToSessionType="Aqua"), path=in_daemons)[0]
    )
    assert "UserName: launchd ignores it" in found(agent(UserName="root"))[0]
    assert found(daemon(UserName="nobody")) == []
    assert '"Acqua" is none of' in found(agent(LimitLoadToSessionType=["Acqua"]))[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ProgramArguments": ["/other/meshagent", "-kvm1", "--serviceId=meshagent"]}, "accepts its own code alone"),
        (
            {"ProgramArguments": ["/usr/local/mesh_services/meshagent/meshagent", "-kvm1", "--serviceId=acme"]},
            "looks for /tmp/acme.sock, and the daemon listens on /tmp/meshagent.sock",
        ),
        ({"QueueDirectories": ["/var/run/acme"]}, "does not watch /var/run/meshagent"),
        (
            {"ProgramArguments": ["/usr/local/mesh_services/meshagent/meshagent", "--serviceId=meshagent"]},
            "would be a second daemon",
        ),
        ({"QueueDirectories": None}, "does not watch /var/run/meshagent"),
        ({"Label": "meshagent-kvm1"}, 'has the label "meshagent-kvm1"'),
    ],
)
def test_an_agent_that_does_not_meet_its_daemon(changes: dict[str, Any], words: str) -> None:
    """Another program, another id, another folder, another label: each is said."""
    said = found(daemon(), agent(**changes))
    assert len(said) == 1
    assert words in said[0]


def test_sockets_part_where_the_id_ends_in_agent() -> None:
    """Both are told x-agent, and yet the agent looks for x: the trap of the original system."""
    words = ["/x/meshagent", "--serviceId=x-agent"]
    pair = (
        {"Label": "x-agent", "ProgramArguments": words},
        {"Label": "x-agent-agent", "ProgramArguments": [*words, "-kvm1"], "QueueDirectories": ["/var/run/x-agent/"]},
    )
    assert launchd.meeting_problems(*pair) == ("looks for /tmp/x.sock, and the daemon listens on /tmp/x-agent.sock",)


def test_others_pairs_are_not_ours_to_judge() -> None:
    """A daemon and an agent of one program without -kvm1 meet as they like; a bare name is looked for."""
    others = {"Label": "com.example.trust", "Program": "/usr/libexec/trust"}
    assert found(others, others | {"Label": "com.example.trust.session", "LimitLoadToSessionType": "Aqua"}) == []
    assert found({"Label": "com.example.nightly", "ProgramArguments": ["sh", "/x/nightly.sh"]}) == []


def test_one_label_twice() -> None:
    """Of two daemons with one label launchd takes one; a daemon and an agent of one label are in different domains."""
    said = found(daemon(), daemon())
    assert said == ['/x/0.plist: Label: "meshagent" is the label of /x/a.plist too: launchd takes the one or the other']
    other = {"Label": "one", "Program": "/bin/one"}
    assert found(other, other | {"LimitLoadToSessionType": "Aqua"}) == []


def test_a_program_inside_an_app_needs_its_app() -> None:
    """BundleProgram is for jobs that SMAppService installs: in the system's folder nothing starts by it."""
    job = {"Label": "x", "BundleProgram": "Contents/MacOS/x"}
    assert "SMAppService" in found(job, path="/Library/LaunchDaemons/x.plist")[0]
    assert found(job, path="/Applications/X.app/Contents/Library/LaunchDaemons/x.plist") == []


def test_an_agent_without_a_daemon() -> None:
    """Among several jobs an agent needs a daemon; alone it is not judged by what is not there."""
    other = {"Label": "other", "Program": "/bin/other"}
    assert "no daemon here that it could meet" in found(agent(), other)[0]
    assert found(agent()) == []


def test_files_that_launchd_refuses() -> None:
    """A job that others can write, that is a link, or in the system's folders not root's, is refused."""
    assert "mode 0664" in found(daemon(), mode=0o664)[0]
    assert "mode 0646" in found(daemon(), mode=0o646)[0]
    assert found(daemon(), mode=0o600, owner=501) == []
    assert "belongs to user 501" in found(daemon(), owner=501, installed=True)[0]
    assert "belongs to user 501" in found(daemon(), path="/Library/LaunchDaemons/a.plist", owner=501)[0]
    assert "symbolic link" in found(daemon(), is_link=True)[0]


def test_layouts() -> None:
    """An install path that is a published one adds no layout; another is called custom."""
    both = {"mesh_services": "/usr/local/mesh_services/meshagent", "tacticalrmm": "/opt/tacticalmesh"}
    assert launchd.layouts_of(None) == both
    assert launchd.layouts_of("/opt/tacticalmesh") == both
    assert launchd.layouts_of("/opt/acme") == both | {"custom": "/opt/acme"}
    assert launchd.layouts_of("/opt/acme", ()) == {"custom": "/opt/acme"}
    assert launchd.layouts_of("/opt/tacticalmesh", ()) == {"tacticalrmm": "/opt/tacticalmesh"}
