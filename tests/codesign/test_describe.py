"""A signature as facts and as text, and two of them compared."""

from __future__ import annotations

import json
import plistlib

from builders.chain import developer_id
from builders.mach import fat, image
from builders.signing import sign

from pipeline.codesign import Flags, SigningOptions
from pipeline.codesign.describe import Difference, describe, differences, render
from pipeline.macho import BytesSource, read_slices

CHAIN = developer_id(team="ABCDE12345")


def _facts(data: bytes) -> list[dict[str, object]]:
    return describe(read_slices(BytesSource(data)))


AD_HOC = """\
- arch: arm64
  offset: 0
  size: 34720
  file_type: execute
  uuid: 000102030405060708090a0b0c0d0e0f
  platform: macos
  minimum: 11.0
  sdk: 14.5
  signature:
    form: codesign
    cdhash: {cdhash}
    identifier: com.example.tool
    team: none
    flags:
      - adhoc
      - runtime
    offset: 16416
    reserved: 18304
    length: 297
    residue: no
    code_directories:
      - hash_type: sha256
        version: 0x20500
        cdhash: {cdhash}
        full_cdhash: {full_cdhash}
        flags: 0x10002
        identifier: com.example.tool
        team: none
        platform: 0
        page_size: 16384
        code_limit: 16416
        pages: 2
        pages_sha256: {pages_sha256}
        executable_segment:
          base: 0
          limit: 16384
          flags: 0x1
        runtime: 14.5
        special_slots:
          requirements (slot 2): 987920904eab650e75788c054aa0b0524e6a80bfc71aa32df8d237a61743f986
    requirements: none
    cms: none
    blobs:
      - slot: CodeDirectory (slot 0)
        length: 241
        sha256: {directory_sha256}
      - slot: requirements (slot 2)
        length: 12
        sha256: 987920904eab650e75788c054aa0b0524e6a80bfc71aa32df8d237a61743f986
      - slot: CMS signature (slot 0x10000)
        length: 8
        sha256: {cms_sha256}"""


def test_an_ad_hoc_signature_reads_so() -> None:
    """The whole text of a small one: nobody needs to know the format to read it."""
    signed = sign(image(), SigningOptions(identifier="com.example.tool", flags=Flags.RUNTIME))
    (facts,) = _facts(signed)
    directory = facts["signature"]["code_directories"][0]  # type: ignore[index]
    blobs = facts["signature"]["blobs"]  # type: ignore[index]
    digests = {name: directory[name] for name in ("cdhash", "full_cdhash", "pages_sha256")}
    expected = AD_HOC.format(**digests, directory_sha256=blobs[0]["sha256"], cms_sha256=blobs[2]["sha256"])
    assert render([facts]) == expected


def test_facts_are_json() -> None:
    """With every kind of value that entitlements can hold."""
    entitlements = plistlib.dumps({"text": "ü\u202e", "list": [1, True, {"deep": "x"}], "number": -5})
    options = SigningOptions(identifier="a.b", anchors=CHAIN.anchors, entitlements=entitlements)
    facts = _facts(sign(fat(image(arch="x86_64"), image()), options, CHAIN))
    assert json.loads(json.dumps(facts)) == facts
    assert facts[0]["signature"]["entitlements"]["list"] == [1, True, {"deep": "x"}]  # type: ignore[index]
    assert "\u202e" not in render(facts)


def test_a_file_without_a_signature_says_so() -> None:
    """And one whose signature is broken says how, in its place."""
    assert _facts(image())[0]["signature"] is None
    broken = _facts(image(signature=(-1, 64)))[0]["signature"]
    assert isinstance(broken, dict)
    assert "blob" in broken["error"]


def test_two_signatures_differ_field_by_field() -> None:
    """Nothing for the same, one line for each field that is not, slices paired by their architecture."""
    one = sign(fat(image(arch="x86_64"), image()), SigningOptions(identifier="a.b"))
    same = sign(fat(image(), image(arch="x86_64")), SigningOptions(identifier="a.b"))
    assert {each.field.split(": ")[1] for each in differences(_facts(one), _facts(same))} <= {"offset"}
    other = sign(image(), SigningOptions(identifier="a.c", flags=Flags.KILL))
    found = {each.field: each for each in differences(_facts(one), _facts(other))}
    assert found["arm64: signature: identifier"] == Difference(
        field="arm64: signature: identifier", one="a.b", other="a.c"
    )
    assert found["arm64: signature: flags"].other == "adhoc, kill"
    assert found["x86_64: signature: identifier"].other is None
    assert "arm64: signature: code_directories: sha256: page_size" not in found
