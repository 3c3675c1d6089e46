"""What Apple's tools say when all is well, damaged in every way: none of it is ever taken for success.

Each sample is of a public run; the marked part is what success rests on. A change anywhere in that part, an end before
its end, silence, or an exit code of failure beside the whole text: each has to be an error, of whatever kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from builders.hosts import host_with
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import notary
from pipeline.errors import ReleaseError
from pipeline.host import Completed, Runner
from pipeline.toolchain.apple import Tools, codesign, gatekeeper, identities, lipo, stapler

ID = "2efe2717-52ef-43a5-96dc-0797e4ca1041"
SHA1 = "C9A0729D" * 5
DISPLAY = """\
Executable=/private/tmp/mybinary
Identifier=mybinary
Format=Mach-O thin (x86_64)
CodeDirectory v=20500 size=38000 flags=0x10000(runtime) hashes=1177+7 location=embedded
CDHash=3eb20e8557ef5c2ee3e6fcf2de2e6a1af7de1d7b
Timestamp=Jan 9, 2023 at 9:39:07 AM
TeamIdentifier=TEAMID
Sealed Resources=none
"""


class Saying(Runner):
    """In place of every process: this answer."""

    def __init__(self, completed: Completed) -> None:
        super().__init__()
        self._completed = completed

    def run(self, argv: object, **_more: object) -> Completed:
        return self._completed


def tools_saying(completed: Completed) -> Tools:
    host = replace(host_with(), runner=Saying(completed))
    return Tools(host=host, folder=Path("/"), record=lambda *_words, **_facts: None)


def notary_saying(completed: Completed) -> notary.NotaryTool:
    return notary.NotaryTool(lambda *_words, timeout: completed, notary.KeychainProfile(name="ci"))


def demand(holds: bool) -> None:
    if not holds:
        raise ReleaseError("noticed by the caller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`parts`: what success rests on, each once in the text. `ask` raises unless all is well."""

    text: str
    parts: tuple[str, ...]
    ask: Callable[[Completed], object]
    code_counts: bool = True
    """notarytool's exit code decides nothing, either way."""

    def completed(self, text: str, code: int = 0) -> Completed:
        return Completed(argv=("tool",), returncode=code, stdout=text.encode(), stderr=b"")


def _shown(completed: Completed) -> None:
    shown = codesign.display(tools_saying(completed), Path("/mybinary"), "x86_64", "x")
    expected = ("3eb20e8557ef5c2ee3e6fcf2de2e6a1af7de1d7b", "mybinary", "TEAMID", ("runtime",))
    demand((shown.cdhash, shown.identifier, shown.team, shown.flags) == expected)


SAMPLES = {
    "codesign --verify": Sample(
        text="/x/X.app: valid on disk\n/x/X.app: satisfies its Designated Requirement\n",
        parts=(": valid on disk\n", ": satisfies its Designated Requirement"),
        ask=lambda said: codesign.verify(tools_saying(said), Path("/x/X.app"), ("arm64",), "x"),
    ),
    "codesign -R=notarized": Sample(
        text="/x/t: valid on disk\n/x/t: satisfies its Designated Requirement\n/x/t: explicit requirement satisfied\n",
        parts=(": explicit requirement satisfied",),
        ask=lambda said: codesign.verify_notarized(tools_saying(said), Path("/x/t"), "x"),
    ),
    "codesign -d": Sample(
        text=DISPLAY,
        parts=(
            "Identifier=mybinary\n",
            "(runtime)",
            "CDHash=3eb20e8557ef5c2ee3e6fcf2de2e6a1af7de1d7b\n",
            "TeamIdentifier=TEAMID\n",
        ),
        ask=_shown,
    ),
    "stapler staple": Sample(
        text="Processing: /x/X.app\nProcessing: /x/X.app\nThe staple and validate action worked!\n",
        parts=("The staple and validate action worked!",),
        ask=lambda said: stapler.staple(tools_saying(said), Path("/x/X.app"), (), "x"),
    ),
    "stapler validate": Sample(
        text="Processing: /x/X.app\nThe validate action worked!\n",
        parts=("The validate action worked!",),
        ask=lambda said: stapler.validate(tools_saying(said), Path("/x/X.app"), "x"),
    ),
    "spctl": Sample(
        text="/x/X.app: accepted\nsource=Notarized Developer ID\norigin=Developer ID Application: Example (TEAMID)\n",
        parts=(": accepted\n", "source=Notarized Developer ID\n"),
        ask=lambda said: gatekeeper.assess(tools_saying(said), Path("/x/X.app"), "x"),
    ),
    "security find-identity": Sample(
        text=f'  1) {SHA1} "Developer ID Application: Example (TEAMID)"\n     1 valid identities found\n',
        parts=(f') {SHA1} "', "1 valid identities found"),
        ask=lambda said: identities.choose(identities.find_identities(tools_saying(said)), SHA1),
    ),
    "lipo -archs": Sample(
        text="x86_64 arm64\n",
        parts=("x86_64 arm64",),
        ask=lambda said: demand(lipo.archs(tools_saying(said), Path("/x"), "x") == ("x86_64", "arm64")),
    ),
    "notarytool info": Sample(
        text=f'{{"createdDate":"2026-11-21T06:15:30.000Z","id":"{ID}","name":"x.zip","status":"Accepted",'
        '"message":"Successfully received submission info"}\n',
        parts=(f'"id":"{ID}",', '"status":"Accepted",'),
        ask=lambda said: demand(notary_saying(said).status(ID).status is notary.NotaryStatus.ACCEPTED),
        code_counts=False,
    ),
    "notarytool submit": Sample(
        text=f'{{"id":"{ID}","message":"Successfully uploaded file","path":"/x/x.zip"}}\n',
        parts=('"message":"Successfully uploaded file",',),
        ask=lambda said: notary_saying(said).submit(Path(__file__)),
        code_counts=False,
    ),
}


