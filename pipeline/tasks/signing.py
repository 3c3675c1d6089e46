"""What `file.sign`, `file.strip`, `file.universal` and `file.thin` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline import disk, identity
from pipeline.codesign.bundle import find_bundle
from pipeline.codesign.certificates import Anchors, is_developer_id
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import Flags, parse_flags, parse_hash_types
from pipeline.codesign.describe import parse_version_text
from pipeline.codesign.entitlement_text import check_entitlements
from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import compile_requirements
from pipeline.codesign.superblob import CONSTRAINT_SLOTS, Slot
from pipeline.codesign.verified import VerifiedSlice
from pipeline.config.app import PRESERVE
from pipeline.errors import ConfigurationError, MalformedFile, ReleaseError
from pipeline.host import Host
from pipeline.tasks.identities import opened
from pipeline.timestamps import TimestampClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `file.sign` as they were typed."""

    identity: str
    identifier: str | None
    entitlements: str | None
    requirements: str | None
    options: str | None
    era: str
    prefix: str
    runtime_version: str | None
    digest_algorithm: str | None
    page_size: str | None
    constraints: Sequence[str | None]
    """Files for the slots of CONSTRAINT_SLOTS, in their order."""
    timestamp: str
    anchors: str | None
    nested_entitlements: Sequence[str] = ()
    sign_archives: bool = False


def sign(host: Host, path: str, output: str, wish: Wish, *, dry: bool) -> None:
    source, target = existing(path), Path(output)
    _refuse_executable_of_bundle(source, target)
    who = None if wish.identity == "adhoc" else _identity(host, Path(wish.identity))
    anchors = anchors_of(host, wish.anchors)
    options = SigningOptions(
        identifier=wish.identifier,
        flags=_flags(wish, ad_hoc=who is None),
        entitlements=_entitlements(host, wish.entitlements) if wish.entitlements else None,
        requirements=_requirements(host, wish.requirements),
        era=era_named(wish.era),
        prefix=wish.prefix,
        runtime_version=parse_version_text(wish.runtime_version) if wish.runtime_version else None,
        hash_types=parse_hash_types(wish.digest_algorithm.split(",")) if wish.digest_algorithm else None,
        page_size=_page_size(wish.page_size),
        constraints={
            Slot(slot): host.files.read(existing(given), piped=True)
            for slot, given in zip(CONSTRAINT_SLOTS, wish.constraints, strict=True)
            if given
        },
        anchors=anchors,
    )
    signer = _signer(host, source, wish)
    if dry:
        _would(host, "sign", source, target)
        return
    signed = signer(
        host.files,
        source,
        target,
        options,
        who,
        _timestamper(host, wish, who, anchors),
        host.clock.now() if who else None,
        told=lambda name, words: host.console.say(f"{target if name == source.name else target / name}: {words}"),
    )
    for one in signed:
        host.console.result(f"{target}: {one.arch}: {one.identifier}, CDHash {one.cdhash}, team {one.team or 'none'}")


def _refuse_executable_of_bundle(source: Path, target: Path) -> None:
    """codesign would sign the bundle; signed alone, in its place, the executable would no longer be sealed with it."""
    place = source.absolute()
    if source.is_dir() or target.absolute() != place or place.parts[-3:-1] != ("Contents", "MacOS"):
        return
    bundle = place.parents[2]
    try:
        main = find_bundle(disk.FolderTree(bundle), name=bundle.name).main_file
    except ReleaseError:
        return
    if bundle / main == place:
        raise ConfigurationError(
            f"is the executable of {bundle.name}, and is signed with it", where=str(source), remedy=f"sign {bundle}"
        )


