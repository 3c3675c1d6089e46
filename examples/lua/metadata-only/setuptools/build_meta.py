"""Stands where setuptools would while pip downloads a source package (PEP 517); builds nothing.

pip wants a source package's metadata even for a download without dependencies, and would install the package's whole
build environment (here Cython) and run its setup.py to have it. What it wants to know stands in the package's PKG-INFO.
"""

from __future__ import annotations

import shutil
from email import message_from_string
from pathlib import Path


class __legacy__:  # noqa: N801  # the object that pip asks for where pyproject.toml names no backend
    @staticmethod
    def prepare_metadata_for_build_wheel(folder: str, config_settings: object = None) -> str:
        """Write a .dist-info into `folder` and return its name. pip calls this in the unpacked package."""
        facts = message_from_string(Path("PKG-INFO").read_text("utf-8"))
        info = Path(folder, f"{facts['Name']}-{facts['Version']}.dist-info")
        info.mkdir()
        shutil.copyfile("PKG-INFO", info / "METADATA")
        return info.name
