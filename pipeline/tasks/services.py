"""What the launchd verbs do, and what they print."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import launchd, manifest
from pipeline.errors import ConfigurationError, MalformedFile, VerificationError
from pipeline.host import Host
from pipeline.host.files import refusals
from pipeline.model import Kind
from pipeline.tasks.assembly import configuration_of
from pipeline.tasks.job_files import job_paths, read_job, readable_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What `launchd.render` was asked for."""

    service_id: str | None
    install_path: str | None
    layout: str | None
    program: str | None
    service_name: str | None
    company_name: str | None
    config: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `launchd.paths` was asked: what an installer would be given."""

    program: str
    service_id: str | None
    set_service_id: str | None
    msh: str | None
    service_name: str | None
    company_name: str | None
    install_path: str | None
    daemons: str | None
    user: int


def render(host: Host, wish: Wish, output: str | None, *, dry: bool) -> None:
    for layout, installation in _installations(host, wish).items():
        for name, data in launchd.render(installation).items():
            if output is None:
                host.console.result(data.decode().rstrip("\n"))
                continue
            path = Path(output) / layout / name
            host.console.say(f"{'would write' if dry else 'written'}: {path}")
            if not dry:
                host.files.write(path, data)


def paths(host: Host, question: Question, *, as_json: bool) -> None:
    msh = _read_msh(host, question.msh)
    service_name = question.service_name or msh.get("MeshServiceName")
    company_name = question.company_name or msh.get("CompanyName")
    folder = launchd.install_folder(
        question.program, service_name=service_name, company_name=company_name, install_path=question.install_path
    )
    found, replaced = _resolve(host, question, msh, f"{folder}/{question.program}")
    installation = launchd.Installation(service_id=found.id, folder=folder, program=question.program)
    facts: dict[str, Any] = {
        "service_id": found.id,
        "source": found.source.value,
        **asdict(launchd.places_of(installation)),
        "agent_target": launchd.agent_target(found.id, question.user),
    }
    if replaced is not None:
        facts["replaces"] = replaced
    if as_json:
        host.console.document(facts | {"remark": found.remark})
        return
    for name, value in facts.items():
        host.console.result(f"{name:<15} {value}")
    if found.remark:
        host.console.say(f"note: {found.remark}")


def check(host: Host, path: str, folder: str | None, *, installed: bool, as_json: bool) -> None:
    where = Path(path)
    with refusals(where):
        there = where.exists()
    if not there:
        raise ConfigurationError("no such file or folder", where=path)
    programs = _programs(host, Path(folder)) if folder is not None else None
    groups: dict[Path, list[launchd.JobFile]] = {}
    findings: list[launchd.Finding] = []
    number = 0
    for file in job_paths(where):
        try:
            job = read_job(host, file)
        except MalformedFile as error:
            findings.append(launchd.Finding(path=str(file), key=None, message=error.message))
            continue
        number += 1
        groups.setdefault(_group(file), []).append(job)
    for group in groups.values():
        findings += launchd.judge(group, programs=programs, installed=installed)
    if not number and not findings:
        raise ConfigurationError("holds no job: no file that ends in .plist", where=path)
    if as_json:
        host.console.document([asdict(one) for one in findings])
    else:
        for one in findings:
            host.console.result(str(one))
    if findings:
        raise VerificationError(f"{len(findings)} findings in {number} jobs", where=path)
    host.console.say(f"{number} jobs: nothing to object to")


def _installations(host: Host, wish: Wish) -> dict[str, launchd.Installation]:
    program, layouts, service_id = wish.program or "meshagent", None, wish.service_id
    service_name, company_name = wish.service_name, wish.company_name
    if wish.config is not None:
        configuration = configuration_of(host, wish.config)
        if configuration.launchd is None:
            raise ConfigurationError("has no [launchd]", where=wish.config)
        program = wish.program or configuration.release
        service_id = service_id or configuration.launchd.service_id
        layouts = configuration.launchd.layouts
        service_name = service_name or configuration.launchd.service_name
        company_name = company_name or configuration.launchd.company_name
    if wish.layout is not None and wish.layout not in launchd.LAYOUTS:
        raise ConfigurationError(
            f'"{wish.layout}" is no published layout', remedy=f"one of {', '.join(launchd.LAYOUTS)}"
        )
    if wish.layout is not None:
        layouts = launchd.layouts_of(None, (wish.layout,))
    elif wish.install_path is not None or layouts is None:
        folder = launchd.install_folder(install_path=wish.install_path) if wish.install_path else None
        layouts = launchd.layouts_of(folder, () if folder else tuple(launchd.LAYOUTS))
    return {
        layout: launchd.Installation(
            service_id=service_id or launchd.build_service_id(program),
            folder=folder,
            program=program,
            service_name=service_name,
            company_name=company_name,
        )
        for layout, folder in layouts.items()
    }


def _resolve(host: Host, question: Question, msh: dict[str, str], program: str) -> tuple[launchd.Resolved, str | None]:
    """The id, and the one that it replaces where an upgrade renames."""
    if question.daemons is None:
        found = launchd.installed_id(
            question.program, set_service_id=question.set_service_id, service_id=question.service_id, msh=msh
        )
        return found, None
    if question.service_id is not None:
        raise ConfigurationError(
            "an upgrade keeps the id that is installed", where="--service-id", remedy="--set-service-id renames it"
        )
    jobs = [file.job for _, file in readable_jobs(host, Path(question.daemons))]
    labels = launchd.discover(jobs, program)
    if len(labels) > 1:
        raise ConfigurationError(
            f"{', '.join(labels)} all start {program}: which of them the agent takes is not defined",
            where=question.daemons,
            remedy="remove the jobs that are not wanted",
        )
    arguments = next((launchd.arguments_of(job) for job in jobs if job.get("Label") in labels), ())
    if labels and launchd.option_of(arguments) is None:
        # The published jobs name no id: their label is what the agent finds.
        arguments = (*arguments, f"--serviceId={labels[0]}")
    upgrade = launchd.upgraded(question.program, arguments=arguments, msh=msh, set_service_id=question.set_service_id)
    return upgrade.new, upgrade.old.id if upgrade.renames else None


def _read_msh(host: Host, path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return launchd.parse_msh(host.files.read(Path(path)))
    except MalformedFile as error:
        raise error.at(path) from None


def _programs(host: Host, folder: Path) -> list[str]:
    """Names of what the release's users run."""
    artifacts = map(manifest.artifact_from_json, manifest.load(host.files, folder / manifest.NAME)["artifacts"])
    tools = (artifact for artifact in artifacts if artifact.kind in (Kind.THIN, Kind.UNIVERSAL) and not artifact.debug)
    return sorted({artifact.name for artifact in tools})


def _group(path: Path) -> Path:
    """Files that belong together: of one folder, or of a LaunchDaemons and the LaunchAgents beside it."""
    folder = path.absolute().parent
    return folder.parent if folder.name in ("LaunchDaemons", "LaunchAgents") else folder
