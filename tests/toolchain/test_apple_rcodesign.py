"""The options of a release reach a signer that is not ours: rcodesign behind the double of codesign.

Both sign the same files. Every field of the CodeDirectories has to be the same, but for the differences that are named
here with their reasons.
"""

from __future__ import annotations

import plistlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
from builders.apple_host import REQUEST, Mac
from builders.clients import need

from pipeline import disk
from pipeline.codesign.code_directory import CodeDirectory
from pipeline.codesign.entitlements import parse_entitlements
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.superblob import Slot
from pipeline.macho import Image, read_slices
from pipeline.macho import constants as c

pytestmark = pytest.mark.rcodesign

# codesign of macOS 12 hashes arm64 in pages of 4 KiB, as rcodesign always does; later ones in pages of 16 KiB.
_PAGES_OF_4_KIB = replace(REQUEST, era="macos-12")
REQUESTS = {
    "plain": _PAGES_OF_4_KIB,
    "another identifier": replace(_PAGES_OF_4_KIB, identifier="org.example.another"),
    "entitled": replace(_PAGES_OF_4_KIB, entitlements=plistlib.dumps({"com.apple.security.cs.allow-jit": True})),
    "debugged": replace(
        _PAGES_OF_4_KIB,
        entitlements=plistlib.dumps({"com.apple.security.get-task-allow": True, "com.example.list": ["a", 3, False]}),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    image: Image
    signature: Signature
    bytes: bytes

    @property
    def directory(self) -> CodeDirectory:
        return self.signature.best


def slices(path: Path) -> list[Signed]:
    with disk.open_source(path) as source:
        found = [(one.image, read_signature(one), one.source.read(0, one.source.size)) for one in read_slices(source)]
    return [Signed(image=image, signature=signature, bytes=data) for image, signature, data in found if signature]


def told(one: Signed) -> dict[str, object]:
    """Every field of the CodeDirectory, but for three.

    `blob` is all of it, and `code` is judged page by page. Slot 5 holds the user's own XML word for word with codesign
    and with us; rcodesign writes the same values in XML of its own.
    """
    special = [digest for slot, digest in enumerate(one.directory.special, 1) if slot != Slot.ENTITLEMENTS]
    own = {field.name: getattr(one.directory, field.name) for field in fields(one.directory)}
    xml = one.signature.payload(Slot.ENTITLEMENTS)
    del own["blob"], own["code"]
    return own | {"special": special, "entitlements": parse_entitlements(xml) if xml else None}


def demand_same_code(ours: Signed, theirs: Signed) -> None:
    """All pages but the first have one digest. In the first one differs the room for the signature, an estimate that
    each signer makes in its own way: LC_CODE_SIGNATURE's size, and the sizes of __LINKEDIT, which holds it."""
    page = ours.directory.page_size
    assert len(ours.directory.code) == len(theirs.directory.code)
    changed = [
        number
        for number in range(ours.directory.code_slots)
        if ours.directory.code_hash(number) != theirs.directory.code_hash(number)
    ]
    assert changed == [0]
    allowed = {
        offset
        for command in ours.image.commands
        for offset in range(command.offset, command.offset + len(command.data))
        if command.number == c.LC_CODE_SIGNATURE or command.data[8:24].startswith(b"__LINKEDIT")
    }
    differing = {at for at in range(page) if ours.bytes[at] != theirs.bytes[at]}
    assert differing
    assert differing <= allowed


def test_every_option_reaches_rcodesign(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """Thin files of both architectures and the file that joins them: rcodesign's CodeDirectories are ours."""
    mac.bench.set(rcodesign=str(need("rcodesign")))
    seen = []
    for name, request in REQUESTS.items():
        (tmp_path / name).mkdir()
        for arch in ("x86_64", "arm64"):
            ours, theirs = tmp_path / name / f"{arch}.ours", tmp_path / name / f"{arch}.theirs"
            mac.engine.sign(thins / arch, ours, request)
            mac.toolchain().sign(thins / arch, theirs, request)
            ((one,), (other,)) = slices(ours), slices(theirs)
            assert told(other) == told(one)
            demand_same_code(one, other)
            seen.append(told(one))
        joined = tmp_path / name / "both"
        mac.toolchain().join([tmp_path / name / f"{arch}.theirs" for arch in ("x86_64", "arm64")], joined)
        assert [told(one) for one in slices(joined)] == seen[-2:]
    assert not [one for at, one in enumerate(seen) if one in seen[:at]]


def test_rcodesign_hashes_smaller_pages_than_todays_codesign(mac: Mac, thins: Path, tmp_path: Path) -> None:
    """The one field beside those that is known to differ, and only on arm64."""
    mac.bench.set(rcodesign=str(need("rcodesign")))
    for arch, ours in (("x86_64", 4096), ("arm64", 16384)):
        mac.engine.sign(thins / arch, tmp_path / f"{arch}.ours", REQUEST)
        mac.toolchain().sign(thins / arch, tmp_path / f"{arch}.theirs", REQUEST)
        ((one,), (other,)) = slices(tmp_path / f"{arch}.ours"), slices(tmp_path / f"{arch}.theirs")
        assert (one.directory.page_size, other.directory.page_size) == (ours, 4096)
        assert told(one) | {"page_size": 4096} == told(other)
