"""Seals that are properly signed and say what no honest seal says."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import bundles, chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.codesign.options import SigningOptions
from pipeline.codesign.seal_check import parse_seal
from pipeline.codesign.signer import sign_slices
from pipeline.disk import open_source, sign_bundle, verify_path, write_parts
from pipeline.errors import MalformedFile, VerificationError
from pipeline.host import Files
from pipeline.macho import read_slices

DEVELOPER = chain.developer_id()
Values = dict[str, Any]


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    files: bundles.Files = {"Contents/MacOS/second": bundles.universal(), "Contents/Resources/latest": "icon.icns"}
    files = {**files, **bundles.under("Contents/PlugIns/Old.bundle", bundles.plugin("com.example.old", "Old", "BNDL"))}
    output = folder / "signed" / "Tool.app"
    options = SigningOptions(anchors=DEVELOPER.anchors)
    sign_bundle(Files(), bundles.app(folder, files=files), output, options, DEVELOPER.identity)
    return output


def test_a_framework_says_which_of_its_versions_was_not_judged(tmp_path: Path) -> None:
    """As codesign, the current one is judged, and no seal covers another: nobody must take it for verified."""
    engine = bundles.write(tmp_path / "Engine.framework", bundles.framework("Engine"))
    options = SigningOptions(anchors=DEVELOPER.anchors)
    sign_bundle(Files(), engine, engine, options, DEVELOPER.identity)
    before = verify_path(engine, anchors=DEVELOPER.anchors)
    (engine / "Versions/Hidden").mkdir()
    (engine / "Versions/Hidden/Engine").write_bytes(bundles.universal())
    for one, earlier in zip(verify_path(engine, anchors=DEVELOPER.anchors), before, strict=True):
        assert one.not_judged == (*earlier.not_judged, "version Hidden of the framework")


def reseal(bundle: Path, seal: bytes) -> None:
    """Put another seal into a bundle and sign its executable anew, as its developer could."""
    contents = bundle / "Contents"
    (contents / "_CodeSignature/CodeResources").write_bytes(seal)
    options = SigningOptions(
        anchors=DEVELOPER.anchors, info_plist=(contents / "Info.plist").read_bytes(), code_resources=seal
    )
    with open_source(contents / "MacOS/tool") as source:
        plan = sign_slices(
            read_slices(source),
            options,
            file_name="tool",
            identity=DEVELOPER.identity,
            signing_time=chain.SIGNED_AT,
        )
        write_parts(Files(), plan.parts, contents / "MacOS/tool", 0o755)


def values_of(bundle: Path) -> Values:
    found = plistlib.loads((bundle / "Contents/_CodeSignature/CodeResources").read_bytes())
    assert isinstance(found, dict)
    return found


def copy(bundle: Path, folder: Path) -> Path:
    Files().copy_folder(bundle, folder / "copy" / bundle.name)
    return folder / "copy" / bundle.name


def weaken(values: Values) -> None:
    icon = values["files2"]["Resources/icon.icns"]
    icon["hash"] = values["files"]["Resources/icon.icns"]
    del icon["hash2"]


def one_of_two(wrong: str) -> Callable[[Values], None]:
    """Both hashes of a file, one of them another's."""

    def change(values: Values) -> None:
        icon = values["files2"]["Resources/icon.icns"]
        icon["hash"] = values["files"]["Resources/icon.icns"]
        icon[wrong] = bytes(len(icon[wrong]))

    return change


def leave_out(values: Values) -> None:
    values["rules2"]["^Resources/icon"] = {"omit": True, "weight": 5000.0}
    del values["files2"]["Resources/icon.icns"]


def begin_with_nothing(values: Values) -> None:
    values["rules2"] = {"^Resources/icon": True}
    values["files2"] = {"Resources/icon.icns": values["files2"]["Resources/icon.icns"]}


def only_old(values: Values) -> None:
    del values["files2"], values["rules2"]


def entry(name: str, value: object) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        values["files2"][name] = value

    return change


