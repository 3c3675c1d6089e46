"""Which folders of a tree are bundles, and which file of each is its main executable.

Three layouts: `Contents/` (apps, plug-ins, XPC services), `Versions/A/` (frameworks) and flat. A bundle without an
executable is no code by itself: what it holds is sealed by the bundle around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.rehearsal.inspection.archive import File, Link, Tree, content, files_below
from pipeline.rehearsal.inspection.findings import Broken
from pipeline.rehearsal.inspection.plists import load_plist

_LARGEST_PLIST = 16 * 1024 * 1024
# What an app's folder may hold beside Contents, by Apple's own list.
_HARMLESS = {".DS_Store", "Icon\r", ".LSOverride", ".SoftwareDepot.tracking"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Paths in the tree. `base` is what its seal is relative to; `info` the bytes of its Info.plist."""

    root: str
    base: str
    executable: str
    info: bytes

    @property
    def seal(self) -> str:
        return f"{self.base}/_CodeSignature/CodeResources"

    @property
    def has_own_name(self) -> bool:
        """A log lists a bundle by itself only where its name says that it is one."""
        return "." in self.root.rpartition("/")[2]


def find_bundles(tree: Tree) -> Iterator[Bundle]:
    for path in tree:
        folder, _, name = path.rpartition("/")
        if name != "Info.plist" or not isinstance(tree[path], File):
            continue
        found = _layout(tree, folder)
        if found is None:
            continue
        root, base, code = found
        info = content(tree[path], _LARGEST_PLIST) or b""
        executable = f"{code}/{_executable_name(info, root)}"
        if executable in tree:
            yield Bundle(root=root, base=base, executable=executable, info=info)


def _layout(tree: Tree, folder: str) -> tuple[str, str, str] | None:
    """Root, base and the folder of the executable, for a folder that holds an Info.plist."""
    above, _, name = folder.rpartition("/")
    if name == "Contents" and above:
        return above, folder, f"{folder}/MacOS"
    parts = folder.split("/")
    if name == "Resources" and len(parts) >= 4 and parts[-3] == "Versions":
        # Where links became copies, the copy called Current would be judged twice.
        is_version = parts[-2] != "Current"
        return ("/".join(parts[:-3]), above, above) if is_version else None
    is_flat = "." in name and f"{folder}/Contents" not in tree and f"{folder}/Versions" not in tree
    return (folder, folder, folder) if is_flat else None


def _executable_name(info: bytes, root: str) -> str:
    default = root.rpartition("/")[2].rpartition(".")[0]
    try:
        named = load_plist(info).get("CFBundleExecutable")
    except Broken:
        return default
    return named if isinstance(named, str) and named else default


def demand_clean_root(tree: Tree, bundle: Bundle) -> None:
    """Nothing may lie beside Contents, or beside Versions but links into it. Raises Broken."""
    if bundle.base == bundle.root:
        return
    top = bundle.base[len(bundle.root) + 1 :].partition("/")[0]
    for path, entry in files_below(tree, bundle.root):
        if "/" in path or path == top or path in _HARMLESS:
            continue
        into_versions = isinstance(entry, Link) and entry.target.startswith("Versions/Current/")
        if not (top == "Versions" and (into_versions or path == "module.map")):
            raise Broken(f"{path} lies unsealed in the root of the bundle")
