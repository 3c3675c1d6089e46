"""The portable toolchain: this project's own engine and Apple's REST services, or the rehearsal's. Linux and macOS."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock

from pipeline import disk
from pipeline.codesign import SigningOptions, VerifiedSlice
from pipeline.codesign.eras import era_named
from pipeline.errors import StapleError, ToolMissing, VerificationError
from pipeline.host import Host
from pipeline.model import NotaryMode, Slice
from pipeline.notary import APPLE, REHEARSAL, Archive, notarize
from pipeline.tickets import TicketClient, covers, staple_bundle, stapled_ticket, verify_ticket
from pipeline.timestamps import TimestampClient
from pipeline.toolchain import ArchiveToNotarize, Event, Notarized, SignRequest
from pipeline.toolchain.services import Services

_HARDENED_RUNTIME = 0x10000


class PortableToolchain:
    """`open_services` is called once, by the first operation that needs an identity or a service."""

    name = "portable"

    def __init__(self, host: Host, open_services: Callable[[], Services], scratch: Path) -> None:
        self._host = host
        self._open_services = open_services
        self._opened: Services | None = None
        self._opening = Lock()
        self._scratch = scratch

    @property
    def _services(self) -> Services:
        with self._opening:
            if self._opened is None:
                self._opened = self._open_services()
            return self._opened

    def versions(self) -> Mapping[str, str]:
        found = {"python": platform.python_version()}
        for package in ("cryptography", "lief", "ziglang"):
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
            raise ToolMissing("no compiler for macOS: the package ziglang is not installed") from error
        return {
            "CC": f"{sys.executable} -m ziglang cc",
            "ZIG_GLOBAL_CACHE_DIR": str(self._scratch / "zig"),
            "ZIG_LOCAL_CACHE_DIR": str(self._scratch / "zig"),
        }
