"""The parts of a signature, each by its own parser: the first byte chooses which."""

import atheris
from harness import fuzz

with atheris.instrument_imports(include=["pipeline"]):
    from pipeline import manifest
    from pipeline.codesign.cms import parse_cms
    from pipeline.codesign.code_directory import parse_code_directory
    from pipeline.codesign.constraints import parse_constraint_der
    from pipeline.codesign.entitlements import parse_entitlements, parse_entitlements_der
    from pipeline.codesign.identifiers import parse_info_plist
    from pipeline.codesign.requirements import compile_requirements, requirement_text
    from pipeline.codesign.seal_check import parse_seal
    from pipeline.codesign.seal_rules import RuleSet
    from pipeline.codesign.signature import parse_signature
    from pipeline.codesign.timestamp_token import parse_token
    from pipeline.journal import verify_chain
    from pipeline.launchd import parse_job
    from pipeline.notary import parse_log
    from pipeline.tickets import parse_ticket

from builders.chain import developer_id
from builders.mach import image
from builders.signing import sign, signatures

from pipeline.codesign import SigningOptions

PARSERS = (
    parse_signature,
    parse_code_directory,
    requirement_text,
    parse_entitlements,
    parse_entitlements_der,
    parse_constraint_der,
    parse_cms,
    parse_token,
    parse_ticket,
    parse_info_plist,
    lambda data: compile_requirements(data.decode("utf-8", "replace")),
    parse_job,
    lambda data: RuleSet(parse_seal(data).rules).find("Resources/a"),
    parse_log,
    manifest.from_bytes,
    verify_chain,
)


def read(data: bytes) -> None:
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])


chain = developer_id()
options = SigningOptions(identifier="a.b", anchors=chain.anchors, entitlements=b"<plist><dict/></plist>")
(found,) = signatures(sign(image(), options, chain))
blobs = {blob.slot: blob.data for blob in found.blobs}
fuzz(
    read,
    [
        b"\0" + found.superblob,
        b"\1" + blobs[0],
        b"\2" + blobs[2][28:],
        b"\3<plist><dict><key>a</key><true/></dict></plist>",
        b"\4" + blobs[7][8:],
        b"\6" + found.cms,
        b"\x0b<plist><dict><key>Label</key><string>a</string></dict></plist>",
        b"\x0c<plist><dict><key>files2</key><dict/><key>rules2</key><dict><key>^.*</key><true/></dict></dict></plist>",
        b'\x0d{"status": "Accepted", "issues": [], "ticketContents": []}',
        b'\x0e{"schema": 1, "artifacts": []}',
        b'\x0adesignated => identifier "a.b" and anchor apple generic',
    ],
)
