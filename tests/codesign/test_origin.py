"""Is a signed slice the build's own code? Every byte is held against the build's; what signing explains is named."""

from __future__ import annotations

import random

import pytest
from builders.mach import compiled, image
from builders.signing import sign

from pipeline.codesign.options import SigningOptions
from pipeline.codesign.origin import verify_origin
from pipeline.errors import VerificationError
from pipeline.macho import BytesSource, MachSlice, read_slices

OPTIONS = SigningOptions(identifier="org.example.tool")


def only(data: bytes) -> MachSlice:
    (one,) = read_slices(BytesSource(data))
    return one


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_what_was_signed_is_what_was_built(arch: str) -> None:
    """A compiler's output, signed, is proven to be the compiler's output; what signing left behind is named."""
    built = compiled(arch)
    words = verify_origin(only(sign(built, OPTIONS)), only(built))
    assert any("__LINKEDIT" in one for one in words)
    assert any("linker" in one for one in words) == (only(built).image.signature is not None)


def test_without_a_signature_nothing_differs() -> None:
    """The build held against itself: the very bytes."""
    built = image()
    assert verify_origin(only(built), only(built)) == ()


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_another_byte_is_found(arch: str) -> None:
    """Wherever in the code one bit of the build is other, no explanation covers it."""
    built = compiled(arch)
    signed = only(sign(built, OPTIONS))
    own = only(built).image
    end = own.signature.dataoff if own.signature else own.size
    chance = random.Random(7)
    for position in (chance.randrange(len(own.head) + 16, end) for _ in range(60)):
        other = bytearray(built)
        other[position] ^= 0x10
        with pytest.raises(VerificationError, match=f"{arch}.*{position:#x}"):
            verify_origin(signed, only(bytes(other)))


def test_another_program_is_refused() -> None:
    """Another output of the same source is another program."""
    with pytest.raises(VerificationError, match="arm64"):
        verify_origin(only(sign(compiled("arm64"), OPTIONS)), only(compiled("arm64", "dylib")))
