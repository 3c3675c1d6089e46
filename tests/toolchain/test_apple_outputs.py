"""What Apple's tools print, as public runs have it, and texts that must never pass for success."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CredentialsError
from pipeline.toolchain.apple.codesign import parse_display
from pipeline.toolchain.apple.gatekeeper import parse_assessment
from pipeline.toolchain.apple.identities import KeychainIdentity, choose, parse_identities
from pipeline.toolchain.apple.lipo import parse_archs

# flutter/flutter, a test of its signing tool: codesign -dvvv of a notarized bare tool.
DISPLAY = """\
Executable=/private/tmp/mybinary
Identifier=mybinary
Format=Mach-O thin (x86_64)
CodeDirectory v=20500 size=38000 flags=0x10000(runtime) hashes=1177+7 location=embedded
Signature size=8979
Authority=Developer ID Application: EXAMPLE (TEAMID)
Authority=Developer ID Certification Authority
Authority=Apple Root CA
Timestamp=Jan 9, 2023 at 9:39:07 AM
Info.plist=not bound
TeamIdentifier=TEAMID
Runtime Version=13.1.0
Sealed Resources=none
Internal requirements count=1 size=164
"""
ONE = KeychainIdentity(sha1="C9" * 20, name="Developer ID Application: Example (TEAMID)", problem=None)
OTHER = KeychainIdentity(sha1="D0" * 20, name="Developer ID Application: Example (TEAMID)", problem=None)
REVOKED = KeychainIdentity(sha1="EE" * 20, name="Developer ID Application: Old", problem="CSSMERR_TP_CERT_REVOKED")


def test_a_real_display_is_read() -> None:
    """Identifier, flags, chain, time stamp and team of a real report; what it does not tell is None."""
    shown = parse_display(DISPLAY)
    assert (shown.identifier, shown.format, shown.flags, shown.team) == (
        "mybinary",
        "Mach-O thin (x86_64)",
        ("runtime",),
        "TEAMID",
    )
    assert shown.authorities[0] == "Developer ID Application: EXAMPLE (TEAMID)"
    assert len(shown.authorities) == 3
    assert shown.timestamp == "Jan 9, 2023 at 9:39:07 AM"
    assert (shown.signed_time, shown.cdhash, shown.stapled) == (None, None, False)


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("CodeDirectory v=20400 size=1 flags=0x2(adhoc) hashes=1+2 location=embedded", ("adhoc",)),
        ("CodeDirectory v=20400 size=1 flags=0x20002(adhoc,linker-signed) hashes=1+0", ("adhoc", "linker-signed")),
        ("CodeDirectory v=20200 size=1 flags=0x0(none) hashes=1+2 location=embedded", ()),
        ("CodeDirectory v=20200", ()),
    ],
)
def test_flags_are_read(line: str, flags: tuple[str, ...]) -> None:
    """codesign's names of flags; `none` is none."""
    assert parse_display(line + "\nSignature=adhoc\nTeamIdentifier=not set\n").flags == flags
    assert parse_display(line + "\nTeamIdentifier=not set\n").team is None


def test_a_signed_time_is_no_time_stamp() -> None:
    """What stands there instead of a secure time stamp is not taken for one."""
    shown = parse_display(DISPLAY.replace("Timestamp=", "Signed Time="))
    assert shown.timestamp is None
    assert shown.signed_time is not None


def test_the_list_of_identities_is_read() -> None:
    """Number, SHA-1 and name of each; a revoked one is listed and counted, and has its problem."""
    text = (
        f'  1) {ONE.sha1} "{ONE.name}"\n  2) {REVOKED.sha1} "{REVOKED.name}" (CSSMERR_TP_CERT_REVOKED)\n'
        "     2 valid identities found\n"
    )
    assert parse_identities(text) == (ONE, REVOKED)
    assert parse_identities("     0 valid identities found\n") == ()


@pytest.mark.parametrize(
    "text",
    ["", "     1 valid identities found\n", f'  1) {ONE.sha1} "{ONE.name}"\n', f"  1) {ONE.sha1[:39]} x\n"],
)
def test_a_list_that_does_not_add_up_is_refused(text: str) -> None:
    """A list without its count, or with another count, is not understood."""
    with pytest.raises(CredentialsError, match="not understood"):
        parse_identities(text)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(ONE.sha1, ONE), (ONE.sha1.lower(), ONE), (OTHER.sha1, OTHER)],
)
def test_a_hash_means_one(wanted: str, chosen: KeychainIdentity) -> None:
    """A SHA-1 chooses between two of one name."""
    assert choose([ONE, OTHER, REVOKED], wanted) == chosen


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("Developer ID Application: Example (TEAMID)", "several match"),
        (None, "several match"),
        ("Developer ID Application: Old", "CERT_REVOKED"),
        ("Nobody", "no such identity"),
        ("AB" * 20, "no such identity"),
    ],
)
def test_what_is_not_one_is_refused(wanted: str | None, words: str) -> None:
    """Two of one name, a revoked one and none are credentials errors that name what there is."""
    with pytest.raises(CredentialsError, match=words):
        choose([ONE, OTHER, REVOKED], wanted)


def test_one_certificate_in_two_keychains_is_one() -> None:
    """The same identity twice on the search list is no choice."""
    assert choose([ONE, ONE], ONE.name) == ONE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x86_64 arm64\n", ("x86_64", "arm64")),
        ("x86_64 arm64 \n", ("x86_64", "arm64")),
        ("Non-fat file: F is architecture: arm64\n", ()),
        ("x86_64\narm64\n", ()),
        ("", ()),
    ],
)
def test_architectures_are_read(text: str, found: tuple[str, ...]) -> None:
    """One line of names and nothing else."""
    assert parse_archs(text) == found


@given(st.text())
def test_no_text_is_accepted_by_chance(text: str) -> None:
    """Of any text that does not hold spctl's sentence, none is an acceptance."""
    if ": accepted" not in text:
        assert not parse_assessment(text).accepted


def test_a_contradiction_is_no_acceptance() -> None:
    """Two verdicts, or two sources, are none."""
    assert not parse_assessment("a: accepted\na: rejected\n").accepted
    both = parse_assessment("a: accepted\nsource=Notarized Developer ID\nsource=Developer ID\n")
    assert both.source is None
