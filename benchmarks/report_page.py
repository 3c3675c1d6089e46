"""The page of a large release: its size, and the time that `invoke audit`, `invoke report` and opening it take.

    python benchmarks/report_page.py [--products 5] [--lines 2000] [--folder DIR] [--browser /usr/bin/chromium]

The release is a real one, a rehearsal of programs compiled once and copied by each build; it is made again, of another
commit each time, until the log has as many lines. Opening is timed by the browser itself, from the beginning of the
navigation to the load event, the median of five; then every folded part is opened and laid out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests")]

from builders.browser import browser  # noqa: E402  # on the path only now
from builders.workshop import Workshop, new_workshop  # noqa: E402

_SOURCE = '#include <stdio.h>\nint main(int count, char **words) { return printf("%d%s\\n", count, words[0]) < 0; }\n'
_TARGETS = {"x86_64": "x86_64-macos.10.13", "arm64": "aarch64-macos.11.0"}
_HEAD = """\
[release]
world = "rehearsal"

[build]
command = ["make", "macos", "ARCH={arch}", "OUTPUT={output}", "DEBUG_OUTPUT={debug_output}"]
minimum-macos = { x86_64 = "10.13", arm64 = "11.0" }

[notary]
archives = "each"

[launchd]
service-id = "agent"
install-path = "/opt/agent"
"""
_PRODUCT = """
[[product]]
name = "agent{number}"
identifier = "com.example.agent{number}"
source = "source"
architectures = ["x86_64", "arm64"]
debug = true

[product.app]
display-name = "Agent {number}"
background = true
"""
_TIMING = "(() => { const one = performance.getEntriesByType('navigation')[0]; return one.loadEventEnd; })()"
_OPEN = """(() => {
    const began = performance.now();
    document.querySelectorAll('details').forEach(one => { one.open = true; });
    return [document.documentElement.scrollHeight, performance.now() - began];
})()"""


def compiled(folder: Path) -> Path:
    source = folder / "tool.c"
    source.write_text(_SOURCE)
    for arch, target in _TARGETS.items():
        (folder / arch).mkdir()
        for name, flags in (("tool", ["-O2", "-s"]), ("DEBUG_tool", ["-g"])):
            argv = [
                sys.executable,
                "-m",
                "ziglang",
                "cc",
                "-target",
                target,
                *flags,
                "-o",
                folder / arch / name,
                source,
            ]
            subprocess.run(argv, check=True, capture_output=True)
    source.unlink()
    return folder


def released(folder: Path, products: int, lines: int) -> Workshop:
    workshop = new_workshop(folder / "checkout", compiled(Path(tempfile.mkdtemp(dir=folder))))
    text = _HEAD + "".join(_PRODUCT.format(number=number) for number in range(products))
    moment = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)
    log = workshop.outputs / "audit.jsonl"
    while not log.is_file() or len(log.read_bytes().splitlines()) < lines:
        workshop.configuration.write_text(text)
        moment += timedelta(minutes=1)
        workshop.commit(moment.isoformat())
        ran = workshop.invoke("release")
        if ran.code != 0:
            raise SystemExit(ran.err)
    return workshop


def timed(workshop: Workshop, verb: str) -> float:
    began = time.monotonic()
    ran = workshop.invoke_plain(verb, "--folder", str(workshop.outputs))
    if ran.code != 0:
        raise SystemExit(ran.err)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=5)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="keep the release here; a folder with one is measured again")
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder.absolute() if options.folder else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "checkout").is_dir():
            workshop = Workshop(folder=folder / "checkout")
        else:
            workshop = released(folder, options.products, options.lines)
        audit, report = timed(workshop, "audit"), timed(workshop, "report")
        page = workshop.outputs / "report.html"
        lines = len((workshop.outputs / "audit.jsonl").read_bytes().splitlines())
        artifacts = len(json.loads((workshop.outputs / "release.json").read_bytes())["artifacts"])
        print(f"{len(workshop.manifest()['products'])} products, {artifacts} artifacts, {lines} lines of log")
        print(f"invoke audit {audit:.2f} s, invoke report {report:.2f} s, page {page.stat().st_size:,} bytes")
        with browser(options.browser, Path(temporary) / "profile") as tab:
            times = []
            for _ in range(5):
                tab.open(page)
                times.append(tab.evaluate(_TIMING))
            height = tab.evaluate("document.documentElement.scrollHeight")
            high, took = tab.evaluate(_OPEN)
        print(f"opened in {statistics.median(times):.0f} ms ({height:,} px high)")
        print(f"every fold opened and laid out in {took:.0f} ms more ({high:,} px high)")


if __name__ == "__main__":
    main()
