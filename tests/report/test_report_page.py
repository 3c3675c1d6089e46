"""The page: verdict first, everything in it, nothing from elsewhere, and inert whatever strangers wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from builders.release_story import facts

from pipeline.journal import BEGINNING, Entry
from pipeline.report import Finding, build, generator_of
from pipeline.report.timeline import timeline

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE += "<a href='javascript:document.title=1'>javascript:document.title='owned'</a>"
HOSTILE += "'\"--><svg onload=alert(1)>&#60;b\u202egnp.exe\0\x1b[31m"


class Reader(HTMLParser):
    """Collects elements, attributes and text as a browser's parser would."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: bytes) -> Reader:
    reader = Reader()
    reader.feed(page.decode("utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def test_the_verdict_comes_first() -> None:
    """The first heading after the release's name is the verdict, and it says what holds and what may be published."""
    text = re.sub("<[^>]+>", " ", build(facts()).decode().partition("<main>")[2])
    assert re.match(r"\s*Verdict\s+HOLDS\s+Everything is as it was recorded\.\s+MAY BE PUBLISHED", text)
    broken = build(facts(findings=(Finding(where="universal/x", message="page 3 differs"),))).decode()
    assert "DOES NOT HOLD" in broken
    assert "MAY BE PUBLISHED" not in broken
    refused = build(facts(objections=("not for publication: it has no provenance",))).decode()
    assert "NOT FOR PUBLICATION" in refused
    assert "it has no provenance" in refused
    assert "MAY BE PUBLISHED" not in refused


def test_everything_is_told() -> None:
    """Every artifact, every CDHash, the notary's answer, silenced warnings, changes and each line of the log."""
    story = facts(products=2, lines=60)
    page = build(story).decode()
    assert story.manifest is not None
    for artifact in story.manifest["artifacts"]:
        assert artifact["path"] in page
        assert artifact["sha256"] in page
        for entry in artifact["slices"]:
            assert entry["cdhash"] in page
    for words in ("Ready for distribution", "old SDK", "accepted in spite of it", "a bare Mach-O", "26.1001.0000"):
        assert words in page
    assert page.count('<th scope="row">') > 60
    assert story.entries[-1].hash in page


def test_a_cdhash_that_is_not_ours_is_marked() -> None:
    """What the notary lists and no artifact has stands out."""
    story = facts(products=1, lines=20)
    other = facts(products=2, lines=20)
    assert "not ours" not in build(story).decode()
    assert story.manifest is not None
    archive = next(one for one in story.manifest["artifacts"] if one["kind"] == "archive")
    foreign = list(other.notary.values())[1]
    assert "not ours" in build(facts(products=1, lines=20, notary={archive["sha256"]: foreign})).decode()


def test_code_inside_an_app_is_ours() -> None:
    """The notary lists the code inside an app too: known to the audit it is ours; else it is marked, on both sides."""
    story = facts(products=1, lines=20)
    assert story.manifest is not None
    (app,) = [one for one in story.manifest["artifacts"] if one["kind"] == "app"]
    archive = next(one for one in story.manifest["artifacts"] if one["kind"] == "archive")
    archive["contents"] = ["universal/agent0", app["path"]]
    log = story.notary[archive["sha256"]]
    listed = log.ticket_contents or ()
    inside = replace(listed[0], path="agent0.app/Contents/Frameworks/X", cdhash="cd" * 20)
    more = {archive["sha256"]: replace(log, ticket_contents=(*listed, inside))}
    nested = {app["path"]: {"Contents/Frameworks/X": {"x86_64": "cd" * 20}}}
    assert "not ours" in build(facts(products=1, lines=20, manifest=story.manifest, notary=more)).decode()
    page = build(facts(products=1, lines=20, manifest=story.manifest, notary=more, nested=nested)).decode()
    assert "not ours" not in page
    assert f"{app['path']}/Contents/Frameworks/X" in page
    assert f"Each of the {len(listed) + 1} CDHashes that it lists is ours" in page
    page = build(facts(products=1, lines=20, manifest=story.manifest, nested=nested)).decode()
    assert "ours, not listed" in page
    page = build(facts(products=1, lines=20, manifest=story.manifest, notary=more, nested={})).decode()
    assert "not ours" not in page
    assert "not known: an app was not judged" in page


def entry(event: str, at: float, **facts: Any) -> Entry:
    artifact, stage = facts.pop("artifact", None), facts.pop("stage", "sign")
    moment = (datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    told: dict[str, Any] = {"event": event, "time": moment, "stage": stage, "artifact": artifact, "facts": facts}
    return Entry(line=1, seq=1, run="run", previous=BEGINNING, hash="00" * 32, **told)


def test_the_timeline_shows_what_ran_side_by_side() -> None:
    """Jobs that overlap stand in lanes of their own, those that follow each other share one; each has its place."""
    lines = [
        entry("began", 10.0),
        entry("signed", 12.0, artifact="a", seconds=2.0),
        entry("signed", 12.5, artifact="b", seconds=2.0),
        entry("ran", 14.0, argv=["codesign", "-s", "x", "-v", "y"], seconds=2.0),
        entry("done", 14.0, seconds=4.0),
        entry("began", 14.0, stage="notarize"),
        entry(
            "accepted",
            34.0,
            stage="notarize",
            artifact="zip",
            times={"submitting": "2026-11-20T00:00:00+00:00", "accepted": "2026-11-21T00:00:24+00:00"},
        ),
        entry("failed", 34.0, stage="notarize"),
    ]
    page = timeline(lines)
    assert "3, up to 2 at once" in page
    lanes = re.findall(r'<rect x="([\d.]+)%" y="(\d+)" width="([\d.]+)%" height="\d+" class="job"><title>(\w+)', page)
    assert lanes == [
        ("0.00", "0", "50.00", "a"),
        ("50.00", "0", "50.00", "codesign"),
        ("12.50", "7", "50.00", "b"),
        # A submission of an earlier run is shown from where this run took it up.
        ("0.00", "0", "50.00", "zip"),
    ]
    for words in ("codesign -s x -v", "notarize (failed)", "Each of the 4 jobs"):
        assert words in page
    assert "sign (cut)" in timeline(lines[:3])
    assert "2, one after another" in timeline([lines[0], lines[1], lines[3], lines[4]])


def test_what_changed_alike_is_told_once() -> None:
    """One change in many places is one row; sizes come last."""
    places = [f"arm64/tool{number}" for number in range(5)]
    rows = [{"where": place, "what": "flags", "before": "", "after": "runtime"} for place in places]
    rows = [{"where": "dist/x", "what": "size", "before": "1", "after": "2"}, *rows]
    story = facts(products=1, lines=20)
    assert story.manifest is not None
    story.manifest["changes"]["changes"] = rows
    page = build(story).decode().partition("Since the previous release")[2].partition("<h2")[0]
    assert page.count('<th scope="row">') == 2
    assert page.index("flags") < page.index("size")
    assert all(place in page for place in places)
    assert "5 places" in page


def test_nothing_moves() -> None:
    """Who asked for less motion has none to fear."""
    style = build(facts(lines=20)).decode().partition("<style>")[2].partition("</style>")[0]
    assert not re.search("animation|transition|smooth|@keyframes", style)


def test_nothing_is_loaded_and_nothing_runs() -> None:
    """No script, no address of anything elsewhere, no inline style or handler; a policy that forbids them besides."""
    reader = read(build(facts(lines=50)))
    assert set(reader.elements).isdisjoint({"script", "img", "link", "iframe", "object", "form", "input", "base"})
    for name, value in reader.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "style", "srcset", "action")
        assert name != "href" or (value or "").startswith("#")
    (policy,) = [value for name, value in reader.attributes if name == "content" and "default-src" in (value or "")]
    assert (policy or "").startswith("default-src 'none'; style-src 'sha256-")


def test_hostile_names_stay_texts() -> None:
    """With markup, quotes, controls and direction marks in every text, the page has the elements that it always has."""
    calm, hostile = read(build(facts(products=1, lines=40))), read(build(facts(products=1, lines=40, hostile=HOSTILE)))
    assert hostile.elements == calm.elements
    assert [name for name, _ in hostile.attributes] == [name for name, _ in calm.attributes]
    text = "".join(hostile.text)
    assert "<script>document.title='owned'</script>" in text
    for misleading in ("\u202e", "\0", "\x1b"):
        assert misleading not in text
    assert "\\u202egnp.exe\\u0000\\u001b[31m" in text


def test_what_cannot_be_read_is_left_out() -> None:
    """With no manifest and no log that holds, the page still says what is wrong."""
    wrong = (Finding(where="audit.jsonl line 3", message="was changed"),)
    page = build(facts(manifest=None, entries=(), findings=wrong, told={}, notary={})).decode()
    assert "audit.jsonl line 3" in page
    assert "DOES NOT HOLD" in page


def test_the_same_facts_give_the_same_page() -> None:
    """Nothing of the moment enters the page; it says which program wrote it."""
    assert build(facts(lines=50)) == build(facts(lines=50))
    assert generator_of(build(facts(lines=50))) == "ab" * 32
    assert generator_of(b"<html>") is None


def test_a_screen_reader_finds_its_way() -> None:
    """One main part, headings that name the sections, captions and scopes in every table, decoration hidden."""
    page = build(facts(products=1, lines=40)).decode()
    reader = read(build(facts(products=1, lines=40)))
    assert reader.elements.count("main") == reader.elements.count("h1") == 1
    labels = re.findall(r'<section aria-labelledby="(\w+)">', page)
    assert labels == re.findall(r'<h2 id="(\w+)">', page)
    assert reader.elements.count("caption") == reader.elements.count("table")
    assert len(re.findall(r"<th(?! scope)[ >]", page)) == 0
    assert reader.elements.count("svg") == len(re.findall(r'<svg width="100%" height="\d+" aria-hidden="true"', page))
    assert reader.elements.count("table") == page.count('role="group"') == page.count('tabindex="0"')
    assert re.findall(r'<a href="#(\w+)">', page) == labels
    assert '<html lang="en">' in page
