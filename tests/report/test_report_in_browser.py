"""The page in a real browser: it runs nothing, can be read, searched, printed, and used without a mouse."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders.browser import Page, browser
from builders.clients import need
from builders.release_story import facts

from pipeline.report import Finding, build

pytestmark = pytest.mark.chromium

SCRIPT = "document.title='owned'"
HOSTILE = f'</script><script>{SCRIPT}</script><img src=x onerror="{SCRIPT}"><svg onload={SCRIPT}>'
HOSTILE += f"<a href='javascript:{SCRIPT}'>'\"</style><style>body{{display:none}}</style>\u202egnp.exe"

# The contrast of every text with what lies behind it (WCAG 2, 1.4.3), the lowest with its text.
CONTRAST = """(() => {
    const parts = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const colour = parts(getComputedStyle(one).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    let worst = [100, ""], count = 0;
    for (const one of document.querySelectorAll("body *:not(svg *)")) {
        if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, one.className + ": " + one.textContent.slice(0, 40)];
        count += 1;
    }
    return [count, ...worst];
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = need("chromium", "chromium-browser", "google-chrome")
    with browser(program, tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 5 products, 60 artifacts and 2,000 lines of log."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(build(facts()))
    return path


def requested(page: Page) -> list[str]:
    return [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]


def test_hostile_texts_run_nothing_and_load_nothing(page: Page, tmp_path: Path) -> None:
    """Scripts, handlers, styles and addresses in every text that others write stay texts, and nothing is refused."""
    path = tmp_path / "report.html"
    path.write_bytes(build(facts(products=1, lines=60, hostile=HOSTILE)))
    page.open(path)
    assert page.evaluate("document.title").startswith("agent0</script>")
    assert requested(page) == [path.as_uri()]
    # The policy's refusals and the page's own errors would be entries of the browser's log.
    assert [event for event in page.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
    assert page.evaluate("document.querySelectorAll('script, img, style').length") == 1
    assert page.evaluate("[...document.links].every((one) => one.getAttribute('href').startsWith('#'))")
    assert page.evaluate("getComputedStyle(document.body).display") == "block"


def test_the_policy_stops_what_would_get_through(page: Page, tmp_path: Path) -> None:
    """Even if a text became markup, no script of it would run and no picture load."""
    more = (
        f'<script>{SCRIPT}</script><img src=http://127.0.0.1:9/x onerror="{SCRIPT}"><style>body{{display:none}}</style>'
    )
    path = tmp_path / "report.html"
    path.write_bytes(build(facts(products=1, lines=20)).replace(b"<main>", f"<main>{more}".encode()))
    page.open(path)
    assert page.evaluate("document.title") == "agent0 26.1121.0615"
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert [event for event in page.events if event["method"] == "Log.entryAdded"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(page: Page, tmp_path: Path, scheme: str) -> None:
    """Contrast of 4.5 or more, in both schemes, of every text: what holds, what does not, what is missing."""
    findings = (Finding(where="universal/x", message="page 3 differs"),)
    for number, made in enumerate((facts(products=1, lines=60), facts(products=1, lines=20, findings=findings))):
        path = tmp_path / f"{number}.html"
        path.write_bytes(build(made))
        page.open(path, prefers_color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        count, ratio, text = page.evaluate(CONTRAST)
        assert count > 50
        assert ratio >= 4.5, text
    page_colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (page_colour == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_narrow_window_shows_it_without_scrolling_sideways(page: Page, story: Path) -> None:
    """At 320 pixels (WCAG 2.1, 1.4.10) the page fits; only tables scroll, each in its frame."""
    page.open(story, width=320)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= shown
    strange = (
        "[...document.querySelectorAll('body *')].filter((one) => one.scrollWidth > one.clientWidth + 1"
        " && getComputedStyle(one).overflowX === 'auto' && !one.classList.contains('wide')).length"
    )
    assert page.evaluate(strange) == 0


def test_the_log_is_no_wall_and_is_found_in(page: Page, story: Path) -> None:
    """2,000 lines are folded; what the browser is sent to find in them opens the fold that holds it."""
    page.open(story)
    opened = "document.querySelectorAll('.log details[open]').length"
    assert page.evaluate(opened) == 0
    assert page.evaluate("document.documentElement.scrollHeight") < 15_000
    digest = build(facts()).decode().rpartition("sha256: ")[2][:64]
    page.open(story, fragment=f":~:text={digest}")
    assert page.evaluate(opened) == 2
    assert page.evaluate("scrollY") > 1000


def test_a_screen_reader_is_told_everything(page: Page, story: Path) -> None:
    """The browser's own accessibility tree: landmarks, every section and table by name, headings in order."""
    page.open(story)
    nodes: list[dict[str, Any]] = page.call("Accessibility.getFullAXTree")["nodes"]
    told = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one.get("ignored")]
    names: dict[str, list[str]] = {}
    for role, name in told:
        names.setdefault(role, []).append(name)
    assert [len(names[one]) for one in ("banner", "main", "contentinfo", "navigation")] == [1, 1, 1, 1]
    sections = [name for name in names["region"] if name]
    assert sections[:3] == ["Verdict", "Since the previous release", "Artifacts"]
    assert len(sections) == len(names["region"]) == 8
    assert all(names["table"])
    assert len(names["table"]) == len(set(names["table"]))
    assert "graphics-document" not in names
    assert "image" not in names
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_keyboard_reaches_everything(page: Page, story: Path) -> None:
    """The first stop is the way to the verdict; every stop is seen when it has the focus, in the page's order."""
    page.open(story)

    def tab() -> dict[str, Any]:
        for kind in ("rawKeyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        script = """(() => { const one = document.activeElement, box = one.getBoundingClientRect();
            return JSON.stringify({name: one.tagName, text: one.textContent.slice(0, 30), at: box.top + scrollY,
                left: box.left, outline: getComputedStyle(one).outlineStyle}); })()"""
        stop: dict[str, Any] = json.loads(page.evaluate(script))
        return stop

    stops = [tab() for _ in range(30)]
    assert stops[0]["text"] == "To the verdict"
    assert all(stop["outline"] == "solid" and stop["left"] >= 0 for stop in stops)
    assert {stop["name"] for stop in stops} == {"A", "DIV", "SUMMARY"}
    assert [stop["at"] for stop in stops] == sorted(stop["at"] for stop in stops)


def test_it_can_be_printed(page: Page, story: Path) -> None:
    """On paper the proofs are there, folded or not, and the log is not, unless it was opened."""
    page.open(story, prefers_color_scheme="dark")
    page.call("Emulation.setEmulatedMedia", media="print", features=[])
    shown = "(one) => one.checkVisibility()"
    proofs = f"[...document.querySelectorAll('.proof details p')].every({shown})"
    rows = f"[...document.querySelectorAll('.log tr')].filter({shown}).length"
    assert page.evaluate(proofs)
    assert page.evaluate(rows) == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("document.querySelectorAll('.log details').forEach((one) => { one.open = true; })")
    assert page.evaluate(rows) > 2000
    page.evaluate("document.querySelectorAll('.log details').forEach((one) => { one.open = false; })")
    paper = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) < 30
