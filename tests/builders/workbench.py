"""Signs images and bundles as a release does, with the identity and the time stamps of a rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.codesign.code_directory import Flags
from pipeline.codesign.options import SigningOptions
from pipeline.host import Host
from pipeline.timestamps import TimestampClient
from pipeline.toolchain.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    host: Host
    services: Services
    scratch: Path

    @property
    def timestamper(self) -> Callable[[bytes], bytes]:
        host, services = self.host, self.services
        assert services.timestamp_url is not None
        roots = services.anchors.timestamp_roots
        return TimestampClient(host.http, host.clock, host.entropy, services.timestamp_url, roots=roots).token

    def options(self, **changes: Any) -> SigningOptions:
        """The hardened runtime and an identifier, unless `changes` say otherwise."""
        chosen: dict[str, Any] = {
            "identifier": "com.example.tool",
            "flags": Flags.RUNTIME,
            "anchors": self.services.anchors,
        }
        return SigningOptions(**(chosen | changes))

    def sign(self, image: bytes, **changes: Any) -> bytes:
        source, output = self.scratch / "in", self.scratch / "out"
        source.write_bytes(image)
        arguments = (self.options(**changes), self.services.identity, self.timestamper, self.host.clock.now())
        disk.sign_file(self.host.files, source, output, *arguments)
        return output.read_bytes()

    def sign_bundle(self, bundle: Path, output: Path) -> Path:
        options = self.options(identifier=None)
        arguments = (options, self.services.identity, self.timestamper, self.host.clock.now())
        disk.sign_bundle(self.host.files, bundle, output, *arguments)
        return output
