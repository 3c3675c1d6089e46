"""Every option of signing, given to both toolchains: what one makes of it, the other makes too.

The doubles sign with our own engine, so equal hashes say that the option arrived; that it has an effect at all is seen
from the hashes of a product without it.
"""

from __future__ import annotations

import io
import plistlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import bundles
from builders.apple import log_of, new_apple_workshop, new_portable_workshop
from builders.signing import sign, signatures
from builders.workshop import Workshop

from pipeline import disk
from pipeline.codesign import SigningOptions

_JIT = {"com.apple.security.cs.allow-jit": True}
_CLIENT = {"com.apple.security.network.client": True}
_HELPER, _JAR = "Contents/Helpers/helper", "Contents/Resources/native.jar"
_PARTS = f"""
[product.app.contents]
"{_HELPER}" = "parts/helper"
"{_JAR}" = "parts/native.jar"
"""
# Product → what it has that others have not.
TOOLS = {
    "plain": "",
    "named": 'identifier = "com.example.other"\n',
    "entitled": '[product.sign]\nentitlements = "jit.plist"\n',
    "undebugged": '[product.sign]\ndebug-entitlements = "none"\n',
    "debugged": '[product.sign]\ndebug-entitlements = "jit.plist"\n',
    "older": '[product.sign]\nera = "macos-11"\n',
}
APPS = {
    "app": "[product.app]\n",
    "pattern": '[product.app.entitlements]\n"Contents/Helpers/*" = "jit.plist"\n',
    "preserve": '[product.app.entitlements]\n"Contents/Helpers/*" = "preserve"\n',
    "jars": "[product.app]\nsign-archives = true\n",
    "jars-pattern": "[product.app]\nsign-archives = true\n"
    '[product.app.entitlements]\n"**/*.jar!/native/helper" = "jit.plist"\n',
    "jars-preserve": "[product.app]\nsign-archives = true\n"
    '[product.app.entitlements]\n"**/*.jar!/native/helper" = "preserve"\n',
    "profiled": '[product.app]\nprovisioning-profile = "a.provisionprofile"\n',
    "pictured": '[product.app]\nicon = "a.icns"\n',
}


def _configuration() -> str:
    products = [(name, f"debug = true\n{more}") for name, more in TOOLS.items()]
    products += [(name, more + _PARTS) for name, more in APPS.items()]
    texts = []
    for name, more in products:
        identifier = "" if "identifier" in more else 'identifier = "com.example.same"\n'
        common = f'name = "{name}"\nsource = "source"\narchitectures = ["arm64"]\n'
        texts.append(f"[[product]]\n{common}{identifier}{more}\n")
    return "".join(texts) + '[build]\ncommand = {command}\nminimum-macos = { arm64 = "11.0" }\n'


