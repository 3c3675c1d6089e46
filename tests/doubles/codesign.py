"""codesign(1): signs with a rehearsal's identity, verifies against its anchors."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from doubles.bench import Job
from doubles.keychains import Held, chain_of, keychains_of
from pipeline import disk, tickets
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.cms import Identity
from pipeline.codesign.code_directory import Flags, parse_flags
from pipeline.codesign.eras import DEFAULT_ERA, era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.requirements import compile_requirements
from pipeline.codesign.signature import read_signature
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import ReleaseError, SigningError
from pipeline.identity import load_anchors
from pipeline.macho import read_slices
from pipeline.timestamps import TimestampClient
from pipeline.toolchain.services import Services

_TAKES = {
    "--sign": "sign",
    "-s": "sign",
    "--identifier": "identifier",
    "-i": "identifier",
    "--entitlements": "entitlements",
    "--keychain": "keychain",
    "--options": "options",
    "-o": "options",
    "--arch": "arch",
    "-a": "arch",
}
_SWITCHES = {
    "--force": "force",
    "-f": "force",
    "--verify": "verify",
    "-d": "display",
    "--display": "display",
    "--strict": "strict",
    "--deep": "deep",
    "--all-architectures": "all",
    "--check-notarization": "online",
}
_VERBOSE = re.compile(r"-v+|--verbose(=[0-9])?")


@dataclass
class Asked:
    values: dict[str, str] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    timestamp: str | None = None
    requirement: str | None = None
    paths: list[str] = field(default_factory=list)


def act(job: Job) -> int:
    asked = _parse(job.words)
    if asked is None or not asked.paths:
        job.say("Usage: codesign -s identity [-fv*] [-o flags] [-r reqs] [-i ident] path ... # sign")
        return 2
    path = Path(asked.paths[0])
    if not path.exists():
        job.say(f"{path}: No such file or directory")
        return 1
    if "sign" in asked.values:
        return _sign(job, asked, path)
    anchors = load_anchors(job.host.files, job.bench.rehearsal / "anchors")
    if "display" in asked.switches:
        return _display(job, path, asked.values.get("arch"), anchors)
    return _verify(job, asked, path, anchors)


def _parse(words: Sequence[str]) -> Asked | None:
    asked = Asked()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _TAKES:
            name, value = _TAKES[word], rest.pop(0)
            # The real one reads options for the operation that it already knows: before --sign it drops them.
            if name == "options" and "sign" not in asked.values:
                continue
            asked.values[name] = value
        elif word in _SWITCHES:
            asked.switches.add(_SWITCHES[word])
        elif word == "--timestamp" or word.startswith("--timestamp="):
            asked.timestamp = word.partition("=")[2] or "apple"
        elif word == "--preserve-metadata=entitlements":
            asked.switches.add("preserve")
        elif word.startswith("-r="):
            asked.values["requirements"] = word[3:]
        elif word.startswith("-R="):
            asked.requirement = word[3:]
        elif _VERBOSE.fullmatch(word):
            continue
        elif word.startswith("-") and word != "-":
            return None
        else:
            asked.paths.append(word)
    return asked


def _sign(job: Job, asked: Asked, path: Path) -> int:
    identity = None
    if asked.values["sign"] != "-":
        identity = _identity(job, asked.values["sign"], asked.values.get("keychain"), path)
        if identity is None:
            return 1
    if _has_detritus(path):
        job.say(f"{path}: resource fork, Finder information, or similar detritus not allowed")
        return 1
    signed = _is_signed(disk.executable_of(path) if path.is_dir() else path)
    if signed and "force" not in asked.switches:
        job.say(f"{path}: is already signed")
        return 1
    # What a rehearsal needs takes longer to import than all that verifies.
    from pipeline.rehearsal import Rehearsal

    with Rehearsal(job.bench.rehearsal, job.host) as rehearsal:
        try:
            _sign_with(job, asked, path, identity, rehearsal.services)
        except ReleaseError as error:
            job.say(f"{path}: {error.message}")
            return 1
    if signed:
        job.say(f"{path}: replacing existing signature")
    return 0


def _sign_with(job: Job, asked: Asked, path: Path, identity: Identity | None, services: Services) -> None:
    """Sign in place, by a rename; a file with rcodesign where that lever is set."""
    options = _options(job, asked, services.anchors)
    stamped = identity is not None and asked.timestamp != "none" and not job.bench.lever("no-timestamp")
    timestamp_url = str(services.timestamp_url)
    other = job.bench.lever("rcodesign")
    if other and path.is_file():
        from doubles import rcodesign

        rcodesign.sign(job, other, path, options, timestamp_url if stamped else None)
        return
    host = job.host
    client = TimestampClient(host.http, host.clock, host.entropy, timestamp_url, roots=services.anchors.timestamp_roots)
    # Without --deep it signs the bundle alone, and seals what is inside as it finds it; with --deep it signs that with
    # the options of the bundle, whatever it had.
    deep = "deep" in asked.switches
    inside = partial(disk.sign_bundle, nested=lambda _path, given: given if deep else None)
    output = path.with_name(f"{path.name}.cstemp{os.getpid()}")
    call = partial(
        inside if path.is_dir() else disk.sign_file,
        host.files,
        path,
        output,
        options,
        identity,
        client.token if stamped else None,
        host.clock.now() if identity else None,
    )
    try:
        call()
    except SigningError as error:
        if "no room" not in error.message or path.is_dir():
            raise
        _make_room(path)  # the real one writes over the code and says nothing
        call()
    move = host.files.move_folder if path.is_dir() else host.files.move
    move(output, path)


def _options(job: Job, asked: Asked, anchors: Anchors) -> SigningOptions:
    entitlements, requirements = asked.values.get("entitlements"), asked.values.get("requirements")
    flags = parse_flags(asked.values["options"].split(",")) if "options" in asked.values else Flags(0)
    return SigningOptions(
        identifier=job.bench.lever("identifier") or asked.values.get("identifier"),
        flags=Flags(0) if job.bench.lever("no-runtime") else flags,
        entitlements=Path(entitlements).read_bytes() if entitlements else None,
        preserve_entitlements="preserve" in asked.switches,
        requirements=compile_requirements(requirements) if requirements is not None else None,
        era=era_named(job.bench.lever("era") or DEFAULT_ERA.name),
        anchors=anchors,
    )


def _has_detritus(path: Path) -> bool:
    refused = {"user.com.apple.FinderInfo", "user.com.apple.ResourceFork"}
    within = (path, *(path.rglob("*") if path.is_dir() else ()))
    return any(refused.intersection(os.listxattr(one, follow_symlinks=False)) for one in within)


def _make_room(path: Path) -> None:
    """Of a thin file: zeros where LC_CODE_SIGNATURE will stand."""
    data = bytearray(path.read_bytes())
    end = 32 + int.from_bytes(data[20:24], "little")
    data[end : end + 16] = bytes(16)
    path.write_bytes(data)


def _identity(job: Job, wanted: str, keychain: str | None, path: Path) -> Identity | None:
    """The signer that a hash or a name means; None after saying why there is none."""
    with keychains_of(job.bench) as known:
        there = {
            name: [one for one in held.identities if one.sha1 == wanted.upper() or wanted in one.name]
            for name, held in known.keychains.items()
            if keychain in (None, name)
        }
        listed = [(name, one) for name in known.search for one in there.get(name, [])]
        if not listed:
            elsewhere = keychain is not None or any(there.values())
            missing = "The specified item could not be found in the keychain."
            job.say(f"error: {missing}" if elsewhere else f"{wanted}: no identity found")
            return None
        if len({one.sha1 for _name, one in listed}) > 1:
            (one_place, one), (_place, other) = listed[:2]
            job.say(f'{wanted}: ambiguous (matches "{one.name}" and "{other.name}" in {one_place})')
            return None
        name, held = listed[0]
        if known.keychains[name].locked:
            job.say(f"{path}: User interaction is not allowed.")
            return None
        if not known.keychains[name].partitions:
            job.say(f"{path}: errSecInternalComponent")
            return None
        return _whole(job, held, chain_of(job.bench, known, held), path)


def _whole(job: Job, held: Held, identity: Identity | None, path: Path) -> Identity | None:
    if identity is None:
        job.say(
            f'Warning: unable to build chain to self-signed root for signer "{held.name}"',
            f"{path}: errSecInternalComponent",
        )
    return identity


def _is_signed(path: Path) -> bool:
    """A linker's signature is none that --force is needed for."""
    with disk.open_source(path) as source:
        found = [read_signature(one) for one in read_slices(source) if one.image.signature]
    return any(one is not None and "linker-signed" not in one.best.flag_names for one in found)