def _signer(host: Host, source: Path, wish: Wish) -> Callable[..., tuple[VerifiedSlice, ...]]:
    patterns: dict[str, bytes | None] = {}
    for given in wish.nested_entitlements:
        pattern, separator, name = given.rpartition("=")
        if not separator or not pattern or pattern in patterns:
            raise ConfigurationError(
                f"{given!r} is not PATTERN=FILE" if not pattern else f"{pattern!r} is given twice",
                where="--nested-entitlements",
                remedy='such as "Contents/XPCServices/*.xpc=service.plist"',
            )
        patterns[pattern] = None if name == PRESERVE else _entitlements(host, name)
    if source.is_dir():
        nested = disk.choose_entitlements(source, patterns, archives=wish.sign_archives)
        return partial(disk.sign_bundle, nested=nested, archives=wish.sign_archives)
    if patterns or wish.sign_archives:
        raise ConfigurationError("there is no nested code in a single file", where=str(source))
    return disk.sign_file


def strip(host: Host, path: str, output: str, era: str, *, dry: bool) -> None:
    source, chosen = existing(path), era_named(era)
    if dry:
        _would(host, "strip", source, Path(output))
        return
    disk.strip(host.files, source, Path(output), chosen)


def universal(host: Host, slices: Sequence[str], output: str, *, dry: bool) -> None:
    if not slices:
        raise ConfigurationError("no slices", remedy="give --slice FILE once for each")
    sources = [existing(one) for one in slices]
    if dry:
        _would(host, "join", " and ".join(map(str, sources)), Path(output))
        return
    disk.join(host.files, sources, Path(output))


def thin(host: Host, path: str, arch: str, output: str, *, dry: bool) -> None:
    source = existing(path)
    if dry:
        _would(host, f"take {arch} from", source, Path(output))
        return
    disk.thin(host.files, source, arch, Path(output))


def _would(host: Host, does: str, source: Path | str, target: Path) -> None:
    """What --dry says of a command that writes one file."""
    host.console.result(f"would {does} {source}" + (f" into {target}" if target != source else ", in place"))


def _entitlements(host: Host, path: str) -> bytes:
    data = host.files.read(existing(path), piped=True)
    check_entitlements(data, path)
    return data


def existing(path: str) -> Path:
    """The path of something that is there; ConfigurationError otherwise."""
    found = Path(path)
    if not found.exists():
        raise ConfigurationError("no such file or folder", where=path)
    return found


def anchors_of(host: Host, folder: str | None) -> Anchors:
    return identity.load_anchors(host.files, Path(folder)) if folder else identity.APPLE_ANCHORS


def _identity(host: Host, path: Path) -> Identity:
    data = host.files.read(existing(str(path)), piped=True)
    return opened(host, data, str(path), partial(host.secrets.ask, f"password of {path.name}"))


def _flags(wish: Wish, *, ad_hoc: bool) -> Flags | None:
    if wish.options is None:
        return None if ad_hoc else Flags.RUNTIME
    names = [name for name in wish.options.split(",") if name and name != "none"]
    return parse_flags(names) if names else Flags(0)


def _page_size(given: str | None) -> int | None:
    if given is not None and not (given.isascii() and given.isdigit()):
        raise ConfigurationError(f"{given!r} is not a number of bytes", where="--page-size", remedy="such as 4096")
    return int(given) if given is not None else None


def _requirements(host: Host, given: str | None) -> bytes | None:
    if given is None:
        return None
    text = given
    if Path(given).is_file():
        try:
            text = host.files.read(Path(given)).decode()
        except UnicodeDecodeError as error:
            raise MalformedFile("requirements are a text in UTF-8", where=given) from error
    return compile_requirements(text)


def _timestamper(host: Host, wish: Wish, who: Identity | None, anchors: Anchors) -> Callable[[bytes], bytes] | None:
    if wish.timestamp not in ("auto", "none"):
        raise ConfigurationError(f"unknown time stamp {wish.timestamp!r}", where="--timestamp", remedy="auto, or none")
    if wish.timestamp == "none" or who is None or not is_developer_id(who.chain):
        return None
    return TimestampClient(
        host.http, host.clock, host.entropy, roots=anchors.timestamp_roots, told=host.console.say
    ).token
