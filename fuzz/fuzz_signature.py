"""Signed files: verified, described, signed again, stripped."""

import atheris
from harness import fuzz

with atheris.instrument_imports(include=["pipeline"]):
    from pipeline.codesign import Expectations, SigningOptions, verify_slices
    from pipeline.codesign.describe import describe, render
    from pipeline.codesign.options import NO_ANCHORS
    from pipeline.codesign.reproduce import reproduce
    from pipeline.macho import BytesSource, read_slices

from builders.chain import developer_id
from builders.mach import image
from builders.signing import sign


def read(data: bytes) -> None:
    source = BytesSource(data)
    slices = read_slices(source)
    render(describe(slices))
    reproduce(source, slices)
    verify_slices(source, Expectations(anchors=NO_ANCHORS))


chain = developer_id()
options = SigningOptions(identifier="a.b", anchors=chain.anchors, entitlements=b"<plist><dict/></plist>")
fuzz(read, [sign(image(), SigningOptions()), sign(image(arch="x86_64", minimum="10.9"), options, chain)])
