"""What the stages ask for, done by Apple's tools; and our own eyes on all that they make.

Inputs are never touched: tools work on copies in `.work/apple/`, and what passes gets its name by one rename.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock

from pipeline import disk, notary, tickets
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import (
    ConfigurationError,
    MalformedFile,
    ReleaseError,
    SigningError,
    StapleError,
    VerificationError,
)
from pipeline.host import Completed
from pipeline.model import NotaryMode, Slice, World
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized, SignRequest, Tried
from pipeline.toolchain.apple import codesign, ditto, gatekeeper, lipo, stapler
from pipeline.toolchain.apple.identities import KeychainIdentity, choose, find_identities
from pipeline.toolchain.apple.signing import Signer
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
        self._works = itertools.count()

    def make_ready(self) -> None:
        if self._world is World.REAL:
            _ = self._identity

    def versions(self) -> Mapping[str, str]:
        return self._versions

    @cached_property
    def _versions(self) -> Mapping[str, str]:
        # No event of the release: a stage that begins tells them, and a run that does nothing leaves the log alone.
        return {**self._engine.versions(), **versions_of(replace(self._tools, record=lambda *_, **__: None))}

    def compiler(self) -> Mapping[str, str]:
        return self._engine.compiler()

    def sign(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        with self._work() as work:
            copy = work / output.name
            self._host.files.copy(source, copy, mode=0o755)
            slices = self._signed(copy, source, lambda signer: signer.sign_file(copy, request), work)
            self._host.files.move(copy, output)
        return slices

    def sign_bundle(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        with self._work() as work:
            copy = work / output.name
            self._host.files.copy_folder(source, copy)
            slices = self._signed(copy, source, lambda signer: signer.sign_bundle(copy, request), work)
            self._host.files.make_folder(output.parent)
            self._host.files.move_folder(copy, output)
        return slices

    def _signed(
        self, copy: Path, source: Path, sign: Callable[[Signer], tuple[VerifiedSlice, ...]], work: Path
    ) -> tuple[Slice, ...]:
        """What signing made of a copy, agreed on by codesign and by us; errors name what was copied."""
        signer = Signer(
            tools=self._tools,
            anchors=self._engine.services.anchors,
            identity=self._identity,
            pauses=codesign.PAUSES if self._world is World.REAL else _AT_ONCE,
            work=work / "signing",
            keychain=self._keychain,
        )
        try:
            found = sign(signer)
            codesign.demand_agreement(self._tools, copy, found, copy.name)
        except ReleaseError as error:
            raise error.at(str(source)) from error.__cause__
        return recorded_slices(copy, found)

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
                submittable(archives, event),
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
        codesign.demand_agreement(self._tools, path, found, str(path))
        return recorded_slices(path, found)

    def try_out(self, path: Path, slices: Sequence[Slice], version: str) -> Tried:
        where = str(path)
        if path.is_dir():
            said = {"gatekeeper": gatekeeper.assess(self._tools, path, where)}
        else:
            codesign.verify_notarized(self._tools, path, where)
            said = {"gatekeeper": "satisfies the requirement `notarized`"}
        executable = disk.executable_of(path) if path.is_dir() else path
        not_run = []
        for one in slices:
            started = gatekeeper.start(self._tools, executable, one.arch, version, f"{where}: {one.arch}")
            said[one.arch] = started or gatekeeper.not_run(one.arch)
            if started is None:
                not_run.append(f"{one.arch}: {said[one.arch]}")
            self._host.console.say(f"  {path.name}, {one.arch}: {said[one.arch]}")
        return Tried(said=said, not_run=tuple(not_run))

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """A folder for tools to work in, gone afterwards; what a kill left goes when the next command begins."""
        work = self._folder / ".work" / "apple" / str(next(self._works))
        self._host.files.make_folder(work, mode=0o700)
        try:
            yield work
        finally:
            self._host.files.remove(work)
