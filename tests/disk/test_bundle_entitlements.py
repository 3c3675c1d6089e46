"""Entitlements of code in a bundle: chosen by patterns of paths, preserved on demand, never a library's."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from builders import bundles
from builders.signed_bundles import DEVELOPER, sign_told

from pipeline.disk import choose_entitlements, verify_path
from pipeline.disk.bundle_entitlements import entitled
from pipeline.errors import ConfigurationError, SigningError

GIVEN = plistlib.dumps({"com.example.given": True})
HELPER = "Contents/Frameworks/Engine.framework/Versions/A/Helpers/Helper.app"
LIBRARIES = ["Contents/Frameworks/Engine.framework", "Contents/Frameworks/libplain.dylib"]


def signed(bundle: Path, output: Path, patterns: dict[str, bytes | None]) -> list[tuple[str, str]]:
    return sign_told(bundle, output, nested=choose_entitlements(bundle, patterns))


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("Contents/XPCServices/*.xpc", {"Contents/XPCServices/Service.xpc"}),
        ("Contents/XPCServices/Servic[ae].xpc", {"Contents/XPCServices/Service.xpc"}),
        ("**/*.a[p][p]", {"Contents/Library/LoginItems/Login.app", HELPER}),
        (
            "Contents/Library/**",
            {"Contents/Library/LoginItems/Login.app", "Contents/Library/Spotlight/Files.mdimporter"},
        ),
        ("Contents/**/Helpers/*", {"Contents/Helpers/helper", HELPER}),
        ("Contents/MacOS/?econd", {"Contents/MacOS/second"}),
    ],
)
def test_what_a_pattern_matches(tmp_path: Path, pattern: str, paths: set[str]) -> None:
    """A star stays inside a name, two go through folders, and the whole path must match."""
    assert set(entitled(bundles.rich_app(tmp_path), {pattern: GIVEN})) == paths


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*.xpc",
        "Contents/*.xpc",
        "contents/XPCServices/*.xpc",
        "Contents/XPCServices",
        "Contents/XPCServices/Service.xpc/",
        "Contents/XPCServices/Service.xpc/Contents/MacOS/Service",
        "Contents/MacOS/tool",
        "Contents/MacOS/alias",
        "",
    ],
)
def test_a_pattern_without_code_is_an_error(tmp_path: Path, pattern: str) -> None:
    """A pattern that names no nested code is refused, and the code that there is is named."""
    with pytest.raises(ConfigurationError, match="matches no code") as refused:
        entitled(bundles.rich_app(tmp_path), {pattern: GIVEN})
    assert "Contents/Frameworks/Engine.framework" in str(refused.value.remedy)


def test_two_patterns_for_one_code(tmp_path: Path) -> None:
    """Which of two is meant is not guessed."""
    with pytest.raises(ConfigurationError, match=r'matched by "\*\*/\*.xpc" too'):
        entitled(bundles.rich_app(tmp_path), {"**/*.xpc": GIVEN, "Contents/XPCServices/*": None})


def test_only_the_named_code_gets_them(tmp_path: Path) -> None:
    """The service has what its pattern gives; nothing else is entitled."""
    output = tmp_path / "signed" / "Tool.app"
    told = signed(bundles.rich_app(tmp_path), output, {"Contents/XPCServices/*": GIVEN})
    service = verify_path(output / "Contents/XPCServices/Service.xpc", anchors=DEVELOPER.anchors)
    assert [one.entitlements for one in service] == [{"com.example.given": True}] * 2
    assert not [one for one in verify_path(output, anchors=DEVELOPER.anchors) if one.entitlements]
    assert told == [("Contents/XPCServices/Service.xpc/Contents/MacOS/Service", "entitlements +com.example.given=True")]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("given", [GIVEN, None])
def test_libraries_never_get_any(tmp_path: Path, library: str, given: bytes | None) -> None:
    """A pattern that names a framework or a library is an error, and nothing is written."""
    output = tmp_path / "signed" / "Tool.app"
    with pytest.raises(SigningError, match="get no entitlements") as refused:
        signed(bundles.rich_app(tmp_path), output, {library: given})
    assert library in str(refused.value.where)
    assert not output.exists()


def test_preserved_and_dropped(tmp_path: Path) -> None:
    """Signed again, code keeps its entitlements where the configuration says so, and loses them, told, where not."""
    first, second = tmp_path / "1" / "Tool.app", tmp_path / "2" / "Tool.app"
    signed(bundles.rich_app(tmp_path), first, {"Contents/XPCServices/*": GIVEN, "Contents/Helpers/*": GIVEN})
    told = signed(first, second, {"Contents/XPCServices/*": None})
    assert told == [("Contents/Helpers/helper", "entitlements -com.example.given")]
    service = verify_path(second / "Contents/XPCServices/Service.xpc", anchors=DEVELOPER.anchors)
    assert [one.entitlements for one in service] == [{"com.example.given": True}] * 2