def rule(pattern: str, value: object) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        values["rules2"][pattern] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(weaken, "weaker hash", id="SHA-1 alone"),
        pytest.param(one_of_two("hash"), "content was changed", id="a wrong SHA-1 beside the right SHA-256"),
        pytest.param(one_of_two("hash2"), "content was changed", id="a wrong SHA-256 beside the right SHA-1"),
        pytest.param(leave_out, "leave out more", id="a rule that leaves out"),
        pytest.param(begin_with_nothing, "leave out more", id="no rule for everything"),
        pytest.param(only_old, "first version", id="for old systems alone"),
        pytest.param(entry("Resources/icon.icns", {}), "not one of file", id="an entry that says nothing"),
        pytest.param(entry("Resources/icon.icns", {"hash2": b"short"}), "wrong type", id="a short hash"),
        pytest.param(entry("Resources/icon.icns", {"hash2": "text"}), "wrong type", id="a hash that is a text"),
        pytest.param(entry("Resources/latest", {"symlink": 5}), "wrong type", id="a link that is a number"),
        pytest.param(entry("MacOS/second", {"requirement": 5}), "wrong type", id="a requirement that is a number"),
        pytest.param(
            entry("MacOS/second", {"requirement": "always", "cdhash": "text"}),
            "wrong type",
            id="a CDHash that is a text",
        ),
        pytest.param(entry("Resources/icon.icns", 5), "neither data nor", id="a number"),
        pytest.param(
            entry("Resources/icon.icns", {"hash2": bytes(32), "symlink": "empty"}),
            "not one of file",
            id="two kinds",
        ),
        pytest.param(
            entry("Resources/icon.icns", {"requirement": "never"}), "Resources/icon.icns", id="code that is none"
        ),
        pytest.param(entry("MacOS/second", {"hash2": bytes(32)}), "MacOS/second", id="code as a file"),
        pytest.param(
            entry("PlugIns/Old.bundle", {"hash2": bytes(32)}),
            "a folder where a file was sealed",
            id="a bundle as a file",
        ),
        pytest.param(entry("MacOS/second", {"requirement": "never"}), "MacOS/second", id="a requirement never met"),
        pytest.param(entry("MacOS/second", {"requirement": "or or"}), "MacOS/second", id="a requirement that is none"),
        pytest.param(entry("MacOS/second", {"requirement": "(" * 5000}), "MacOS/second", id="a deep requirement"),
        pytest.param(entry("Resources/gone", {"hash2": bytes(32)}), "Resources/gone", id="a file that is not there"),
        pytest.param(entry("Resources", {"hash2": bytes(32)}), "Contents/Resources", id="a folder as a file"),
        pytest.param(entry("../../../etc/passwd", {"hash2": bytes(32)}), "etc/passwd", id="a path outside"),
        pytest.param(rule("(", True), "pattern", id="a pattern that is none"),
        pytest.param(rule("(a*)*$" * 200, True), "pattern", id="a huge pattern"),
        pytest.param(rule("^x", 7), "^x", id="a rule that is none"),
        pytest.param(lambda values: values.clear(), "no rules or no files", id="empty"),
    ],
)
def test_a_dishonest_seal_is_refused(
    signed: Path, tmp_path: Path, change: Callable[[Values], None], named: str
) -> None:
    """What the seal may not say is refused although it is signed."""
    bundle = copy(signed, tmp_path)
    values = values_of(bundle)
    change(values)
    reseal(bundle, plistlib.dumps(values))
    with pytest.raises(VerificationError) as caught:
        verify_path(bundle, anchors=DEVELOPER.anchors)
    assert named in str(caught.value)


def test_an_honest_seal_written_otherwise_holds(signed: Path, tmp_path: Path) -> None:
    """The same seal in another writer's XML, or in binary, is the same seal."""
    bundle = copy(signed, tmp_path)
    values = values_of(bundle)
    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        reseal(bundle, plistlib.dumps(values, fmt=form))
        assert verify_path(bundle, anchors=DEVELOPER.anchors)


def test_a_seal_whose_names_are_no_texts() -> None:
    """Binary property lists can have keys of any kind; CoreFoundation takes texts alone."""
    name = "Resources/icon.icns"
    values = {"rules2": {"^.*": True}, "files2": {name: {"hash2": bytes(32)}}}
    binary = plistlib.dumps(values, fmt=plistlib.FMT_BINARY)
    assert parse_seal(binary).entries.keys() == {name}
    # A text of ASCII becomes data of the same length.
    text = b"\x5f\x10" + bytes([len(name)]) + name.encode()
    assert text in binary
    with pytest.raises(MalformedFile, match="CodeResources"):
        parse_seal(binary.replace(text, b"\x4f" + text[1:]))


@pytest.mark.parametrize("seal", [b"", b"no", b"bplist00", b"<plist><array/></plist>"])
def test_a_seal_that_is_none(signed: Path, tmp_path: Path, seal: bytes) -> None:
    """A signed CodeResources that is no property list is told as such."""
    bundle = copy(signed, tmp_path)
    reseal(bundle, seal)
    with pytest.raises(VerificationError, match="CodeResources"):
        verify_path(bundle, anchors=DEVELOPER.anchors)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "absolute link"),
        ("../../../outside", "out of the bundle"),
        ("nothing", "to nothing"),
        ("../Info.plist", "not sealed"),
    ],
)
def test_a_sealed_link_may_not_lead_astray(signed: Path, tmp_path: Path, target: str, reason: str) -> None:
    """A link that is sealed as it is, and leads where macOS does not allow, is refused."""
    bundle = copy(signed, tmp_path)
    path = bundle / "Contents/Resources/latest"
    path.unlink()
    path.symlink_to(target)
    values = values_of(bundle)
    values["files2"]["Resources/latest"] = {"symlink": target}
    reseal(bundle, plistlib.dumps(values))
    with pytest.raises(VerificationError, match=reason):
        verify_path(bundle, anchors=DEVELOPER.anchors)


LEAVES = st.none() | st.booleans() | st.integers(-5, 5000) | st.floats() | st.text(max_size=5) | st.binary(max_size=40)
TREES = st.recursive(
    LEAVES.filter(lambda leaf: leaf is not None),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["hash", "hash2", "symlink", "requirement", "cdhash", "optional", "weight", "omit", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["files", "files2", "rules", "rules2"]), TREES | st.dictionaries(st.text(max_size=4), TREES)
    )
)
def test_any_property_list_is_a_seal_or_malformed(values: Values) -> None:
    """Whatever a property list holds, it is a seal or it is told that it is none."""
    data = plistlib.dumps(values, fmt=plistlib.FMT_BINARY)
    try:
        seal = parse_seal(data)
    except MalformedFile:
        return
    assert seal.version == (2 if "files2" in values else 1)
    assert seal.entries.keys() == values["files2" if seal.version == 2 else "files"].keys()
