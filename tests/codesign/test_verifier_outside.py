"""Verification of what lies outside of the code: a bundle's Info.plist and seal, and a plist embedded in it."""

from __future__ import annotations

import hashlib
import plistlib

import pytest
from builders.chain import developer_id
from builders.mach import image
from builders.signing import refused, sign, verify

from pipeline.codesign import Expectations, SigningOptions, verify_slices
from pipeline.errors import VerificationError
from pipeline.macho import BytesSource

CHAIN = developer_id(team="ABCDE12345")
PLIST = plistlib.dumps({"CFBundleIdentifier": "com.example.tool"})
SEAL = b"<plist/>"


def _bundled() -> bytes:
    return sign(image(), SigningOptions(identifier="a.b", info_plist=PLIST, code_resources=SEAL))


def _plain() -> bytes:
    return sign(image(), SigningOptions(identifier="a.b"))


def test_a_bundles_parts_are_judged_where_they_are_given() -> None:
    """Without them it is said that they are not."""
    (found,) = verify(_bundled(), CHAIN)
    assert [reason.partition(":")[0] for reason in found.not_judged[:2]] == [
        "Info.plist (slot 1)",
        "CodeResources (slot 3)",
    ]
    given = Expectations(anchors=CHAIN.anchors, info_plist=PLIST, code_resources=SEAL)
    (found,) = verify_slices(BytesSource(_bundled()), given)
    assert found.not_judged == ("who signed it: it is ad hoc",)


@pytest.mark.parametrize(
    ("expected", "where"),
    [
        ({"info_plist": PLIST + b"\n"}, "slice arm64: Info.plist (slot 1)"),
        ({"code_resources": b"<plist />"}, "slice arm64: CodeResources (slot 3)"),
    ],
)
def test_a_bundles_changed_part_is_refused(expected: dict[str, bytes], where: str) -> None:
    """Told by its slot."""
    assert refused(_bundled(), CHAIN, **expected).where == where


def test_a_part_that_was_never_sealed_is_refused() -> None:
    """A bundle whose executable knows nothing of its Info.plist or its resources."""
    for expected in ({"info_plist": PLIST}, {"code_resources": SEAL}):
        assert "no hash of it" in refused(_plain(), CHAIN, **expected).message


def test_an_embedded_plist_must_be_the_one_that_was_signed() -> None:
    """It lies in a page too, so the page is told first; a signature without it is refused by its slot."""
    with pytest.raises(VerificationError, match="its hash is not") as told:
        verify(sign(image(info_plist=PLIST), SigningOptions(identifier="a.b", info_plist=PLIST + b" ")), CHAIN)
    assert told.value.where == "slice arm64: Info.plist (slot 1)"


def test_code_directories_that_seal_different_parts_are_refused() -> None:
    """One vouches for the resources of the bundle, the other does not; the file alone cannot tell what is right."""
    data = sign(
        image(arch="x86_64", minimum="10.9"), SigningOptions(identifier="a.b", info_plist=PLIST, code_resources=SEAL)
    )
    sealed = hashlib.sha256(SEAL).digest()
    error = refused(data.replace(sealed, bytes(32)), CHAIN)
    assert error.where == "slice x86_64: CodeDirectory sha256"
