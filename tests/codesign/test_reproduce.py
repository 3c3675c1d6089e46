"""Reproducing signatures of our own: the era is found, and what no era gives is not called reproduced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from builders.chain import SIGNED_AT, developer_id
from builders.mach import fat, image, rpath
from builders.signing import sign, whole

from pipeline.codesign import ERAS, Flags, HashType, SigningOptions, era_named
from pipeline.codesign.cms import build_cms
from pipeline.codesign.code_directory import CodeDirectory
from pipeline.codesign.decisions import decide
from pipeline.codesign.describe import Form
from pipeline.codesign.reproduce import Mode, reproduce
from pipeline.codesign.signer import sign_slice
from pipeline.errors import VerificationError
from pipeline.macho import BytesSource, read_all, read_slices

CHAIN = developer_id(team="ABCDE12345")


def _reproduce(data: bytes) -> object:
    return reproduce(BytesSource(data), read_slices(BytesSource(data)))


@pytest.mark.parametrize("era", [era.name for era in ERAS])
def test_the_era_is_among_those_found(era: str) -> None:
    """What was signed by an era's rules is reproduced by them, the CMS put back."""
    data = fat(image(arch="x86_64", size=5000), image(arch="arm64", size=50_000), alignment=14)
    options = SigningOptions(
        identifier="com.example.tool", anchors=CHAIN.anchors, era=era_named(era), flags=Flags.RUNTIME
    )
    signed = BytesSource(sign(data, options, CHAIN))
    found = reproduce(signed, read_slices(signed))
    assert found.is_identical
    assert (era, Mode.RESIGN) in found.whole_file
    for one in found.slices:
        assert era in one.eras
        assert one.superblob_matches == one.matches


def test_commands_behind_the_signature_tell_the_way() -> None:
    """Removed and added again, LC_CODE_SIGNATURE would stand last: only signing over it gives these bytes."""
    data = BytesSource(sign(image(signature=(-1, 4096), extra=(rpath("@loader_path"),)), SigningOptions()))
    (found,) = reproduce(data, read_slices(data)).slices
    assert found.modes == (Mode.RESIGN,)
    assert found.eras[0] == "macos-26"


def test_another_signers_bytes_are_not_reproduced() -> None:
    """Everything as codesign writes it, but for the room: other signers reckon it in another way."""
    data = BytesSource(image())
    (one,) = read_slices(data)
    inputs = decide([one], SigningOptions(identifier="a.b"), file_name="tool", identity=None)
    for room, form in ((0, Form.OTHER), (32768, Form.CODESIGN)):
        size = 16 * ((len(sign_slice(one, inputs, lambda _directories: b"").superblob) + room) // 16 + 1)
        signed = BytesSource(whole(sign_slice(one, replace(inputs, datasize=size), lambda _directories: b"").parts))
        found = reproduce(signed, read_slices(signed))
        assert not found.is_identical
        assert found.whole_file == ()
        assert [each.form for each in found.slices] == [form]


@pytest.mark.parametrize(
    ("told", "option"),
    [
        ({"hash_types": (HashType.SHA384,)}, "digest-algorithm"),
        ({"page_size": 8192}, "pagesize"),
        ({"runtime_version": 0xC0100, "flags": Flags.RUNTIME}, "runtime-version"),
    ],
)
def test_what_codesign_was_told_is_told(told: dict[str, Any], option: str) -> None:
    """No era's own rules give it; with the option that the signature records they do."""
    signed = BytesSource(sign(image(), SigningOptions(identifier="a.b", **told)))
    found = reproduce(signed, read_slices(signed))
    assert [one.told for one in found.slices] == [(option,)]
    assert ("macos-26", Mode.RESIGN) in found.whole_file


def test_the_room_for_a_cms_can_be_told() -> None:
    """`codesign --signature-size`: believed of a CMS that Apple's encoder wrote, and of an era that needs no more."""
    data = BytesSource(image())
    (one,) = read_slices(data)
    options = SigningOptions(identifier="a.b", anchors=CHAIN.anchors, era=era_named("macos-15"))
    inputs = decide([one], options, file_name="tool", identity=CHAIN.identity)

    def make_cms(directories: Sequence[CodeDirectory]) -> bytes:
        blobs = [directory.blob for directory in directories]
        return build_cms(CHAIN.identity, blobs, options.era, signing_time=SIGNED_AT, timestamper=None)

    signed = BytesSource(whole(sign_slice(one, replace(inputs, datasize=33168), make_cms).parts))
    (found,) = reproduce(signed, read_slices(signed)).slices
    assert found.told == ("signature-size",)
    assert found.eras[0] == "macos-15"


def test_a_slice_cut_out_of_a_universal_file_is_reproduced() -> None:
    """The slice beside it had asked for SHA-1; alone it would not have it."""
    both = fat(image(arch="x86_64", minimum="10.9"), image(arch="arm64"))
    thin = BytesSource(read_all(read_slices(BytesSource(sign(both, SigningOptions(identifier="a.b"))))[1].source))
    (found,) = reproduce(thin, read_slices(thin)).slices
    assert found.told == ("digest-algorithm",)


def test_the_signing_machine_decided_about_digests() -> None:
    """Up to macOS 11 its native slice did: on an Intel Mac this file gets SHA-1, on Apple silicon it does not."""
    both = fat(image(arch="x86_64", minimum="10.9"), image(arch="arm64"))
    for hash_types in ((HashType.SHA1, HashType.SHA256), (HashType.SHA256,)):
        options = SigningOptions(identifier="a.b", era=era_named("macos-11"), hash_types=hash_types)
        signed = BytesSource(sign(both, options))
        for one in reproduce(signed, read_slices(signed)).slices:
            assert "macos-11" in one.eras
            assert one.told == ()


def test_bytes_behind_the_signature_are_told() -> None:
    """The CodeDirectory comes out the same, the whole file does not: an earlier signature left something."""
    signed = sign(image(), SigningOptions(identifier="a.b"))
    residue = BytesSource(signed[:-16] + b"left-over bytes!")
    found = reproduce(residue, read_slices(residue))
    assert found.is_identical
    assert found.whole_file == ()


def test_what_is_not_signed_cannot_be_reproduced() -> None:
    """The slice is named."""
    with pytest.raises(VerificationError, match="not signed") as refused:
        _reproduce(image())
    assert refused.value.where == "slice arm64"
