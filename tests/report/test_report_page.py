"""The page: verdict first, everything in it, nothing from elsewhere, and inert whatever strangers wrote."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from builders.clients import need
from builders.release_story import facts

from pipeline.report import Finding, build, generator_of

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
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
    assert reader.elements.count("svg") == page.count('<svg width="100%" height="14" aria-hidden="true"')
    assert reader.elements.count("table") == page.count('role="region"') == page.count('tabindex="0"')
    assert '<html lang="en">' in page


@pytest.mark.chromium
def test_chromium_shows_it_and_runs_nothing(tmp_path: Path) -> None:
    """A real browser applies the style, refuses nothing, and no hostile text gets to run."""
    browser = need("chromium", "chromium-browser", "google-chrome")
    path = tmp_path / "report.html"
    path.write_bytes(build(facts(products=1, lines=60, hostile=HOSTILE)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    picture = tmp_path / "report.png"
    for wish in ([f"--screenshot={picture}", "--window-size=1200,900"], ["--dump-dom"]):
        ran = subprocess.run(
            [browser, *flags, "--enable-logging=stderr", "--v=0", *wish, path.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "Refused to" not in ran.stderr
        assert "Content Security Policy" not in ran.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "<title>owned</title>" not in ran.stdout
    assert "<script" not in ran.stdout
    assert 'class="badge good"' in ran.stdout