def _verify(job: Job, asked: Asked, path: Path, anchors: Anchors) -> int:
    try:
        found = disk.verify_path(path, anchors=anchors)
    except ReleaseError as error:
        job.say(f"{path}: {_refusal(str(error))}", f"In architecture: {asked.values.get('arch', 'arm64')}")
        return 1
    arch = asked.values.get("arch")
    if arch is not None and arch not in {one.arch for one in found}:
        job.say(f"{path}: No matching architecture found")
        return 1
    job.say(f"{path}: valid on disk", f"{path}: satisfies its Designated Requirement")
    if asked.requirement == "notarized":
        if not ("online" in asked.switches and is_notarized(job, path, found)):
            job.say("test-requirement: code failed to satisfy specified code requirement(s)")
            return 3
        job.say(f"{path}: explicit requirement satisfied")
    return 0


def is_notarized(job: Job, path: Path, found: Sequence[VerifiedSlice]) -> bool:
    """Does a ticket, stapled or looked up, name every slice?"""
    cdhashes = [one.cdhash for one in found]
    stapled = tickets.stapled_ticket(path) if path.is_dir() else None
    if stapled is not None:
        return all(tickets.covers(tickets.parse_ticket(stapled), one) for one in cdhashes)
    from pipeline.rehearsal import Rehearsal

    with Rehearsal(job.bench.rehearsal, job.host) as rehearsal:
        client = tickets.TicketClient(job.host.http, job.host.clock, str(rehearsal.services.tickets_url))
        return all(ticket is not None for ticket in client.lookup(cdhashes).values())


