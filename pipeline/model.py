"""What a release is made of: products, artifacts, the plan that stages pass on. Frozen; changed with `replace()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


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
    ACCEPTED = "accepted"
    EXCLUDED = "excluded"
    PENDING = "pending"
    REJECTED = "rejected"


class StapleStatus(StrEnum):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How a product's thin binaries are made. `command` and `collect` hold the placeholders of the interface."""

    command: tuple[str, ...]
    values: Mapping[str, Mapping[str, str]]
    """Further placeholders: name → architecture → text."""
    output: str | None
    """[build.collect] output: the makefile's own place for the release binary, relative to the source."""
    debug_output: str | None
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
    display_name: str
    background: bool
    minimum_system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryOptions:
    profile: str | None
    credentials: Path | None
    archives: ArchiveLayout
    mode: NotaryMode
    wait: timedelta


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

    @property
    def folder(self) -> Path:
        """Where everything that a release makes lies: build/macos beside the configuration."""
        return self.path.parent / "build" / "macos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One architecture's signature as it was read back from the file."""

    arch: str
    cdhash: str
    identifier: str
    team: str | None
    flags: tuple[str, ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the stages hand on: the release's facts and the artifacts made so far, in the order they were made."""

    configuration: Configuration
    version: str
    commit: str | None
    dirty: bool
    source_epoch: int
    """Seconds since 1970 UTC that every timestamp inside an output is taken from."""
    artifacts: tuple[Artifact, ...] = field(default=())
