"""What a release is made of: products, artifacts, the plan that stages pass on. Frozen; changed with `replace()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pipeline.errors import ConfigurationError, NotSupported
from pipeline.launchd import Installation


class World(StrEnum):
    """Whose identity and services; chosen in the configuration, never guessed."""

    REAL = "real"
    REHEARSAL = "rehearsal"
    LOCAL = "local"


class Kind(StrEnum):
    """What an artifact is."""

    THIN = "thin"
    UNIVERSAL = "universal"
    APP = "app"
    ARCHIVE = "archive"
    DISTRIBUTION = "distribution"
    TICKET = "ticket"
    LAUNCHD = "launchd"


class NotarizationStatus(StrEnum):
    """As the manifest has it. A thin file is accepted through its slice's CDHash in the ticket of the archive."""

    ACCEPTED = "accepted"
    EXCLUDED = "excluded"
    PENDING = "pending"
    REJECTED = "rejected"


class StapleStatus(StrEnum):
    """As the manifest has it. A bare Mach-O file has no place for a ticket: not stapleable."""

    STAPLED = "stapled"
    NOT_STAPLEABLE = "not-stapleable"
    EXCLUDED = "excluded"


class ArchiveLayout(StrEnum):
    """One archive for everything, or one for each bare tool and each app."""

    ONE = "one"
    EACH = "each"


class NotaryMode(StrEnum):
    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