def _refusal(words: str) -> str:
    if "not signed" in words or "no signature" in words:
        return "code object is not signed at all"
    if "sealed" in words or "seal" in words:
        return "a sealed resource is missing or invalid"
    return "invalid signature (code or signature have been modified)"


def _display(job: Job, path: Path, arch: str | None, anchors: Anchors) -> int:
    try:
        slices = disk.verify_path(path, anchors=anchors)
    except ReleaseError:
        job.say(f"{path}: code object is not signed at all")
        return 1
    one = next((one for one in slices if one.arch == arch), None)
    if one is None:
        job.say(f"{path}: No matching architecture found")
        return 1
    universal = " ".join(each.arch for each in slices)
    kind = f"universal ({universal})" if len(slices) > 1 else f"thin ({one.arch})"
    flags = 0x10000 * ("runtime" in one.flags) + 2 * ("adhoc" in one.flags)
    stamp = f"{one.timestamp:%b %-d, %Y at %-I:%M:%S %p}" if one.timestamp else None
    job.say(
        f"Executable={disk.executable_of(path) if path.is_dir() else path}",
        f"Identifier={one.identifier}",
        f"Format={'app bundle with ' if path.is_dir() else ''}Mach-O {kind}",
        f"CodeDirectory v=20500 size=38000 flags={flags:#x}({','.join(one.flags) or 'none'}) hashes=1177+7 "
        "location=embedded",
        "Hash type=sha256 size=32",
        f"CDHash={one.cdhash}",
        "Signature=adhoc" if "adhoc" in one.flags else "Signature size=8979",
        *(f"Authority={name}" for name in one.authorities),
        *([f"Timestamp={stamp}"] if stamp else ["Signed Time=Jan 9, 2023 at 9:39:07 AM"] if one.authorities else []),
        f"TeamIdentifier={one.team or 'not set'}",
        "Sealed Resources=none",
    )
    return 0
