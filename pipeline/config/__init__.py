"""release.toml → `model.Configuration`: every error names the key and its line, and nothing is guessed.

`lines` finds where keys stand, `sections` reads tables, `products` knows the keys of a product, `placeholders` the
names in a build's command. Nothing here looks at git, at credentials or at tools.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path

from pipeline.config.lines import line_index
from pipeline.config.products import read_products
from pipeline.config.sections import Document, Section, is_there, suggestion
from pipeline.errors import ConfigurationError, ToolMissing
from pipeline.host import Host
from pipeline.launchd import LAYOUTS, Installation, layouts_of, problem_of
from pipeline.model import ArchiveLayout, Configuration, LaunchdOptions, NotaryMode, NotaryOptions, World

__all__ = ["load", "load_notary"]

_LARGEST = 1024 * 1024
_TOOLCHAINS = ("auto", "apple", "portable")
_DURATION = re.compile(r"(?:([0-9]{1,4})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_SUBMISSION_WAIT = timedelta(minutes=30)


def load(path: Path, host: Host) -> Configuration:
    """Read and check a whole release.toml.

    Paths inside it are relative to it. Raises ConfigurationError with the file, the line and the key; ToolMissing where
    the toolchain that it names is another system's. Keys that only a whole release needs need not be here:
    `Configuration.demand_ready`.
    """
    path = path.absolute()
    root = _read(path, host)
    root.require_known("release", "toolchain", "product", "build", "sign", "app", "notary", "launchd", "provenance")
    release = root.table("release").require_known("world", "toolchain", "previous")
    world = release.choice("world", World)
    toolchain, tools = _toolchain(root, release, world, host.system)
    products = read_products(root, real=world is World.REAL, keychain=toolchain == "apple")
    notary = _notary(root.table("notary"), real=world is World.REAL)
    provenance_key = root.table("provenance").require_known("key").key_file("key")
    return Configuration(
        path=path,
        release=products[0].name,
        world=world,
        toolchain=toolchain,
        tools=tools,
        previous=release.file("previous"),
        products=products,
        notary=notary,
        provenance_key=provenance_key,
        unready=tuple(root.document.unready),
        launchd=_launchd(root.table("launchd")) if "launchd" in root else None,
    )


def load_notary(path: Path, host: Host) -> NotaryOptions:
    """[notary] alone, for who looks after credentials: what it names need not be there yet.

    Raises ConfigurationError with the file, the line and the key.
    """
    return _notary(_read(path.absolute(), host).table("notary"), real=False)


def _read(path: Path, host: Host) -> Section:
    if not is_there(path.is_file):
        raise ConfigurationError(
            "no such file", where=str(path), remedy="a release is described by a release.toml; --config names another"
        )
    data = host.files.read(path, limit=_LARGEST)
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
        lines = line_index(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("is not UTF-8", where=f"{path.name} line {line}") from error
    except RecursionError as error:
        raise ConfigurationError("is nested too deeply", where=path.name) from error
    except ValueError as error:
        raise _not_toml(str(error), path.name, text) from error
    document = Document(name=path.name, folder=path.parent, lines=lines)
    return Section(document=document, layers=(((), values),))


def _not_toml(message: str, name: str, text: str) -> ConfigurationError:
    """The standard parser's message, with its line where our messages have theirs."""
    found = re.fullmatch(r"(.*) \(at (?:line ([0-9]+), column [0-9]+|end of document)\)", message, re.DOTALL)
    if found is None:
        return ConfigurationError(f"is not TOML: {message}", where=name)
    line = int(found[2] or text.count("\n") + 1)
    return ConfigurationError(f"is not TOML: {found[1]}", where=f"{name} line {line}")


def _toolchain(root: Section, release: Section, world: World, system: str) -> tuple[str, Path | None]:
    asked = release.text("toolchain") or "auto"
    if asked not in _TOOLCHAINS:
        known = ", ".join(_TOOLCHAINS)
        raise release.error("toolchain", f'"{asked}" is none of {known}', suggestion(asked, _TOOLCHAINS))
    table = root.table("toolchain").require_known("path")
    tools = table.folder("path")
    resolved = asked
    if asked == "auto":
        resolved = "apple" if world is World.REAL and system == "Darwin" else "portable"
    if tools is not None and resolved != "apple":
        raise table.error("path", "only the apple toolchain runs tools", '[release] toolchain = "apple" uses them')
    if resolved == "apple" and tools is None:
        if world is World.REHEARSAL:
            raise release.error(
                "toolchain",
                "notarytool and stapler know only Apple's services: apple cannot rehearse",
                'toolchain = "portable" rehearses on every host',
            )
        if system != "Darwin":
            error = release.error("toolchain", "the apple toolchain runs on macOS", 'toolchain = "portable" runs here')
            raise ToolMissing(error.message, where=error.where, remedy=error.remedy)
    return resolved, tools


def _notary(section: Section, *, real: bool) -> NotaryOptions:
    section.require_known("profile", "credentials", "archives", "mode", "wait")
    if real and "profile" not in section and "credentials" not in section:
        raise section.error(
            "profile", 'missing, and world = "real" asks the notary with it', "the name given to credentials.store"
        )
    return NotaryOptions(
        profile=section.text("profile"),
        # As with the identity: what only a real release needs is looked for in a real release.
        credentials=section.key_file("credentials") if real else section.place("credentials"),
        archives=section.choice("archives", ArchiveLayout, ArchiveLayout.ONE),
        mode=section.choice("mode", NotaryMode, NotaryMode.PARALLEL),
        wait=_duration(section, "wait", _SUBMISSION_WAIT),
    )


def _duration(section: Section, key: str, default: timedelta) -> timedelta:
    text = section.text(key)
    if text is None:
        return default
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in (found.groups() if found else (0, 0, 0)))
    duration = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise section.error(key, f'"{text}" is not a duration', 'such as "90s", "30m" or "1h30m"')
    return duration


def _launchd(section: Section) -> LaunchdOptions:
    section.require_known("service-id", "install-path", "layouts", "service-name", "company-name")
    service_id, folder = section.required_text("service-id"), section.required_text("install-path")
    if problem := problem_of(service_id):
        raise section.error("service-id", f'"{service_id}" {problem}')
    names = section.texts("layouts") if "layouts" in section else tuple(LAYOUTS)
    for position, name in enumerate(names):
        if name not in LAYOUTS:
            path = (*section.path("layouts"), position)
            raise section.document.error(path, f'"{name}" is no published layout', suggestion(name, tuple(LAYOUTS)))
    service_name, company_name = section.text("service-name"), section.text("company-name")
    tried = {"install-path": (None, None), "service-name": (service_name, None), "company-name": (None, company_name)}
    for key, (service, company) in tried.items():
        try:
            Installation(service_id=service_id, folder=folder, service_name=service, company_name=company)
        except ConfigurationError as error:
            raise section.error(key, error.message, error.remedy) from None
    return LaunchdOptions(
        service_id=service_id,
        install_path=folder,
        layouts=layouts_of(folder, names),
        service_name=service_name,
        company_name=company_name,
    )
