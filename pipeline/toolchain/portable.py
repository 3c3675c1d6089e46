"""The portable toolchain: this project's own engine and Apple's REST services, or the rehearsal's. Linux and macOS."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock

from pipeline import disk, notary, tickets
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.eras import era_named
from pipeline.codesign.options import SigningOptions
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import ConfigurationError, MalformedFile, SigningError, StapleError, ToolMissing, VerificationError
from pipeline.host import Host
from pipeline.model import NotaryMode, Slice, World
from pipeline.timestamps import RetryPolicy, TimestampClient
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized, NotStapleable, SignRequest, Tried
from pipeline.toolchain.archives import submittable, told
from pipeline.toolchain.services import Services
from pipeline.toolchain.slices import recorded_slices

# A rehearsal's services answer at once; Apple's policies are the defaults of their rooms.
_A_MOMENT = timedelta(milliseconds=50)
_TICKETS_AT_ONCE = tickets.LookupPolicy(pauses=(_A_MOMENT,) * 4, publication=(_A_MOMENT,) * 10)
_TIMESTAMPS_AT_ONCE = RetryPolicy(waits=(_A_MOMENT,) * 5)


class PortableToolchain:
    """`open_services` is called once, by the first operation that needs an identity or a service."""

    name = "portable"

    def __init__(self, host: Host, open_services: Callable[[], Services], folder: Path, world: World) -> None:
        self._host = host
        self._open_services = open_services
        self._opened: Services | None = None
        self._opening = Lock()
        self._folder = folder
        self._world = world

    @property
    def services(self) -> Services:
        """The identity and the services of the world."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open_services()
            return self._opened

    def make_ready(self) -> None:
        if self._world is World.REAL:
            _ = self.services

    def versions(self) -> Mapping[str, str]:
        found = {"python": platform.python_version()}
        for package in ("cryptography", "asn1crypto", "lief", "ziglang"):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "absent"
        return found

    def compiler(self) -> Mapping[str, str]:
        if self._host.system == "Darwin":
            return {"CC": "xcrun clang"}
        try:
            version("ziglang")
        except PackageNotFoundError as error:
            raise ToolMissing(
                "no compiler for macOS: the package ziglang is not installed", remedy="pip install ziglang"
            ) from error
        cache = str(self._folder / "zig")
        return {
            # Makefiles hand CC to a shell: a checkout's path may hold spaces.
            "CC": f"{shlex.quote(sys.executable)} -m ziglang cc",
            "ZIG_GLOBAL_CACHE_DIR": cache,
            "ZIG_LOCAL_CACHE_DIR": cache,
        }

    def sign(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        return self._sign(disk.sign_file, source, output, request)

    def sign_bundle(self, source: Path, output: Path, request: SignRequest) -> tuple[Slice, ...]:
        nested = disk.choose_entitlements(source, request.nested_entitlements, archives=request.sign_archives)
        sign = partial(disk.sign_bundle, nested=nested, archives=request.sign_archives, contents=request.contents)
        return self._sign(sign, source, output, request)

    def _sign(
        self, sign: Callable[..., tuple[VerifiedSlice, ...]], source: Path, output: Path, request: SignRequest
    ) -> tuple[Slice, ...]:
        services = self.services
        options = SigningOptions(
            identifier=request.identifier,
            flags=Flags.RUNTIME,
            entitlements=request.entitlements,
            era=era_named(request.era),
            anchors=services.anchors,
        )
        try:
            signed = sign(
                self._host.files,
                source,
                output,
                options,
                services.identity,
                timestamper=self._timestamper(services),
                signing_time=self._host.clock.now() if services.identity else None,
                told=request.told,
            )
        except MalformedFile as error:
            raise SigningError(error.message, where=error.where or str(source), remedy=error.remedy) from error
        return recorded_slices(output, signed)

    def _timestamper(self, services: Services) -> Callable[[bytes], bytes] | None:
        if services.timestamp_url is None:
            return None
        host = self._host
        return TimestampClient(
            host.http,
            host.clock,
            host.entropy,
            services.timestamp_url,
            roots=services.anchors.timestamp_roots,
            retries=None if self._world is World.REAL else _TIMESTAMPS_AT_ONCE,
            told=host.console.say,
        ).token

    def join(self, thins: Sequence[Path], output: Path, contents: disk.Contents | None = None) -> tuple[Slice, ...]:
        try:
            disk.join(self._host.files, thins, output)
        except MalformedFile as error:
            raise SigningError(error.message, where=error.where or str(output), remedy=error.remedy) from error
        return self.verify(output, contents)

    def notarize(
        self, archives: Sequence[ArchiveToNotarize], folder: Path, *, wait: timedelta, mode: NotaryMode, event: Event
    ) -> tuple[Notarized, ...]:
        services = self.services
        if services.notary is None or services.credentials is None:
            raise ConfigurationError(f'world "{self._world}" has no notary')
        verdicts = notary.notarize(
            self._host,
            services.notary,
            services.credentials,
            submittable(archives, event),
            folder,
            self.wait_policy,
            wait,
            notary.Mode(mode),
        )
        return told(self._host, folder, archives, verdicts, event)

    @property
    def wait_policy(self) -> notary.WaitPolicy:
        return notary.APPLE_POLICY if self._world is World.REAL else notary.REHEARSAL_POLICY

    def tickets(self, cdhashes: Sequence[str]) -> Mapping[str, bytes]:
        url = self.services.tickets_url
        if url is None:
            raise StapleError(f'world "{self._world}" has no tickets')
        policy = None if self._world is World.REAL else _TICKETS_AT_ONCE
        return tickets.TicketClient(self._host.http, self._host.clock, url, policy).wait_for(cdhashes)

    def staple(self, bundle: Path, ticket: bytes, cdhashes: Sequence[str]) -> None:
        if bundle.is_file():
            raise NotStapleable("a bare file cannot carry a ticket", where=str(bundle))
        roots = self.services.anchors.ticket_roots
        tickets.staple_bundle(self._host.files, bundle, ticket, roots=roots, cdhashes=cdhashes)

    def stapled(self, bundle: Path) -> bytes | None:
        return tickets.stapled_ticket(bundle)

    def prove(self, ticket: bytes, cdhashes: Sequence[str]) -> None:
        try:
            tickets.verify_coverage(tickets.verify_ticket(ticket, self.services.anchors.ticket_roots), cdhashes)
        except MalformedFile as error:
            raise VerificationError(error.message, where=error.where, remedy=error.remedy) from error

    def verify(self, path: Path, contents: disk.Contents | None = None) -> tuple[Slice, ...]:
        try:
            found = disk.verify_path(path, anchors=self.services.anchors, strict_padding=True, contents=contents)
        except MalformedFile as error:
            raise VerificationError(f"header: {error.message}", where=error.where or str(path)) from error
        return recorded_slices(path, found)

    def try_out(self, path: Path, slices: Sequence[Slice], version: str) -> Tried:
        return Tried(said={"gatekeeper": "not asked: the portable toolchain has none"})
