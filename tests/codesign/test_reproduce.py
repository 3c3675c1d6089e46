"""Reproducing signatures of our own: the era is found, and what no era gives is not called reproduced."""

from __future__ import annotations

import pytest
from builders.chain import developer_id
from builders.mach import fat, image, rpath
from builders.signing import sign

from pipeline.codesign import ERAS, Flags, HashType, SigningOptions, era_named
from pipeline.codesign.reproduce import Mode, reproduce
from pipeline.errors import VerificationError
from pipeline.macho import BytesSource, read_slices

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
    """A CodeDirectory that no era gives: a hash that codesign has never chosen by itself."""
    signed = sign(image(), SigningOptions(identifier="a.b", hash_types=(HashType.SHA384,)))
    found = reproduce(BytesSource(signed), read_slices(BytesSource(signed)))
    assert not found.is_identical
    assert found.whole_file == ()


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
