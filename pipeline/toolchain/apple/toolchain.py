"""What the stages ask for, done by Apple's tools; and our own eyes on all that they make.

Inputs are never touched: tools work on copies in `.work/apple/`, and what passes gets its name by one rename.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock

from pipeline import disk, notary, tickets
from pipeline.codesign.entitlements import parse_entitlements
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import (
    ConfigurationError,
    MalformedFile,
    NotSupported,
    SigningError,
    StapleError,
    VerificationError,
)
from pipeline.host import Completed
from pipeline.model import NotaryMode, Slice, World
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized, SignRequest
from pipeline.toolchain.apple import codesign, ditto, gatekeeper, lipo, stapler, xattr
from pipeline.toolchain.apple.codesign import AD_HOC, Signing
from pipeline.toolchain.apple.identities import KeychainIdentity, choose, find_identities
from pipeline.toolchain.apple.tools import Tools
from pipeline.toolchain.apple.versions import versions_of
from pipeline.toolchain.archives import submittable, told
from pipeline.toolchain.portable import PortableToolchain
from pipeline.toolchain.slices import recorded_slices

_AT_ONCE = (timedelta(milliseconds=50),) * 5


class AppleToolchain:
    """`engine` reads what the tools made, and does what no tool is needed for; it is never asked to sign."""

    name = "apple"

    def __init__(
        self,
        tools: Tools,
        engine: PortableToolchain,
        folder: Path,
        world: World,
        *,
        identity: str | None,
        keychain: Path | None = None,
        profile: str | None = None,
    ) -> None:
        """`identity`: a name or a SHA-1, None for the only one there is. `profile`: one that notarytool keeps."""
        self._tools = tools
        self._host = tools.host
        self._engine = engine
        self._folder = folder
        self._world = world
        self._wanted = identity
        self._keychain = keychain
        self._profile = profile
        self._choosing = Lock()
        self._chosen: KeychainIdentity | None = None
        self._beginning = Lock()
        self._works = itertools.count()

    def make_ready(self) -> None:
        if self._world is World.REAL:
            _ = self._identity

    def versions(self) -> Mapping[str, str]:
        return self._versions

    @cached_property
    def _versions(self) -> Mapping[str, str]:
        return {**self._engine.versions(), **versions_of(self._tools)}

    def compiler(self) -> Mapping[str, str]:
        return self._engine.compiler()

    def sign(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        with self._work() as work:
            copy = work / output.name
            self._host.files.copy(source, copy, mode=0o755)
            slices = self._sign(copy, copy, request, work, source)
            self._host.files.move(copy, output)
        return slices

    def sign_bundle(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        with self._work() as work:
            copy = work / output.name
            self._host.files.copy_folder(source, copy)
            self._sign_inside(copy, request, work, source)
            slices = self._sign(copy, disk.executable_of(copy), request, work, source)
            self._host.files.make_folder(output.parent)
            self._host.files.move_folder(copy, output)
        return slices

    def _sign_inside(self, bundle: Path, request: SignRequest, work: Path, source: Path) -> None:
        """Code in a bundle before the bundle, one after the other: never --deep."""
        if request.sign_archives:
            raise NotSupported("code in archives with Apple's tools", where="[app] sign-archives")
        given = disk.entitled(bundle, request.nested_entitlements)
        xattr.clear(self._tools, bundle, str(source))
        for number, (target, executable) in enumerate(disk.code_inside(bundle)):
            where = f"{source}/{target}"
            self._demand_signable(bundle / executable, where)
            plist = given.get(target, given.get(executable))
            place = work / f"nested-{number}.plist" if plist is not None else None
            if plist is not None and place is not None:
                self._host.files.write(place, plist)
            preserve = plist is None and (target in given or executable in given)
            signing = Signing(
                identity=self._signer, identifier=None, entitlements=place, keychain=self._keychain, preserve=preserve
            )
            codesign.sign(self._tools, bundle / target, signing, self._pauses, where)

    @property
    def _signer(self) -> str:
        return self._identity.sha1 if self._identity else AD_HOC

    @property
    def _pauses(self) -> tuple[timedelta, ...]:
        return codesign.PAUSES if self._world is World.REAL else _AT_ONCE

    def _demand_signable(self, executable: Path, where: str) -> tuple[str, ...]:
        try:
            return disk.check_signable(executable)
        except MalformedFile as error:
            raise SigningError(error.message, where=error.where or where, remedy=error.remedy) from error

    def _sign(self, path: Path, executable: Path, request: SignRequest, work: Path, source: Path) -> tuple[Slice, ...]:
        """Sign a copy in place, and demand of the result what was asked for."""
        where = str(source)
        archs = self._demand_signable(executable, where)
        xattr.clear(self._tools, path, where)
        entitlements = None
        if request.entitlements is not None:
            entitlements = work / "entitlements.plist"
            self._host.files.write(entitlements, request.entitlements)
        signing = Signing(
            identity=self._signer,
            identifier=request.identifier,
            entitlements=entitlements,
            keychain=self._keychain,
        )
        codesign.sign(self._tools, path, signing, self._pauses, where)
        try:
            found = disk.verify_path(path, anchors=self._engine.services.anchors, contents=request.contents)
            _demand_as_asked(found, archs, request, self._identity)
        except VerificationError as error:
            raise SigningError(
                f"codesign left something else than was asked for: {error.message}",
                where=f"{where}: {error.where}" if error.where else where,
                remedy=error.remedy,
            ) from error
        self._demand_agreement(path, found, where)
        return recorded_slices(path, found)

    @property
    def _identity(self) -> KeychainIdentity | None:
        """The one that signs; None where the world signs ad hoc."""
        if self._world is World.LOCAL:
            return None
        with self._choosing:
            if self._chosen is None:
                # A rehearsal's keys have to be there before a keychain is asked for them.
                _ = self._engine.services
                self._chosen = choose(find_identities(self._tools, self._keychain), self._wanted)
            return self._chosen

    def _demand_agreement(self, path: Path, found: Sequence[VerifiedSlice], where: str) -> None:
        """codesign's own word on the file, and that it sees in every slice what we see."""
        codesign.verify(self._tools, path, tuple(one.arch for one in found), where)
        for one in found:
            shown = codesign.display(self._tools, path, one.arch, where)
            pairs = {
                "CDHash": (shown.cdhash, one.cdhash),
                "identifier": (shown.identifier, one.identifier),
                "team": (shown.team, one.team),
                "flags": (shown.flags, one.flags),
            }
            for name, (theirs, ours) in pairs.items():
                if theirs != ours:
                    raise VerificationError(
                        f"codesign shows {name} {theirs}, our verifier {ours}", where=f"{where}: {one.arch}"
                    )

    def join(self, thins: Sequence[Path], output: Path, contents: disk.Contents | None = None) -> tuple[Slice, ...]:
        with self._work() as work:
            joined = work / output.name
            lipo.create(self._tools, thins, joined, str(output))
            slices = self.verify(joined, contents)
            archs = lipo.archs(self._tools, joined, str(output))
            if sorted(archs) != sorted(one.arch for one in slices):
                raise SigningError(f"lipo finds {', '.join(archs)} in what it joined", where=str(output))
            self._host.files.move(joined, output)
        return slices

    def notarize(
        self, archives: Sequence[ArchiveToNotarize], folder: Path, *, wait: timedelta, mode: NotaryMode, event: Event
    ) -> tuple[Notarized, ...]:
        for archive in archives:
            self._demand_survives_ditto(archive)
        with self._work() as work:
            verdicts = notary.notarize_with_tool(
                self._host,
                notary.NotaryTool(self._notarytool, self._access(work)),
                submittable(archives),
                folder,
                self._engine.wait_policy,
                wait,
                notary.Mode(mode),
            )
        return told(self._host, folder, archives, verdicts, event)

    def _notarytool(self, *words: str | Path, timeout: timedelta) -> Completed:
        return self._tools.run("xcrun", "notarytool", *words, timeout=timeout)

    def _access(self, work: Path) -> notary.KeyFile | notary.KeychainProfile:
        credentials = self._engine.services.credentials
        if credentials is None and self._profile is None:
            raise ConfigurationError(f'world "{self._world}" has no notary')
        if credentials is None:
            return notary.KeychainProfile(name=str(self._profile))
        path = work / f"AuthKey_{credentials.key_id}.p8"
        self._host.files.write(path, credentials.private_key.reveal().encode(), mode=0o600)
        return notary.KeyFile(path=path, key_id=credentials.key_id, issuer=credentials.issuer)

    def _demand_survives_ditto(self, archive: ArchiveToNotarize) -> None:
        """The notary unpacks with ditto: what comes out is looked at before it is sent."""
        with self._work() as work:
            for entry in ditto.unpack(self._tools, archive.path, work / "unpacked"):
                try:
                    self.verify(entry)
                except (VerificationError, MalformedFile) as error:
                    place = f"{archive.path}, unpacked by ditto: {entry.name}"
                    raise VerificationError(error.message, where=place, remedy=error.remedy) from error

    def tickets(self, cdhashes: Sequence[str]) -> Mapping[str, bytes]:
        return self._engine.tickets(cdhashes)

    def staple(self, bundle: Path, ticket: bytes, cdhashes: Sequence[str]) -> None:
        """stapler works on a copy, since it can fail and take the old ticket away; what it left is judged first."""
        pauses = stapler.PAUSES if self._world is World.REAL else _AT_ONCE
        with self._work() as work:
            copy = work / bundle.name
            if bundle.is_file():
                self._host.files.copy(bundle, copy)
            else:
                self._host.files.copy_folder(bundle, copy)
            stapler.staple(self._tools, copy, pauses, str(bundle))
            stapler.validate(self._tools, copy, str(bundle))
            stapled = tickets.stapled_ticket(copy)
        if stapled is None:
            raise StapleError("stapler says that it worked, and there is no ticket", where=str(bundle))
        self._engine.staple(bundle, stapled, cdhashes)
        stapler.validate(self._tools, bundle, str(bundle))

    def stapled(self, bundle: Path) -> bytes | None:
        return self._engine.stapled(bundle)

    def prove(self, ticket: bytes, cdhashes: Sequence[str]) -> None:
        self._engine.prove(ticket, cdhashes)

    def verify(self, path: Path, contents: disk.Contents | None = None) -> tuple[Slice, ...]:
        found = disk.verify_path(path, anchors=self._engine.services.anchors, contents=contents)
        self._demand_agreement(path, found, str(path))
        return recorded_slices(path, found)

    def try_out(self, path: Path, slices: Sequence[Slice], version: str) -> Mapping[str, str]:
        where = str(path)
        if path.is_dir():
            found = {"gatekeeper": gatekeeper.assess(self._tools, path, where)}
        else:
            codesign.verify_notarized(self._tools, path, where)
            found = {"gatekeeper": "satisfies the requirement `notarized`"}
        executable = disk.executable_of(path) if path.is_dir() else path
        for one in slices:
            found[one.arch] = gatekeeper.start(self._tools, executable, one.arch, version, f"{where}: {one.arch}")
            self._host.console.say(f"  {path.name}, {one.arch}: {found[one.arch]}")
        return found

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """A folder for tools to work in, gone afterwards; the first of a process removes what a kill left."""
        home = self._folder / ".work" / "apple"
        with self._beginning:
            number = next(self._works)
            if number == 0:
                self._host.files.remove(home)
            work = home / str(number)
            self._host.files.make_folder(work, mode=0o700)
        try:
            yield work
        finally:
            self._host.files.remove(work)


def _demand_as_asked(
    found: Sequence[VerifiedSlice], archs: Sequence[str], request: SignRequest, identity: KeychainIdentity | None
) -> None:
    """VerificationError unless every slice is signed by this identity, with these options, and time-stamped.

    codesign ignores what it does not like (`--options` in the wrong place): exit 0 says nothing of what it did.
    """
    if [one.arch for one in found] != list(archs):
        raise VerificationError(f"slices {', '.join(one.arch for one in found)} instead of {', '.join(archs)}")
    wanted = parse_entitlements(request.entitlements) if request.entitlements is not None else None
    for one in found:
        signer = one.authorities[0] if one.authorities else None
        demands = {
            "no hardened runtime": "runtime" in one.flags,
            f"identifier {one.identifier}": one.identifier == request.identifier,
            "other entitlements": dict(one.entitlements or {}) == dict(wanted or {}),
            "no secure time stamp": identity is None or one.timestamp is not None,
            f"signed by {signer or 'nobody'}": signer == (identity.name if identity else None),
        }
        for words, holds in demands.items():
            if not holds:
                raise VerificationError(words, where=one.arch)
