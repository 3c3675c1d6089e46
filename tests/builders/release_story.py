"""A large release as the report sees it: manifest, log and notary's answers, made of nothing but data."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.journal import Entry
from pipeline.notary import NotaryLog, parse_log
from pipeline.report import Facts

_ARCHITECTURES = ("x86_64", "arm64")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def facts(*, products: int = 5, lines: int = 2000, hostile: str = "", **changes: Any) -> Facts:
    """`products` of 12 artifacts each, and a log of `lines` lines. `hostile` stands in every text that others write."""
    # No path can hold a NUL.
    named = hostile.replace("\0", "")
    names = [f"agent{number}{named}" for number in range(products)]
    artifacts = [artifact for name in names for artifact in _artifacts(name, hostile)]
    document = {
        "schema": 1,
        "release": names[0],
        "products": names,
        "version": "26.1121.0615",
        "world": "real",
        "toolchain": "portable",
        "doubles": False,
        "commit": "c0ffee",
        "dirty": False,
        "log": {"head": "00" * 32},
        "changes": {
            "since": f"26.1001.0000{hostile}",
            "sha256": "00" * 32,
            "changes": [{"where": hostile or "release", "what": "version", "before": "1", "after": hostile}],
        },
        "artifacts": artifacts,
    }
    archives = [one for one in artifacts if one["kind"] == "archive"]
    entries = tuple(_entries(lines, [str(one["path"]) for one in artifacts], hostile))
    made = Facts(
        manifest=document,
        entries=entries,
        findings=(),
        objections=(),
        told={str(one["path"]): (f"holds {hostile}", "the ticket proves it") for one in artifacts},
        not_judged=(f"revocation {hostile}",),
        remarks=(f"provenance.json {hostile}",),
        generator="ab" * 32,
        notary={one["sha256"]: _answer(one, artifacts, hostile) for one in archives},
        nested={str(one["path"]): {} for one in artifacts if one["kind"] == "app"},
    )
    return Facts(**{name: changes.get(name, getattr(made, name)) for name in Facts.__slots__})


def _artifacts(name: str, hostile: str) -> list[dict[str, Any]]:
    def code(path: str, kind: str, *, debug: bool, architectures: tuple[str, ...]) -> dict[str, Any]:
        slices = [
            {
                "arch": arch,
                "cdhash": digest(path + arch)[:40],
                "identifier": f"com.example.{name}",
                "team": "TEAM000000",
                "flags": ["runtime"],
                "entitlements": [f"com.apple.security.get-task-allow = true{hostile}"] if debug else [],
                "libraries": ["/usr/lib/libSystem.B.dylib"],
            }
            for arch in architectures
        ]
        status = "excluded" if debug else "accepted"
        return {
            "product": name,
            "path": path,
            "kind": kind,
            "debug": debug,
            "sha256": digest(path),
            "size": 123456,
            "slices": slices,
            "notarization": {"status": status, "submission": "5cb45c69", "archive": f"archives/{name}.zip"},
            "staple": {"status": "not-stapleable", "reason": f"a bare Mach-O {hostile}"},
        }

    def file(path: str, kind: str) -> dict[str, Any]:
        one = {"product": name, "path": path, "kind": kind, "debug": False, "size": 99, "slices": []}
        return one | {"sha256": digest(path)}

    thins = [
        code(f"{arch}/{twin}{name}", "thin", debug=bool(twin), architectures=(arch,))
        for arch in _ARCHITECTURES
        for twin in ("", "DEBUG_")
    ]
    archive = file(f"archives/{name}.zip", "archive")
    archive["notarization"] = {"status": "accepted", "submission": f"5cb45c69{hostile}", "archive": archive["path"]}
    return [
        *thins,
        code(f"universal/{name}", "universal", debug=False, architectures=_ARCHITECTURES),
        code(f"universal/DEBUG_{name}", "universal", debug=True, architectures=_ARCHITECTURES),
        code(f"universal/{name}.app", "app", debug=False, architectures=_ARCHITECTURES),
        archive,
        file(f"universal/{name}.ticket", "ticket"),
        file(f"dist/{name}.zip", "distribution"),
        file(f"launchd/plain/{name}.plist", "launchd"),
        file(f"launchd/agent/{name}.plist", "launchd"),
    ]


def _answer(archive: dict[str, Any], artifacts: list[dict[str, Any]], hostile: str) -> NotaryLog:
    covered = [
        {
            "path": f"{one['path']}{hostile}",
            "digestAlgorithm": "SHA-256",
            "cdhash": entry["cdhash"],
            "arch": entry["arch"],
        }
        for one in artifacts
        for entry in one["slices"]
        if one["product"] == archive["product"] and not one["debug"]
    ]
    document = {
        "logFormatVersion": 1,
        "jobId": "5cb45c69",
        "status": "Accepted",
        "statusSummary": f"Ready for distribution{hostile}",
        "statusCode": 0,
        "archiveFilename": archive["path"],
        "uploadDate": "2026-11-21T06:15:30Z",
        "sha256": archive["sha256"],
        "ticketContents": covered,
        "issues": [
            {"severity": "warning", "path": f"x{hostile}", "message": f"old SDK{hostile}", "architecture": None}
        ],
    }
    return parse_log(json.dumps(document).encode())


def _entries(count: int, paths: list[str], hostile: str) -> list[Entry]:
    stages = ("build", "sign", "universal", "app", "archive", "notarize", "staple", "package", "verify")
    per_stage = max(count // len(stages), 3)
    entries: list[Entry] = []
    start = datetime(2026, 11, 21, 6, 15, tzinfo=UTC)
    for seq in range(1, count + 1):
        stage = stages[min((seq - 1) // per_stage, len(stages) - 1)]
        place = (seq - 1) % per_stage
        facts: dict[str, Any] = {"sha256": digest(str(seq)), "words": f"what the tool said {hostile}" * 3}
        event = "verified"
        if place == 0 and stage not in {entry.stage for entry in entries}:
            event, facts = "began", {"why": f"not done yet {hostile}"}
        elif place == per_stage - 1 or seq == count:
            event, facts = "done", {"seconds": 1.5, "outputs": paths[:3]}
        elif stage == "build":
            event = "ran"
            facts |= {"argv": ["make", "macos", f"ARCH=arm64{hostile}"], "exit": 0, "seconds": 7.5}
        entries.append(
            Entry(
                line=seq,
                seq=seq,
                run="0123456789abcdef",
                time=(start + timedelta(milliseconds=137 * seq)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                event=event,
                stage=stage,
                artifact=paths[seq % len(paths)],
                facts=facts,
                previous="00" * 32,
                hash=digest(f"line {seq}"),
            )
        )
    return entries
