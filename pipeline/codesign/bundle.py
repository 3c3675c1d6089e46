"""Where a bundle keeps its parts: the folder that its seal covers, Info.plist, main executable, signature.

As CoreFoundation and Security's `bundlediskrep.cpp` find them: `Contents` (apps, plug-ins, dSYM, kexts), `Versions`
(frameworks), `Resources` at the top, or flat (as on iOS). What a bundle's root may hold is `bundle_root`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pipeline.codesign.allocation import SIGNABLE
from pipeline.codesign.identifiers import parse_info_plist
from pipeline.codesign.tree import EntryKind, Tree, join, name_of
from pipeline.errors import MalformedFile, NotSupported, SigningError
from pipeline.macho import file_type, read_all

SIGNATURE_FOLDER = "_CodeSignature"
SEAL = f"{SIGNATURE_FOLDER}/CodeResources"
_CURRENT = "Versions/Current"
_INFO_NAMES = ("Info-macos.plist", "Info.plist")
_LARGEST_INFO = 16 * 1024 * 1024


class Layout(Enum):
    CONTENTS = "Contents"
    FRAMEWORK = "Versions"
    OLD = "Resources at the top"
    FLAT = "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle found in a tree. Paths are the tree's."""

    root: str
    layout: Layout
    base: str
    """The folder that the seal covers: `Contents`, `Versions/A`, or the root."""
    resources: str
    """The folder of resources, relative to `base`, with a slash at its end; "" where it is `base` itself."""
    info_path: str | None
    info_plist: bytes | None = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    main_file: str
    """The main executable, code or not; without one the file that stands for it, the Info.plist."""
    has_executable: bool
    """Is the main executable a Mach-O file? A script or a static library holds no signature: its is in files beside
    the seal, like that of a bundle without an executable."""

    @property
    def name(self) -> str:
        return name_of(self.root)

    @property
    def seal_path(self) -> str:
        return join(self.base, SEAL)

    @property
    def main_in_base(self) -> str | None:
        """The main file relative to `base`; None where it lies outside."""
        return relative(self.main_file, self.base)

    @property
    def is_installer(self) -> bool:
        """An old installer package, sealed by rules of its own."""
        return self.main_file == self.info_path and "IFMajorVersion" in self.info


def relative(path: str, folder: str) -> str | None:
    """A path as seen from a folder that it is in; None if it is not."""
    if not folder:
        return path
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else None


def find_bundle(tree: Tree, root: str = "", *, name: str = "", version: str | None = None) -> Bundle:
    """The bundle whose root is this folder of a tree. `name` is the bundle's where the root is the tree's own.

    `version` chooses one of a framework; None is the current one. Raises MalformedFile where the folder is no bundle,
    NotSupported for layouts of before Mac OS X 10.2.
    """
    shown = name or name_of(root)
    layout, base = _layout(tree, root, shown, version)
    resources = "" if layout is Layout.FLAT else "Resources/"
    info_folder = base if layout in (Layout.CONTENTS, Layout.FLAT) else join(base, "Resources")
    info_path, info_plist = _info(tree, info_folder)
    try:
        info = parse_info_plist(info_plist) if info_plist is not None else {}
    except SigningError as error:
        raise MalformedFile(error.message, where=info_path) from error
    executable = _executable(tree, root, base, layout, info, shown)
    main_file = executable or info_path
    if main_file is None:
        raise MalformedFile(
            "not a bundle: it has neither an executable of its name nor an Info.plist", where=root or shown
        )
    if executable is None and info.get("CFBundlePackageType") == "APPL":
        raise MalformedFile(
            f"the app's main executable {info.get('CFBundleExecutable')!r} is not there", where=root or shown
        )
    return Bundle(
        root=root,
        layout=layout,
        base=base,
        resources=resources,
        info_path=info_path,
        info_plist=info_plist,
        info=info,
        main_file=main_file,
        has_executable=executable is not None and _is_code(tree, executable),
    )


def _is_code(tree: Tree, path: str) -> bool:
    with tree.open(path) as source:
        return file_type(source) in SIGNABLE


def versions(tree: Tree, root: str) -> tuple[str, ...]:
    """The versions that a framework holds, the current one among them; none where it is another kind of bundle."""
    folder = join(root, "Versions")
    return tuple(sorted(entry.name for entry in tree.entries(folder) if entry.kind is EntryKind.FOLDER))


def _layout(tree: Tree, root: str, shown: str, version: str | None) -> tuple[Layout, str]:
    top = {entry.name: entry for entry in tree.entries(root)}
    for name in ("Contents", "Versions"):
        if name in top and top[name].kind is not EntryKind.FOLDER:
            raise MalformedFile(f"{name} is a {top[name].kind.value} where a folder belongs", where=root or shown)
    if "Contents" in top:
        return Layout.CONTENTS, join(root, "Contents")
    if "Support Files" in top:
        raise NotSupported("a bundle with Support Files, as before Mac OS X, is not supported", where=root or shown)
    if "WrappedBundle" in top:
        raise NotSupported("an iOS app in a wrapper is not supported", where=root or shown)
    if "Versions" in top:
        current = tree.entry(join(root, _CURRENT))
        if current is None or current.kind is not EntryKind.LINK:
            raise MalformedFile(
                "broken framework: Versions/Current is not a symbolic link",
                where=root or shown,
                remedy="archives made without support for links turn them into copies: make the framework anew",
            )
        version = version or tree.link(join(root, _CURRENT)).removeprefix("./").rstrip("/")
        folder = join(root, f"Versions/{version}")
        if "/" in version or version in ("", ".", "..", "Current") or not tree.entries(folder):
            raise MalformedFile(
                f"broken framework: Versions/Current leads to {version!r}, which is no version", where=root or shown
            )
        return _layout_of_version(tree, folder), folder
    return (Layout.OLD if "Resources" in top else Layout.FLAT), root


def _layout_of_version(tree: Tree, folder: str) -> Layout:
    """A version without a folder of resources is sealed as a flat bundle is."""
    inside = {entry.name for entry in tree.entries(folder)}
    return Layout.FRAMEWORK if "Resources" in inside else Layout.FLAT


def _info(tree: Tree, folder: str) -> tuple[str | None, bytes | None]:
    names = {entry.name: entry.kind for entry in tree.entries(folder)}
    for name in _INFO_NAMES:
        if name not in names:
            continue
        path = join(folder, name)
        if names[name] is not EntryKind.FILE:
            raise MalformedFile("the Info.plist is not a regular file", where=path)
        with tree.open(path) as source:
            return path, read_all(source, _LARGEST_INFO)
    return None, None


def _executable(tree: Tree, root: str, base: str, layout: Layout, info: Mapping[str, Any], shown: str) -> str | None:
    """The path of the main executable, if there is a file of the name that the Info.plist or the bundle gives."""
    given = info.get("CFBundleExecutable") or info.get("NSExecutable")
    name = given if isinstance(given, str) else shown.rpartition(".")[0] or shown
    if "/" in name or name in ("", ".", ".."):
        raise MalformedFile(f"CFBundleExecutable {name!r} is not a file's name", where=root or shown)
    folders = {
        Layout.CONTENTS: (join(base, "MacOS"), base, root),
        Layout.FLAT: (join(base, "MacOS"), base),
    }.get(layout, (base,))
    for folder in folders:
        path = join(folder, name)
        entry = tree.entry(path)
        if entry is not None and entry.kind is EntryKind.LINK:
            raise MalformedFile("the main executable is not a regular file", where=path)
        if entry is not None and entry.kind is EntryKind.FILE:
            return path
    return None
