"""What launchd is told of an agent: jobs, the places that follow from a service id, a judge of jobs."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG, JSON
from pipeline.tasks.session import command, is_dry

_PROGRAM = {"program": "the name of the installed binary"}


@task(
    auto_shortflags=False,
    help={
        "output": "a folder to write <layout>/*.plist into; without it they are printed",
        "service_id": "the service id (default: the program's name makes it)",
        "install_path": "where the binary will lie, where that is no published layout",
        "layout": "one published layout alone: mesh_services or tacticalrmm",
        "service_name": "the daemon's --meshServiceName",
        "company_name": "the daemon's --companyName",
        "config": "take id, names, install path and layouts from the [launchd] of this release.toml",
    }
    | _PROGRAM
    | DEBUG,
)
def render(
    context: InvokeContext,
    output: str | None = None,
    service_id: str | None = None,
    install_path: str | None = None,
    layout: str | None = None,
    program: str | None = None,
    service_name: str | None = None,
    company_name: str | None = None,
    config: str | None = None,
    debug: bool = False,
) -> None:
    """Property lists of a LaunchDaemon and its LaunchAgent, for each layout; the same input gives the same bytes."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import services

        wish = services.Wish(
            service_id=service_id,
            install_path=install_path,
            layout=layout,
            program=program,
            service_name=service_name,
            company_name=company_name,
            config=config,
        )
        services.render(host, wish, output, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help={
        "service_id": "as given to -install as --serviceId",
        "set_service_id": "as given to -install as --setServiceID",
        "msh": "a .msh file, whose ServiceID, MeshServiceName and CompanyName count",
        "service_name": "as given as --meshServiceName",
        "company_name": "as given as --companyName",
        "install_path": "as given as --installPath",
        "daemons": "a folder of installed LaunchDaemons: what an upgrade finds there, keeps or renames",
        "user": "the numeric id of the user in whose session the agent runs",
    }
    | _PROGRAM
    | JSON
    | DEBUG,
)
def paths(
    context: InvokeContext,
    program: str = "meshagent",
    service_id: str | None = None,
    set_service_id: str | None = None,
    msh: str | None = None,
    service_name: str | None = None,
    company_name: str | None = None,
    install_path: str | None = None,
    daemons: str | None = None,
    user: int = 501,
    json: bool = False,
    debug: bool = False,
) -> None:
    """The service id of an installation or an upgrade, where it comes from, and every path that follows."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import services

        question = services.Question(
            program=program,
            service_id=service_id,
            set_service_id=set_service_id,
            msh=msh,
            service_name=service_name,
            company_name=company_name,
            install_path=install_path,
            daemons=daemons,
            user=user,
        )
        services.paths(host, question, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "path": "a property list, or a folder of them; `--path` can be left out",
        "folder": "an output folder: every job must start a program of its release.json",
        "installed": "the files lie where launchd takes them from: they must belong to root",
    }
    | JSON
    | DEBUG,
)
def check(
    context: InvokeContext,
    path: str,
    folder: str | None = None,
    installed: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Judge a job, or a folder of them: keys, types, programs, modes, and whether daemon and agent meet; exit 9."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import services

        services.check(host, path, folder, installed=installed, as_json=json)
