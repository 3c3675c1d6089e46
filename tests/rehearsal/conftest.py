"""Rehearsals with keys made once, and code signed once by the engine: what the tests then spoil, they spoil in the bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.notary_user import NotaryUser
from builders.thin import MH_DYLIB, thin_image, universal

from pipeline.host import Host, SystemClock
from pipeline.rehearsal import Rehearsal
from pipeline.timestamps import TimestampClient

Sign = Callable[..., bytes]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rehearsal's folder that holds its keys and nothing else yet."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with Rehearsal(folder, host_with(SystemClock())):
        pass
    return folder


@pytest.fixture
def folder(keys: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(keys, tmp_path / "rehearsal"))


@pytest.fixture
def host() -> Host:
    return host_with(SystemClock())


@pytest.fixture
def rehearsal(folder: Path, host: Host) -> Iterator[Rehearsal]:
    with Rehearsal(folder, host) as running:
        yield running


@pytest.fixture
def user(rehearsal: Rehearsal) -> NotaryUser:
    return NotaryUser(services=rehearsal.services)


@pytest.fixture(scope="session")
def sign(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sign]:
    """Signs an image as a release does: hardened runtime, Developer ID, time stamp."""
    from pipeline import disk
    from pipeline.codesign.code_directory import Flags
    from pipeline.codesign.options import SigningOptions
    host = host_with(SystemClock())
    scratch = tmp_path_factory.mktemp("signing")
    with Rehearsal(keys, host) as running:
        services = running.services
        assert services.timestamp_url is not None
        client = TimestampClient(host.http, host.clock, host.entropy, services.timestamp_url)

        def signed(image: bytes, **options: object) -> bytes:
            source, output = scratch / "in", scratch / "out"
            source.write_bytes(image)
            chosen = {"identifier": "com.example.tool", "flags": Flags.RUNTIME, "anchors": services.anchors} | options
            disk.sign_file(
                host.files,
                source,
                output,
                SigningOptions(**chosen),  # type: ignore[arg-type]
                services.identity,
                client.token,
                host.clock.now(),
            )
            return output.read_bytes()

        yield signed


@pytest.fixture(scope="session")
def tool(sign: Sign) -> bytes:
    """A good universal tool, both slices signed."""
    return universal(sign(thin_image("x86_64")), sign(thin_image("arm64")))


@pytest.fixture(scope="session")
def thin_tool(sign: Sign) -> bytes:
    return sign(thin_image("x86_64"))


@pytest.fixture(scope="session")
def dylib(sign: Sign) -> bytes:
    return sign(thin_image("arm64", filetype=MH_DYLIB))
