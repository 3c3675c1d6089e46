"""What the judge says of jobs that are wrong, and that it says nothing of right ones."""

from __future__ import annotations

from typing import Any

import pytest
from builders.jobs import LAYOUT_NAMES, installation, published

from pipeline import launchd
from pipeline.launchd import JobFile

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