def _parts() -> bundles.Files:
    """What the configuration names; the code in it has a signature with entitlements of its own."""
    entitlements = plistlib.dumps(_CLIENT)
    helper = sign(bundles.universal(), SigningOptions(identifier="before", entitlements=entitlements))
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as opened:
        opened.writestr("native/helper", helper)
        opened.writestr("native/libnative.dylib", bundles.universal("dylib"))
        opened.writestr("native/notes.txt", b"no code")
    return {
        "parts/helper": helper,
        "parts/native.jar": jar.getvalue(),
        "jit.plist": plistlib.dumps(_JIT),
        "a.provisionprofile": b"a profile",
        "a.icns": b"icns" + bytes(60),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What signing left, by product; hashes are CDHashes."""

    tools: dict[str, str]
    """`<product>`, `DEBUG_<product>` → of the thin file."""
    inside: dict[str, dict[str, dict[str, str]]]
    """Path in the app → architecture → of all code but its executable, that in the jar too."""
    executables: dict[str, str]
    sealed: dict[str, set[str]]
    """Paths that the app's seal names."""
    told: set[tuple[str, str, str]]
    """Artifact, path in it, words."""


def _seen(workshop: Workshop) -> Seen:
    outputs = workshop.outputs
    tools = {}
    for path in (outputs / "arm64").iterdir():
        tools[path.name] = signatures(path.read_bytes())[0].best.cdhash.hex()
    inside, executables, sealed = {}, {}, {}
    for name in APPS:
        app = outputs / "universal" / f"{name}.app"
        hashes = disk.code_hashes(app)
        executables[name] = hashes.pop(f"Contents/MacOS/{name}")["arm64"]
        with zipfile.ZipFile(app / _JAR) as jar:
            for member in ("native/helper", "native/libnative.dylib") if "jars" in name else ("native/helper",):
                both = signatures(jar.read(member))
                hashes[f"{_JAR}!/{member}"] = {str(number): one.best.cdhash.hex() for number, one in enumerate(both)}
        inside[name] = hashes
        seal = plistlib.loads((app / "Contents/_CodeSignature/CodeResources").read_bytes())
        sealed[name] = set(seal["files2"])
    told = {
        (line["artifact"], line.get("path", ""), line["words"]) for line in log_of(workshop) if line["event"] == "told"
    }
    return Seen(tools=tools, inside=inside, executables=executables, sealed=sealed, told=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    apple: Seen
    portable: Seen
    said: str
    """By Apple's toolchain on the console."""


@pytest.fixture(scope="module")
def both(prebuilt: Path, program: str, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """One release of all these products up to its apps, by either toolchain with the same keys."""
    body = _configuration()
    apple = new_apple_workshop(tmp_path_factory.mktemp("apple"), prebuilt, program=program)
    portable = new_portable_workshop(tmp_path_factory.mktemp("portable"), prebuilt, keys=apple.outputs / "rehearsal")
    said, parts = "", _parts()
    for workshop in (apple, portable):
        bundles.write(workshop.folder, parts)
        tools = apple.folder.parent / "tools" if workshop is apple else None
        workshop.configure(body=body, tools=tools)
        for stage in ("build", "sign", "universal", "app"):
            ran = workshop.invoke(stage)
            assert ran.code == 0, ran.err
            said += ran.err if workshop is apple else ""
    return Both(apple=_seen(apple), portable=_seen(portable), said=said)


def test_options_of_a_tool_change_both_alike(both: Both) -> None:
    """Identifier and entitlements, of the program and of its DEBUG twin, give the same CDHashes."""
    obeyed = {name: one for name, one in both.portable.tools.items() if "older" not in name}
    assert {name: one for name, one in both.apple.tools.items() if "older" not in name} == obeyed


@pytest.mark.parametrize(
    ("product", "release", "debug"),
    [("named", True, True), ("entitled", True, False), ("undebugged", False, True), ("debugged", False, True)],
)
def test_options_of_a_tool_have_an_effect(both: Both, product: str, release: bool, debug: bool) -> None:
    """Each option changes exactly the binaries that it is for."""
    for seen in (both.apple, both.portable):
        assert (seen.tools[product] != seen.tools["plain"]) is release
        assert (seen.tools[f"DEBUG_{product}"] != seen.tools["DEBUG_plain"]) is debug


def test_an_era_that_codesign_cannot_obey_is_told(both: Both) -> None:
    """The portable toolchain makes the older bytes; Apple's says of each file that it does not, on console and log."""
    assert both.portable.tools["older"] != both.portable.tools["plain"]
    assert both.apple.tools["older"] == both.apple.tools["plain"]
    words = "era macos-11 is not obeyed: codesign makes the bytes of its own generation"
    told = {artifact for artifact, _path, said in both.apple.told if said == words}
    assert told == {"arm64/older", "arm64/DEBUG_older"}
    assert f"arm64/older: {words}" in both.said


def test_options_of_code_inside_change_both_alike(both: Both) -> None:
    """Patterns of entitlements, `preserve`, code in archives: every nested CDHash is the same, and so is the seal.

    Where code in an archive is signed, the time in its signature enters the seal, and with it the app's own CDHash.
    """
    assert both.apple.inside == both.portable.inside
    assert both.apple.sealed == both.portable.sealed
    timeless = [name for name in APPS if "jars" not in name]
    executables = [{name: seen.executables[name] for name in timeless} for seen in (both.apple, both.portable)]
    assert executables[0] == executables[1]


def test_options_of_code_inside_have_an_effect(both: Both) -> None:
    """Each pattern gives its code another CDHash; without one it loses its entitlements; archives only where asked."""
    inside = both.apple.inside
    helpers = [inside[name][_HELPER]["arm64"] for name in ("app", "pattern", "preserve")]
    assert len(set(helpers)) == 3
    members = [inside[name][f"{_JAR}!/native/helper"]["1"] for name in ("app", "jars", "jars-pattern", "jars-preserve")]
    assert len(set(members)) == 4
    assert both.apple.sealed["profiled"] - both.apple.sealed["app"] == {"embedded.provisionprofile"}
    assert both.apple.sealed["pictured"] - both.apple.sealed["app"] == {"Resources/a.icns"}


def test_both_tell_the_same_of_what_signing_changes(both: Both) -> None:
    """Every change of entitlements, and code in archives that is left as it is: the same words of the same paths."""
    about_eras = {one for one in both.apple.told if one[2].startswith("era ")}
    assert both.apple.told - about_eras == both.portable.told
    new, lost = "entitlements +com.apple.security.cs.allow-jit=True", "entitlements -com.apple.security.network.client"
    assert ("arm64/entitled", "", new) in both.apple.told
    assert ("universal/app.app", _HELPER, lost) in both.apple.told
    assert ("universal/jars.app", f"{_JAR}!/native/helper", lost) in both.apple.told
    unsigned = "holds code, which the notary wants signed: native/helper, native/libnative.dylib"
    assert ("universal/app.app", _JAR, unsigned) in both.apple.told
    assert not [path for app, path, _words in both.apple.told if app == "universal/preserve.app" and path == _HELPER]


def test_a_library_is_entitled_by_neither(prebuilt: Path, program: str, tmp_path: Path) -> None:
    """A pattern that matches a library stops both with exit 4 and the same words, and nothing is left."""
    more = (
        '[product.app.contents]\n"Contents/Frameworks/l.dylib" = "l.dylib"\n'
        '[product.app.entitlements]\n"Contents/Frameworks/*" = "jit.plist"\n'
    )
    body = (
        '[product]\nname = "tool"\nidentifier = "com.example.tool"\nsource = "source"\narchitectures = ["arm64"]\n'
        f"[build]\ncommand = {{command}}\n{more}"
    )
    apple = new_apple_workshop(tmp_path / "apple", prebuilt, program=program)
    portable = new_portable_workshop(tmp_path / "portable", prebuilt, keys=apple.outputs / "rehearsal")
    for workshop, tools in ((apple, apple.folder.parent / "tools"), (portable, None)):
        bundles.write(workshop.folder, {"l.dylib": bundles.universal("dylib"), "jit.plist": plistlib.dumps(_JIT)})
        workshop.configure(body=body, tools=tools)
        ran = workshop.invoke("release")
        assert ran.code == 4, ran.err
        assert "Contents/Frameworks/l.dylib: frameworks, libraries and plug-ins get no entitlements" in ran.err
        assert not (workshop.outputs / "universal" / "tool.app").exists()


@pytest.mark.parametrize(("identity", "code"), [("REHEARSAL", 0), ("Developer ID Application: Nobody", 10)])
def test_the_identity_is_the_one_that_is_named(
    prebuilt: Path, program: str, tmp_path: Path, identity: str, code: int
) -> None:
    """A part of its name finds it in the keychains; a name that nobody has is exit 10, and nothing is signed."""
    body = (
        '[product]\nname = "tool"\nidentifier = "com.example.tool"\nsource = "source"\narchitectures = ["arm64"]\n'
        f'[product.sign]\nidentity = "{identity}"\n[build]\ncommand = {{command}}\n'
    )
    workshop = new_apple_workshop(tmp_path, prebuilt, program=program, body=body)
    assert workshop.invoke("build").code == 0
    ran = workshop.invoke("sign")
    assert ran.code == code, ran.err
    assert (workshop.outputs / "arm64" / "tool").exists() is (code == 0)
    assert code == 0 or identity in ran.err
