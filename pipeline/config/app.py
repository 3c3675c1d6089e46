"""[app] of a release.toml: what the app around a product holds, and the entitlements of code in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.config.macos import require_macos, version_number
from pipeline.config.sections import Section, is_there
from pipeline.model import AppOptions

PRESERVE = "preserve"
"""In place of a file of entitlements: the code keeps those that it has."""

_ICON = ".icns"
# What the release itself writes into an app, or the signing.
_OURS = ("Contents/Info.plist", "Contents/PkgInfo", "Contents/CodeResources", "Contents/_CodeSignature")
_PROFILE = "Contents/embedded.provisionprofile"


def read_app(section: Section, name: str, minimums: tuple[str, ...]) -> AppOptions:
    """`name`: the product's; `minimums`: the lowest macOS of each architecture that it is built for."""
    section.require_known(
        "display-name",
        "background",
        "minimum-system",
        "icon",
        "info-plist",
        "provisioning-profile",
        "contents",
        "entitlements",
        "sign-archives",
    )
    lowest = min(minimums, key=version_number)
    minimum = section.text("minimum-system") or lowest
    require_macos(section, "minimum-system", minimum)
    if version_number(minimum) < version_number(lowest):
        raise section.error("minimum-system", f'"{minimum}" is lower than {lowest}, the lowest of minimum-macos')
    icon = section.file("icon")
    if icon is not None and icon.suffix != _ICON:
        raise section.error("icon", f"an icon's name ends in {_ICON}", "iconutil makes one")
    written = [*_OURS, f"Contents/MacOS/{name}"]
    written += [_PROFILE] if "provisioning-profile" in section else []
    written += [f"Contents/Resources/{icon.name}"] if icon is not None else []
    return AppOptions(
        display_name=section.text("display-name") or name,
        background=section.boolean("background"),
        minimum_system=minimum,
        icon=icon,
        info_plist=section.file("info-plist"),
        provisioning_profile=section.file("provisioning-profile"),
        contents=_contents(section.table("contents"), written),
        entitlements=_entitlements(section.table("entitlements")),
        sign_archives=section.boolean("sign-archives"),
    )


def _contents(section: Section, written: list[str]) -> Mapping[str, Path]:
    """Places in the bundle, none of them inside another or where the release writes."""
    contents: dict[str, Path] = {}
    for place in section.names():
        parts = place.split("/")
        if parts[0] != "Contents" or any(part in ("", ".", "..") for part in parts) or "\0" in place:
            raise section.error(place, "is no place in an app", 'such as "Contents/Frameworks/X.framework"')
        for other in (*written, *contents):
            # Most Macs do not tell upper case from lower.
            if f"{place}/".lower().startswith(f"{other}/".lower()):
                raise section.error(place, f"{other} is there already, or is written by the release itself")
            if other in contents and f"{other}/".lower().startswith(f"{place}/".lower()):
                raise section.error(place, f"{other} lies inside it", "one folder with everything, or apart")
        source = section.place(place)
        assert source is not None, "a name that the table itself gave"
        if not is_there(source.exists):
            raise section.error(place, f"no such file or folder: {source}")
        contents[place] = source
    return contents


def _entitlements(section: Section) -> Mapping[str, Path | None]:
    return {
        pattern: None if section.text(pattern) == PRESERVE else section.file(pattern) for pattern in section.names()
    }
