"""A whole release.toml, and one read on a host of choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline import config
from pipeline.host import Host, system_host
from pipeline.model import Configuration

WHOLE = """\
[release]
world = "rehearsal"

[product]
name = "tool"
identifier = "org.example.tool"
source = "src"
architectures = ["x86_64", "arm64"]
debug = true

[build]
command = ["make", "ARCH={arch}", "OUTPUT={output}", "DEBUG_OUTPUT={debug_output}"]
minimum-macos = { x86_64 = "10.15", arm64 = "11.0" }

[sign]
era = "macos-15"

[app]
display-name = "A Tool"

[notary]
wait = "1h30m"
"""
REAL = WHOLE.replace('"rehearsal"', '"real"').replace("[notary]", '[notary]\nprofile = "p"')


def on(system: str) -> Host:
    return replace(system_host(), system=system)


def read(folder: Path, text: str, system: str = "Linux") -> Configuration:
    """The text as `folder`/release.toml, read on a host of that system."""
    path = folder / "release.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, on(system))
