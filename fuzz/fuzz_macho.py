"""Thin images and universal files."""

import atheris
from harness import fuzz

with atheris.instrument_imports(include=["pipeline"]):
    from pipeline.macho import BytesSource, read_slices

from builders.mach import fat, image

fuzz(
    lambda data: read_slices(BytesSource(data)),
    [image(), image(arch="i386", kind="dylib"), fat(image(arch="x86_64"), image(signature=(-1, 64)))],
)