@st.composite
def damaged(draw: st.DrawFn, sample: Sample) -> str:
    """The text with a part that counts changed, shortened or missing; or nothing at all."""
    part = draw(st.sampled_from(sample.parts))
    begin = sample.text.index(part)
    at = draw(st.integers(begin, begin + len(part.rstrip("\n")) - 2))
    before, there, after = sample.text[:at], sample.text[at], sample.text[at + 1 :]
    other = draw(st.characters(codec="utf-8", exclude_characters=there))
    how = draw(st.sampled_from(["change", "insert", "remove", "end", "line", "nothing"]))
    line_end = sample.text.index("\n", begin) + 1
    return {
        "change": before + other + after,
        "insert": before + there + draw(st.characters(min_codepoint=33, max_codepoint=126)) + after,
        "remove": before + after,
        "end": before,
        "line": sample.text[: sample.text.rfind("\n", 0, begin + 1) + 1] + sample.text[line_end:],
        "nothing": "",
    }[how]


def is_whole(sample: Sample, text: str) -> bool:
    """Blanks and line breaks apart, what success rests on stands there as in the sample."""
    return "".join(text.split()) == "".join(sample.text.split())


@pytest.mark.parametrize("name", SAMPLES)
def test_the_whole_text_is_success_and_no_other_exit_code_is(name: str) -> None:
    """The sample as it is passes; with an exit code or a signal of failure it does not, where the code counts."""
    sample = SAMPLES[name]
    sample.ask(sample.completed(sample.text))
    for code in (1, 2, 3, 64, 65, 66, 68, 69, 73, 77, 124, 255, -6, -9):
        said = sample.completed(sample.text, code)
        if sample.code_counts:
            with pytest.raises(ReleaseError):
                sample.ask(said)
        else:
            sample.ask(said)
    if sample.code_counts:
        with pytest.raises(ReleaseError):
            sample.ask(replace(sample.completed(sample.text), timed_out=True))


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=150)
@given(data=st.data())
def test_no_damaged_text_is_success(name: str, data: st.DataObject) -> None:
    """Whatever happened to the words that success rests on, an error comes out, and never a traceback of ours."""
    sample = SAMPLES[name]
    text = data.draw(damaged(sample))
    if is_whole(sample, text):
        return
    with pytest.raises(ReleaseError):
        sample.ask(sample.completed(text))


@pytest.mark.parametrize("name", ["notarytool info", "notarytool submit"])
def test_an_object_that_ends_before_its_line_does_is_no_answer(name: str) -> None:
    """A brace too many closes the object early: what counts is in it, and it is not the one that notarytool wrote."""
    sample = SAMPLES[name]
    part = sample.parts[-1]
    text = sample.text.replace(part, part.rstrip(",") + "},")
    with pytest.raises(ReleaseError):
        sample.ask(sample.completed(text))
