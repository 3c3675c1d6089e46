"""What the deploy verbs do: find the release and the place, then carry out the steps."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import deploy, launchd, manifest
from pipeline.codesign.certificates import Anchors
from pipeline.errors import ConfigurationError, HostRefused, VerificationError
from pipeline.host import Host
from pipeline.identity import APPLE_ANCHORS, load_anchors
from pipeline.model import Artifact, Configuration, Kind, LaunchdOptions, World
from pipeline.tasks.assembly import configuration_of
from pipeline.tasks.job_files import readable_jobs

_HERE = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What the command line says of the place."""

    config: str | None
    layout: str | None
    root: str
    user: int | None


def install(host: Host, where: Where, *, refresh: bool, rename: bool, dry: bool) -> None:
    configuration = configuration_of(host, where.config)
    site, layout = _site(host, configuration, where)
    if dry and not (configuration.folder / manifest.NAME).is_file():
        host.console.result(f"would put in place what invoke release leaves in {configuration.folder}")
        return
    document = manifest.load(host.files, configuration.folder / manifest.NAME)
    artifacts = [manifest.artifact_from_json(entry) for entry in document["artifacts"]]
    tool = _find(artifacts, f"universal/{configuration.release}", configuration)
    jobs = {
        job.path: _recorded(host, configuration.folder / one.path, one)
        for job in site.jobs
        if (refresh or not job.path.is_file())
        for one in (_find(artifacts, f"launchd/{layout}/{job.path.name}", configuration),)
    }
    others = _others(host, site)
    if others and not rename:
        raise ConfigurationError(
            f"{', '.join(job.label for job in others)} starts this program too, under another service id",
            where=", ".join(str(job.path) for job in others),
            remedy=f"--rename goes on as {site.installation.service_id}; or set the old id in [launchd] service-id",
        )
    payload = deploy.Payload(
        binary=configuration.folder / tool.path,
        cdhashes={one.arch: one.cdhash for one in tool.slices},
        jobs=jobs,
    )
    world = World(document["world"])
    if world is not World.REAL:
        host.console.say(f"{world.upper()}: version {document['version']} is for this machine alone")
    _carry_out(host, where, deploy.install(host, site, payload, _anchors(host, configuration), others), dry=dry)


def rollback(host: Host, where: Where, *, dry: bool) -> None:
    configuration = configuration_of(host, where.config)
    site, _ = _site(host, configuration, where)
    _carry_out(host, where, deploy.rollback(host, site, _anchors(host, configuration)), dry=dry)


def _carry_out(host: Host, where: Where, steps: tuple[deploy.Step, ...], *, dry: bool) -> None:
    if dry:
        for step in steps:
            host.console.result(f"would {step.words}")
        return
    if where.root == _HERE and os.geteuid() != 0:
        raise HostRefused("launchctl and the system's folders are root's", remedy="run it with sudo")
    deploy.carry_out(host, steps)
    host.console.say("done")


def _site(host: Host, configuration: Configuration, where: Where) -> tuple[deploy.Site, str]:
    options = configuration.launchd
    if options is None:
        raise ConfigurationError("has no [launchd]: nothing says where the agent lives", where=str(configuration.path))
    layout = where.layout or _default_layout(options)
    if layout not in options.layouts:
        raise ConfigurationError(f'"{layout}" is none of {", ".join(options.layouts)}', where="--layout")
    installation = options.installation(layout, configuration.release)
    caller = host.environment.get("SUDO_UID", "")
    user = (
        where.user if where.user is not None else int(caller) if caller.isascii() and caller.isdigit() else os.getuid()
    )
    root = Path(where.root).absolute()
    return deploy.Site(root=root, installation=installation, user=user), layout


def _default_layout(options: LaunchdOptions) -> str:
    return next(name for name, folder in options.layouts.items() if folder == options.install_path)


def _find(artifacts: list[Artifact], path: str, configuration: Configuration) -> Artifact:
    found = next((artifact for artifact in artifacts if artifact.path == path), None)
    if found is None or found.kind not in (Kind.UNIVERSAL, Kind.LAUNCHD):
        raise VerificationError(
            f"does not carry {path}", where=str(configuration.folder / manifest.NAME), remedy="run invoke release"
        )
    return found


def _recorded(host: Host, path: Path, artifact: Artifact) -> bytes:
    """A file of the release as it was released: root will run what a job says."""
    data = host.files.read(path)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise VerificationError("was changed after the release was made", where=str(path), remedy="run invoke release")
    return data


def _others(host: Host, site: deploy.Site) -> tuple[deploy.Job, ...]:
    """Further jobs of this program: they would go on running the file that is replaced."""
    program, own = launchd.places_of(site.installation).program, {job.path for job in site.jobs}
    return tuple(
        site.job_at(path, file.job)
        for folder in (launchd.DAEMONS, launchd.AGENTS)
        for path, file in readable_jobs(host, site.path(folder))
        if path not in own and launchd.discover([file.job], program)
    )


def _anchors(host: Host, configuration: Configuration) -> Anchors:
    if configuration.world is World.REHEARSAL:
        return load_anchors(host.files, configuration.folder / "rehearsal" / "anchors")
    return APPLE_ANCHORS
