"""Rehearsals with keys made once, and code signed well once: what tests spoil, they spoil in the bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.hosts import host_with
from builders.mach import fat, image
from builders.notary_user import NotaryUser
from builders.workbench import Workbench

from pipeline.host import Host, SystemClock
from pipeline.rehearsal import Rehearsal


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
def workbench(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """Signs as a release does, with the rehearsal's Developer ID and time stamps."""
    host = host_with(SystemClock())
    with Rehearsal(keys, host) as running:
        yield Workbench(host=host, services=running.services, scratch=tmp_path_factory.mktemp("signing"))


@pytest.fixture(scope="session")
def thin(workbench: Workbench) -> bytes:
    """A good x86_64 tool."""
    return workbench.sign(image(arch="x86_64", minimum="10.13"))


@pytest.fixture(scope="session")
def arm(workbench: Workbench) -> bytes:
    """A good arm64 tool of several pages, with entitlements that ask for nothing dangerous."""
    return workbench.sign(image(arch="arm64", size=0x10000), entitlements=HARMLESS)


@pytest.fixture(scope="session")
def universal(thin: bytes, arm: bytes) -> bytes:
    return fat(thin, arm)


@pytest.fixture(scope="session")
def dylib(workbench: Workbench) -> bytes:
    return workbench.sign(image(arch="arm64", kind="dylib"), identifier="com.example.library")


@pytest.fixture(scope="session")
def app(workbench: Workbench, universal: bytes, dylib: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good app: universal executable, a nested library, a resource, a localisation, a link."""
    folder = tmp_path_factory.mktemp("app") / "unsigned" / "Agent.app"
    contents = folder / "Contents"
    for inside in ("MacOS", "Frameworks", "Resources/en.lproj"):
        (contents / inside).mkdir(parents=True)
    (contents / "Info.plist").write_bytes(INFO_PLIST)
    (contents / "MacOS" / "agent").write_bytes(universal)
    (contents / "Frameworks" / "libexample.dylib").write_bytes(dylib)
    (contents / "Resources" / "logo.txt").write_text("a logo\n")
    (contents / "Resources" / "en.lproj" / "Words.strings").write_text('"a" = "b";\n')
    (contents / "Resources" / "current.txt").symlink_to("logo.txt")
    return workbench.sign_bundle(folder, folder.parents[1] / "Agent.app")


HARMLESS = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>com.apple.security.get-task-allow</key>
\t<false/>
</dict>
</plist>
"""
INFO_PLIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>CFBundleExecutable</key>
\t<string>agent</string>
\t<key>CFBundleIdentifier</key>
\t<string>com.example.agent</string>
\t<key>CFBundlePackageType</key>
\t<string>APPL</string>
</dict>
</plist>
"""
