"""[product], [build] and [sign] of a release.toml: what each key may hold, and what may not stand together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pipeline.codesign.eras import DEFAULT_ERA, ERAS
from pipeline.config.app import read_app
from pipeline.config.macos import require_macos, version_number
from pipeline.config.placeholders import FACTS, NAME, OUTPUTS, names_in
from pipeline.config.sections import Section, suggestion
from pipeline.errors import ConfigurationError
from pipeline.model import DEBUG_PREFIX, BuildOptions, Product, SignOptions


class Architecture(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


# The lowest macOS that today's tools build for; arm64 has no lower one at all.
LOWEST_MACOS = {"x86_64": "10.13", "arm64": "11.0"}
GET_TASK_ALLOW = "get-task-allow"
IDENTITY_FILES = (".p12", ".pfx", ".pem")

# A product's name is the name of its files on every file system, and stands in archives, URLs and shells unquoted.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# Files that a release puts beside a product's binary: <name>.app, <name>.ticket, build.json.
_TAKEN_SUFFIXES = (".app", ".ticket", ".json")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
# segname and sectname are 16 bytes (mach-o/loader.h).
_SECTION = re.compile(r"[^,\s]{1,16},[^,\s]{1,16}")


def read_products(root: Section, *, real: bool, keychain: bool) -> tuple[Product, ...]:
    """Every product.

    `real`: what a real release cannot be without must be there; `keychain`: an identity is a name in a keychain.
    """
    values = root.layers[0][1].get("product")
    if values is None:
        raise root.error("product", "missing", "a release has at least one [product]")
    if isinstance(values, list) and values:
        sections = []
        for position, value in enumerate(values):
            if not isinstance(value, dict):
                raise root.wrong_type(("product", position), value, "a table")
            sections.append(Section(document=root.document, layers=((("product", position), value),)))
    elif isinstance(values, list):
        raise root.error("product", "is empty", "a release has at least one [[product]]")
    else:
        sections = [root.table("product")]
    products: dict[str, Product] = {}
    for section in sections:
        product = _product(section, root, real=real, keychain=keychain)
        # Two names that differ in case alone are one file on most Macs.
        if product.name.casefold() in products:
            raise section.error("name", f'"{product.name}" is the name of another product')
        products[product.name.casefold()] = product
    return tuple(products.values())


def _product(section: Section, root: Section, *, real: bool, keychain: bool) -> Product:
    section.require_known(
        "name",
        "identifier",
        "source",
        "architectures",
        "debug",
        "require-frameworks",
        "require-sections",
        "build",
        "sign",
        "app",
    )
    name = _name(section)
    identifier = section.required_text("identifier", 'such as identifier = "org.example.program"')
    if not _IDENTIFIER.fullmatch(identifier):
        raise section.error("identifier", f'"{identifier}" is not an identifier', "letters, digits, dots, hyphens")
    source = section.folder("source")
    if source is None:
        raise section.error("source", "missing", "the folder that [build].command runs in")
    architectures = _architectures(section)
    debug = section.boolean("debug")
    for position, text in enumerate(section.texts("require-sections")):
        if not _SECTION.fullmatch(text):
            path = (*section.path("require-sections"), position)
            raise root.document.error(path, f'"{text}" names no section', 'such as "__TEXT,__info_plist"')
    build = _build(section.table("build", over=root.table("build")), architectures, debug=debug)
    app = section.table("app", over=root.table("app")) if "app" in section or "app" in root else None
    return Product(
        name=name,
        identifier=identifier,
        source=source,
        architectures=architectures,
        debug=debug,
        require_frameworks=section.texts("require-frameworks"),
        require_sections=section.texts("require-sections"),
        build=build,
        sign=_sign(section.table("sign", over=root.table("sign")), real=real, keychain=keychain),
        app=read_app(app, name, tuple(build.minimum_macos[arch] for arch in architectures)) if app else None,
    )


def _name(section: Section) -> str:
    name = section.required_text("name")
    if not _FILE_NAME.fullmatch(name):
        raise section.error(
            "name", f'"{name}" is not a safe file name', "letters, digits, and . _ + - inside; at most 64"
        )
    if name.startswith(DEBUG_PREFIX):
        raise section.error("name", f"{DEBUG_PREFIX} begins the names of debug binaries")
    if name.lower().endswith(_TAKEN_SUFFIXES):
        raise section.error("name", f'"{name}" ends like a file that the release puts beside it')
    return name


def _architectures(section: Section) -> tuple[str, ...]:
    known = [arch.value for arch in Architecture]
    if "architectures" not in section:
        return tuple(known)
    architectures = section.texts("architectures")
    if not architectures:
        raise section.error("architectures", "is empty", f"known here: {', '.join(known)}")
    for position, arch in enumerate(architectures):
        path = (*section.path("architectures"), position)
        if arch not in known:
            raise section.document.error(path, f'"{arch}" is not an architecture', suggestion(arch, known))
        if arch in architectures[:position]:
            raise section.document.error(path, f'"{arch}" stands twice')
    return architectures


def _build(section: Section, architectures: tuple[str, ...], *, debug: bool) -> BuildOptions:
    section.require_known(
        *("command", "values", "collect", "inputs", "serial", "clean", "environment", "minimum-macos", "xcode")
    )
    command, clean = section.texts("command"), section.texts("clean")
    if not command:
        raise section.error("command", "missing" if "command" not in section else "is empty")
    values = _values(section.table("values"), architectures)
    collect = section.table("collect").require_known("output", "debug-output")
    named = _require_placeholders(section, "command", command, (*FACTS, *OUTPUTS, *values))
    _require_placeholders(section, "clean", clean, (*FACTS, *values))
    for key, placeholder, wanted in (("output", "output", True), ("debug-output", "debug_output", debug)):
        place = collect.text(key)
        if place is not None:
            _require_placeholders(collect, key, (place,), (*FACTS, *values))
            if Path(place).is_absolute() or ".." in Path(place).parts:
                raise collect.error(key, f'"{place}" leaves the source', "a path relative to the product's source")
        elif wanted and placeholder not in named:
            raise section.error(
                "command",
                f"nothing says where the {'debug ' if key == 'debug-output' else ''}binary goes",
                f"use {{{placeholder}}} in it, or name the makefile's own place in collect.{key}",
            )
    for position, name in enumerate(section.texts("environment")):
        if not NAME.fullmatch(name):
            path = (*section.path("environment"), position)
            raise section.document.error(path, f'"{name}" is not the name of a variable')
    return BuildOptions(
        command=command,
        values=values,
        output=collect.text("output"),
        debug_output=collect.text("debug-output"),
        inputs=tuple(section.document.folder / text for text in section.texts("inputs")),
        serial=section.boolean("serial"),
        clean=clean,
        environment=section.texts("environment"),
        minimum_macos=_minimum_macos(section.table("minimum-macos")),
        xcode=str(xcode) if (xcode := section.place("xcode")) else None,
    )


def _values(section: Section, architectures: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
    values = {}
    for name in section.names():
        if not NAME.fullmatch(name):
            raise section.error(name, "is not a placeholder's name", "letters, digits and _")
        if name in (*FACTS, *OUTPUTS):
            raise section.error(name, "is a placeholder that the pipeline fills")
        table = section.table(name).require_known(*Architecture)
        values[name] = {arch: table.required_text(arch, f"{{{name}}} needs a text for it") for arch in architectures}
    return values


def _require_placeholders(section: Section, key: str, texts: tuple[str, ...], known: tuple[str, ...]) -> set[str]:
    """The placeholders that the texts of a key hold, all of them known."""
    found: set[str] = set()
    for position, text in enumerate(texts):
        path = section.path(key)
        path = (*path, position) if (*path, position) in section.document.lines else path
        try:
            names = names_in(text)
        except ConfigurationError as error:
            raise section.document.error(path, error.message, error.remedy) from None
        for name in names:
            if name not in known:
                raise section.document.error(path, f"unknown placeholder {{{name}}}", suggestion(name, known))
        found.update(names)
    return found


def _minimum_macos(section: Section) -> Mapping[str, str]:
    section.require_known(*Architecture)
    versions = dict(LOWEST_MACOS)
    for arch in section.names():
        versions[arch] = section.required_text(arch)
        require_macos(section, arch, versions[arch])
    if version_number(versions["arm64"]) < version_number(LOWEST_MACOS["arm64"]):
        raise section.error("arm64", f'"{versions["arm64"]}" is lower than 11.0, the first macOS for arm64')
    return versions


def _sign(section: Section, *, real: bool, keychain: bool) -> SignOptions:
    section.require_known("identity", "entitlements", "debug-entitlements", "era")
    debug = section.text("debug-entitlements") or GET_TASK_ALLOW
    debug_entitlements: Path | str | None = GET_TASK_ALLOW
    if debug == "none":
        debug_entitlements = None
    elif debug != GET_TASK_ALLOW:
        debug_entitlements = section.file("debug-entitlements")
    return SignOptions(
        identity=_identity(section, real=real, keychain=keychain),
        entitlements=section.file("entitlements"),
        debug_entitlements=debug_entitlements,
        era=_era(section),
    )


def _identity(section: Section, *, real: bool, keychain: bool) -> str | None:
    identity = section.text("identity")
    if identity is None:
        if real:
            raise section.error("identity", 'missing, and world = "real" signs with it')
        return None
    is_file = identity.lower().endswith(IDENTITY_FILES)
    # The key of a real release need not lie on a machine that rehearses.
    if real and is_file and keychain:
        message = f'"{identity}" is a file, and codesign signs with an identity in a keychain'
        remedy = "`invoke keychain.create` makes a keychain of the file; then name the identity, or its SHA-1"
        section.document.unready.append(section.error("identity", message, remedy))
    elif real and is_file:
        section.key_file("identity")
    elif real and not keychain:
        message = f'"{identity}" is a name in a keychain, and the portable toolchain signs with a file'
        remedy = f"export the Developer ID identity to a file that ends in {', '.join(IDENTITY_FILES)}"
        section.document.unready.append(section.error("identity", message, remedy))
    return str(section.place("identity")) if is_file else identity


def _era(section: Section) -> str:
    era = section.text("era") or DEFAULT_ERA.name
    names = [known.name for known in ERAS]
    if era not in names:
        raise section.error("era", f'"{era}" is no era of codesign', suggestion(era, names))
    return era
