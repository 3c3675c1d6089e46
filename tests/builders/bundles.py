"""Bundles to seal, laid out on disk by hand: a plain app, an app with every kind of nested code, frameworks, others."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from pathlib import Path

from builders import mach

IDENTIFIER = "com.example.tool"

Files = Mapping[str, bytes | str | None]
"""By path: a file's content, a link's text, or None for an empty folder."""


def universal(kind: str = "execute") -> bytes:
    """x86_64 and arm64 in one file, unsigned."""
    return mach.fat(mach.image(arch="x86_64", kind=kind, minimum="10.13"), mach.image(arch="arm64", kind=kind))


def write(folder: Path, files: Files) -> Path:
    """Make what these paths say in a folder, and return the folder. A Mach-O file or a script may be executed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
            is_code = content[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe") or content[:2] == b"#!"
            path.chmod(0o755 if is_code else 0o644)
    return folder


def info(executable: str | None, identifier: str = IDENTIFIER, kind: str = "APPL", **more: object) -> bytes:
    values: dict[str, object] = {"CFBundleIdentifier": identifier, "CFBundlePackageType": kind, **more}
    if executable is not None:
        values["CFBundleExecutable"] = executable
    return plistlib.dumps(values)


def app(folder: Path, *, code: bytes | None = None, files: Files | None = None) -> Path:
    """A plain app, `Tool.app`, without nested code: executable, Info.plist, PkgInfo, resources."""
    content: dict[str, bytes | str | None] = {
        "Contents/Info.plist": info("tool"),
        "Contents/PkgInfo": b"APPL????",
        "Contents/MacOS/tool": code or universal(),
        "Contents/Resources/icon.icns": b"icns" + bytes(range(256)) * 40,
        "Contents/Resources/empty": b"",
        "Contents/Resources/en.lproj/Localizable.strings": b'"a" = "b";\n',
        "Contents/Resources/Base.lproj/Main.nib": b"nib",
    }
    return write(folder / "Tool.app", {**content, **(files or {})})


def framework(name: str, *, code: bytes | None = None, version: str = "A") -> dict[str, bytes | str | None]:
    """The files of a framework with one version, and the links of its root."""
    inside = f"Versions/{version}"
    return {
        f"{inside}/{name}": code or universal("dylib"),
        f"{inside}/Resources/Info.plist": info(name, f"com.example.{name.lower()}", "FMWK"),
        f"{inside}/Resources/data.txt": b"data",
        f"{inside}/Headers/{name}.h": b"int answer(void);\n",
        "Versions/Current": version,
        name: f"Versions/Current/{name}",
        "Resources": "Versions/Current/Resources",
        "Headers": "Versions/Current/Headers",
    }


def under(folder: str, files: Files) -> dict[str, bytes | str | None]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def plugin(identifier: str, executable: str, kind: str = "BNDL") -> dict[str, bytes | str | None]:
    """The files of a bundle with an executable: an XPC service, an extension, a plug-in."""
    return {
        "Contents/Info.plist": info(executable, identifier, kind),
        f"Contents/MacOS/{executable}": universal(),
        "Contents/Resources/note.txt": executable.encode(),
    }


def rich_app(folder: Path) -> Path:
    """An app with nested code of every kind and depth, localizations, links, and data in odd places."""
    helper = under(
        "Contents/Frameworks/Engine.framework/Versions/A/Helpers/Helper.app", plugin("com.example.h", "Helper")
    )
    return app(
        folder,
        files={
            "Contents/version.plist": plistlib.dumps({"BuildVersion": "1"}),
            "Contents/embedded.provisionprofile": b"profile",
            "Contents/Resources/de.lproj/Localizable.strings": b'"a" = "c";\n',
            "Contents/Resources/de.lproj/locversion.plist": b"left out",
            "Contents/Resources/.DS_Store": b"left out",
            "Contents/Resources/latest": "icon.icns",
            "Contents/Resources/de.lproj/link": "../icon.icns",
            "Contents/Resources/sub.folder/a & b <c>.txt": b"escaped",
            "Contents/Resources/\u00fcber/\u65e5\u672c.txt": b"beyond ASCII",
            "Contents/Resources/hollow": None,
            "Contents/MacOS/tool.dSYM/Contents/Info.plist": info(None, "com.apple.xcode.dsym.tool", "dSYM"),
            "Contents/MacOS/tool.dSYM/Contents/Resources/DWARF/tool": b"dwarf",
            "Contents/MacOS/second": universal(),
            "Contents/MacOS/alias": "tool",
            "Contents/Helpers/helper": universal(),
            "Contents/Frameworks/libplain.dylib": universal("dylib"),
            "Contents/Frameworks/deep/libdeep.dylib": universal("dylib"),
            **under("Contents/Frameworks/Engine.framework", framework("Engine")),
            **helper,
            "Contents/Frameworks/Engine.framework/Versions/A/Helpers/Helper.app/Contents/Frameworks": (
                "../../../../../../../Frameworks"
            ),
            "Contents/Frameworks/Engine.framework/Helpers": "Versions/Current/Helpers",
            **under("Contents/XPCServices/Service.xpc", plugin("com.example.service", "Service", "XPC!")),
            **under("Contents/PlugIns/Share.appex", plugin("com.example.share", "Share", "XPC!")),
            **under("Contents/PlugIns/Old.bundle", plugin("com.example.old", "Old")),
            **under("Contents/Library/LoginItems/Login.app", plugin("com.example.login", "Login", "APPL")),
            **under("Contents/Library/Spotlight/Files.mdimporter", plugin("com.example.files", "Files")),
        },
    )
