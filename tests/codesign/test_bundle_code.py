"""All code of a bundle is found, at every depth, and in the order in which it must be signed."""

from __future__ import annotations

from pathlib import Path

from builders import bundles, mach
from builders.bundles import framework, info, plugin, under, write

from pipeline.codesign.bundle import find_bundle
from pipeline.codesign.bundle_code import find_code, parts
from pipeline.disk import FolderTree

EXTENSION = "Contents/Library/SystemExtensions/com.example.net.systemextension"


def loose_app(folder: Path) -> Path:
    """An app with code where no rule looks for it."""
    return bundles.app(
        folder,
        files={
            "Contents/Resources/tools/helper": bundles.universal(),
            "Contents/Resources/tools/helper.o": mach.image(kind="object"),
            "Contents/Resources/tools/broken": b"\xcf\xfa\xed\xfe" + b"\xff" * 60,
            "Contents/Resources/tools/Main.class": b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d" + bytes(60),
            "Contents/Resources/app.asar.unpacked/module.node": bundles.universal("bundle"),
            "Contents/Resources/Strings.bundle/Contents/Info.plist": info(None, kind="BNDL"),
            "Contents/Resources/v1.2/data": b"data",
            **under("Contents/Resources/Extra.framework", framework("Extra")),
            "Contents/Resources/Copied.framework/Versions/A/Copied": bundles.universal("dylib"),
            "Contents/Resources/Copied.framework/Copied": bundles.universal("dylib"),
            **under(EXTENSION, plugin("com.example.net", "com.example.net", "SYSX")),
            f"{EXTENSION}/Contents/Frameworks/libinner.dylib": bundles.universal("dylib"),
            "Contents/MacOS/second": bundles.universal(),
        },
    )


def test_loose_code_is_found(tmp_path: Path) -> None:
    """Programs among the resources are found by what they are, bundles there as bundles; object files are not code."""
    folder = loose_app(tmp_path)
    tree = FolderTree(folder)
    found = {(part.path, part.is_bundle, part.nested) for part in parts(tree, find_bundle(tree, name=folder.name))}
    assert found == {
        ("Contents/MacOS/second", False, True),
        ("Contents/Resources/tools/helper", False, False),
        ("Contents/Resources/app.asar.unpacked/module.node", False, False),
        ("Contents/Resources/Extra.framework", True, False),
        # A framework whose links were turned into copies is none: its files are on their own.
        ("Contents/Resources/Copied.framework/Copied", False, False),
        ("Contents/Resources/Copied.framework/Versions/A/Copied", False, False),
        (EXTENSION, True, False),
    }


def test_order_is_from_the_inside_out(tmp_path: Path) -> None:
    """What a seal names, or covers, comes before the executable that carries the seal; the bundle's own is last."""
    folder = loose_app(tmp_path)
    order = [code.path for code in find_code(FolderTree(folder), name=folder.name)]
    assert order[-1] == "Contents/MacOS/tool"
    assert order.index(f"{EXTENSION}/Contents/Frameworks/libinner.dylib") < order.index(
        f"{EXTENSION}/Contents/MacOS/com.example.net"
    )
    assert len(order) == len(set(order)) == 9


def test_a_rich_app(tmp_path: Path) -> None:
    """Of an app with nested code of every kind each Mach-O file is found once, and each knows its bundle."""
    folder = bundles.rich_app(tmp_path)
    found = find_code(FolderTree(folder), name=folder.name)
    on_disk = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.read_bytes()[:4] == b"\xca\xfe\xba\xbe"
        # Through the link of a helper to the frameworks of the app nothing is found twice.
        and path.resolve() == path
    }
    assert {code.path for code in found} == on_disk
    assert {code.bundle.name for code in found if code.bundle} == {
        "",
        "Engine.framework",
        "Helper.app",
        "Service.xpc",
        "Share.appex",
        "Old.bundle",
        "Login.app",
        "Files.mdimporter",
    }
    assert all(code.nested for code in found)


def test_every_version_of_a_framework(tmp_path: Path) -> None:
    """A framework's older version is code as well."""
    other = {
        "Versions/0/Engine": bundles.universal("dylib"),
        "Versions/0/Resources/Info.plist": info("Engine", kind="FMWK"),
    }
    folder = write(tmp_path / "Engine.framework", {**framework("Engine"), **other})
    found = [code.path for code in find_code(FolderTree(folder), name=folder.name)]
    assert found == ["Versions/0/Engine", "Versions/A/Engine"]
