"""Archives made and edited member by member, with the standard library."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Symlink:
    target: str


Members = Mapping[str, bytes | Symlink]


def zip_of(members: Members) -> bytes:
    """A zip of files (mode 0755) and links, in the order given."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.create_system = 3
            kind = stat.S_IFLNK if isinstance(content, Symlink) else stat.S_IFREG
            info.external_attr = (kind | 0o755) << 16
            archive.writestr(info, content.target if isinstance(content, Symlink) else content)
    return out.getvalue()


def tree_members(folder: Path, prefix: str) -> dict[str, bytes | Symlink]:
    """A folder on disk as members below `prefix`."""
    found: dict[str, bytes | Symlink] = {}
    for path in sorted(folder.rglob("*")):
        name = f"{prefix}/{path.relative_to(folder)}"
        if path.is_symlink():
            found[name] = Symlink(str(path.readlink()))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