DEBUG_PREFIX = "DEBUG_"
"""What the names of debug binaries begin with, and no other name."""
STAPLED_TICKET = "Contents/CodeResources"
"""Where a bundle keeps its ticket: outside its seal (Apple's rule), and so outside its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How a product's thin binaries are made. `command` and `collect` hold the placeholders of the interface."""

    command: tuple[str, ...]
    values: Mapping[str, Mapping[str, str]]
    """Further placeholders: name → architecture → text."""
    output: str | None
    """[build.collect] output: the makefile's own place for the release binary, relative to the source."""
    debug_output: str | None
    inputs: tuple[Path, ...]
    """What the command reads that git does not know: what another build left, say."""
    serial: bool
    clean: tuple[str, ...]
    environment: tuple[str, ...]
    minimum_macos: Mapping[str, str]
    xcode: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOptions:
    """How a product is signed; the hardened runtime is always on."""

    identity: str | None
    entitlements: Path | None
    debug_entitlements: Path | str | None
    """A file, the text "get-task-allow", or None for none."""
    era: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What the app around a product holds, and how code in it is signed."""

    display_name: str
    background: bool
    minimum_system: str
    icon: Path | None = None
    info_plist: Path | None = None
    """Further keys of Info.plist."""
    provisioning_profile: Path | None = None
    contents: Mapping[str, Path] = field(default_factory=dict)
    """Further files and folders: place in the bundle → what is copied there."""
    entitlements: Mapping[str, Path | None] = field(default_factory=dict)
    """Of nested code: pattern of paths → a property list, or None to preserve what the code has."""
    sign_archives: bool = False
    """Is code inside jars, wheels and zips signed, or only told of?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One program of a release, with what its tables in release.toml say after the defaults."""

    name: str
    identifier: str
    source: Path
    architectures: tuple[str, ...]
    debug: bool
    require_frameworks: tuple[str, ...]
    require_sections: tuple[str, ...]
    build: BuildOptions
    sign: SignOptions
    app: AppOptions | None

    def file_name(self, *, debug: bool) -> str:
        """Of its bare binaries, wherever they lie."""
        return f"{DEBUG_PREFIX}{self.name}" if debug else self.name

    @property
    def variants(self) -> tuple[bool, ...]:
        """Is it a DEBUG binary? of each that is built for an architecture."""
        return (False, True) if self.debug else (False,)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryOptions:
    """How the notary is asked. Keys are kept under the name `profile`: in the keyring, or in the file `credentials`."""

    profile: str | None
    credentials: Path | None
    archives: ArchiveLayout
    mode: NotaryMode
    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchdOptions:
    """What launchd is told of the installed program. All are texts of the target machine, not paths of this one."""

    service_id: str
    install_path: str
    layouts: Mapping[str, str]
    """Name → install path, of every layout that the release carries jobs for."""
    service_name: str | None = None
    company_name: str | None = None

    def installation(self, layout: str, program: str) -> Installation:
        """Of the release's program, in one of the layouts."""
        return Installation(
            service_id=self.service_id,
            folder=self.layouts[layout],
            program=program,
            service_name=self.service_name,
            company_name=self.company_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A whole release.toml, checked."""

    path: Path
    release: str
    """The release's name: the first product's."""
    world: World
    toolchain: str
    """"apple" or "portable": "auto" is resolved when the configuration is read."""
    tools: Path | None
    """[toolchain] path: a folder of tools used instead of the system's."""
    previous: Path | None
    products: tuple[Product, ...]
    notary: NotaryOptions
    launchd: LaunchdOptions | None = None
    provenance_key: Path | None = None
    """[provenance] key: a private key that signs the provenance; without one it is not signed."""
    unready: tuple[ConfigurationError, ...] = ()
    """Keys that a whole release needs and this machine does not have; one that only builds needs none of them."""

    def demand_ready(self) -> None:
        """Raises the first of what is not ready."""
        for error in self.unready:
            raise error

    @property
    def identity(self) -> str | None:
        """What all products are signed with, as [sign] names it. Raises NotSupported where they differ."""
        named = {product.sign.identity for product in self.products}
        if len(named) != 1:
            raise NotSupported("products of one release with different identities", where="[sign] identity")
        return named.pop()

    @property
    def folder(self) -> Path:
        """Where everything that a release makes lies: build/macos beside the configuration."""
        return self.path.parent / "build" / "macos"

    @property
    def suffix(self) -> str:
        """Anything but a real release says so in the name of every archive."""
        return "" if self.world is World.REAL else f"-{self.world}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One architecture's signature as it was read back from the file."""

    arch: str
    cdhash: str
    identifier: str
    team: str | None
    flags: tuple[str, ...]
    entitlements: tuple[str, ...] | None = None
    """Each as `key = value`, the value in JSON, sorted; None where a manifest does not say."""
    libraries: tuple[str, ...] | None = None
    """Install names of what it links, in the file's order; None where a manifest does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notarization:
    status: NotarizationStatus
    submission: str | None = None
    archive: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staple:
    status: StapleStatus
    reason: str | None = None
    ticket: str | None = None
    """Path of the ticket, relative to the output folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file or a bundle under the output folder. `path` is relative to it, with forward slashes."""

    product: str
    path: str
    kind: Kind
    debug: bool = False
    sha256: str
    """Of the file; of a bundle, its tree digest without the stapled ticket (`pipeline.disk.tree_digest`)."""
    size: int
    unsigned_sha256: str | None = None
    """Of the build's output that this was signed from."""
    slices: tuple[Slice, ...] = ()
    notarization: Notarization | None = None
    staple: Staple | None = None
    contents: tuple[str, ...] = ()
    """Of an archive: the paths of the artifacts in it."""
    not_run: tuple[str, ...] = ()
    """Slices that verification wanted to start and could not: each with the reason."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One thin binary as the compiler left it, under `unsigned/`; never signed in place."""

    product: str
    arch: str
    debug: bool
    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the stages hand on: the release's facts, and what was built and made so far, in the order it was made."""

    configuration: Configuration
    version: str
    commit: str | None
    dirty: bool
    source_epoch: int
    """Seconds since 1970 UTC that every timestamp inside an output is taken from."""
    builds: tuple[Built, ...] = ()
    artifacts: tuple[Artifact, ...] = ()

    def product(self, name: str) -> Product:
        return next(product for product in self.configuration.products if product.name == name)

    def of(self, *kinds: Kind, debug: bool | None = None) -> tuple[Artifact, ...]:
        """The artifacts of these kinds; `debug` True or False keeps only the DEBUG ones or only the others."""
        return tuple(
            artifact for artifact in self.artifacts if artifact.kind in kinds and debug in (None, artifact.debug)
        )

    def with_artifacts(self, *made: Artifact) -> Plan:
        """This plan with these artifacts in place of those of the same path, new ones at the end."""
        paths = {artifact.path: artifact for artifact in made}
        kept = tuple(paths.pop(artifact.path, artifact) for artifact in self.artifacts)
        return replace(self, artifacts=kept + tuple(paths.values()))
