"""A launchctl below a root of its own: `ROOT/bin/launchctl`, with what launchd knows in `ROOT/launchd.json`.

It refuses what launchd refuses: a job that others can write, a label that is loaded, a program that is not there. Users
whose sessions exist are the names in `ROOT/sessions/`; a program whose SHA-256 is a name in `ROOT/dying/` does
not stay up; a label that is a name in `ROOT/refused/` is not taken, one in `ROOT/disabled/` not until it is enabled;
one in `ROOT/lingering/` is still there when launchd is first asked after its bootout. Exit codes and messages are
launchctl's as they are commonly known; none was captured on a Mac for this.
"""

from __future__ import annotations

import hashlib
import json
import plistlib
import stat
import sys
from pathlib import Path
from typing import Any


def put(root: Path, *users: int) -> None:
    """Place the double below `root`, with sessions for these users."""
    (root / "bin").mkdir(parents=True)
    (root / "dying").mkdir()
    for levers in ("refused", "disabled", "lingering", "sessions"):
        (root / levers).mkdir()
    for user in users:
        (root / "sessions" / str(user)).touch()
    program = root / "bin" / "launchctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{root}" "$@"\n')
    program.chmod(0o755)


def loaded(root: Path) -> dict[str, dict[str, Any]]:
    """What launchd knows now: target → job."""
    path = root / "launchd.json"
    jobs: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return jobs


def main(root: Path, verb: str, *words: str) -> int:
    jobs = loaded(root)
    if verb == "print":
        return show(root, jobs, words[0])
    if verb == "enable":
        (root / "disabled" / words[0].rpartition("/")[2]).unlink(missing_ok=True)
        return 0
    if verb == "bootout":
        if words[0] not in jobs:
            return said(3, "Boot-out failed: 3: No such process")
        if (root / "lingering" / words[0].rpartition("/")[2]).exists():
            jobs[words[0]]["state"] = "SIGTERMed"
        else:
            del jobs[words[0]]
    elif verb == "bootstrap":
        code = bootstrap(root, jobs, *words)
        if code:
            return code
    else:
        return said(64, f"Unrecognized subcommand: {verb}")
    (root / "launchd.json").write_text(json.dumps(jobs))
    return 0


def bootstrap(root: Path, jobs: dict[str, dict[str, Any]], domain: str, path: str) -> int:
    if stat.S_IMODE(Path(path).stat().st_mode) & 0o022:
        return said(122, "Bootstrap failed: 122: Path had bad ownership/permissions")
    if not has_session(root, domain):
        return said(125, "Bootstrap failed: 125: Domain does not support specified action")
    job = plistlib.loads(Path(path).read_bytes())
    target = f"{domain}/{job['Label']}"
    if (root / "disabled" / job["Label"]).exists():
        return said(119, "Bootstrap failed: 119: Service is disabled")
    program = root / job["ProgramArguments"][0].lstrip("/")
    if target in jobs or not program.is_file() or (root / "refused" / job["Label"]).exists():
        return said(5, "Bootstrap failed: 5: Input/output error")
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    starts = bool(job.get("RunAtLoad") or job.get("KeepAlive"))
    state = "not running" if not starts else "spawn scheduled" if (root / "dying" / digest).exists() else "running"
    jobs[target] = {"path": path, "program": job["ProgramArguments"][0], "state": state, "sha256": digest}
    return 0


def has_session(root: Path, domain: str) -> bool:
    return domain == "system" or (root / "sessions" / domain.removeprefix("gui/")).exists()


def show(root: Path, jobs: dict[str, dict[str, Any]], target: str) -> int:
    if target in jobs:
        job = jobs[target]
        print(f"{target} = {{\n\tactive count = 1\n\tpath = {job['path']}\n\tstate = {job['state']}\n")
        print(f"\tprogram = {job['program']}\n\targuments = {{\n\t\t{job['program']}\n\t}}\n}}")
        if job["state"] == "SIGTERMed":
            (root / "launchd.json").write_text(json.dumps({one: jobs[one] for one in jobs if one != target}))
        return 0
    if target.count("/") < 2 and "/" in target and has_session(root, target) and not target.startswith("system/"):
        print(f"{target} = {{\n\ttype = user login\n}}")
        return 0
    return said(113, f'Bad request.\nCould not find service "{target}"')


def said(code: int, words: str) -> int:
    print(words, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
