"""What `file.inspect`, `file.verify`, `file.reproduce`, `file.ticket`, `file.diff` and `file.trust` do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import disk, tickets
from pipeline.codesign.bundle_describe import describe_bundle
from pipeline.codesign.bundle_reproduce import reproduce_bundle
from pipeline.codesign.describe import describe, differences, render
from pipeline.codesign.reproduce import FileReproduction
from pipeline.codesign.reproduce import reproduce as sign_again
from pipeline.codesign.requirements import compile_requirement
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import ReleaseError, VerificationError
from pipeline.host import Host
from pipeline.macho import read_slices
from pipeline.tasks.signing import anchors_of, existing


def inspect(host: Host, path: str, *, as_json: bool) -> None:
    facts = _facts(existing(path))
    if as_json:
        host.console.document(facts)
    else:
        host.console.result(render(facts).rstrip("\n"))


def verify(host: Host, path: str, requirement: str | None, anchors: str | None, *, as_json: bool) -> None:
    wanted = compile_requirement(requirement) if requirement else None
    found = disk.verify_path(existing(path), anchors=anchors_of(host, anchors), requirement=wanted)
    if as_json:
        host.console.document([asdict(one) for one in found])
        return
    for one in found:
        host.console.result(f"{path}: {one.arch}: valid\n{_words(one)}")


def reproduce(host: Host, path: str, *, as_json: bool) -> None:
    source = existing(path)
    if source.is_dir():
        _reproduce_bundle(host, source, as_json=as_json)
        return
    with disk.open_source(source) as opened:
        try:
            slices = read_slices(opened)
            found = sign_again(opened, slices)
        except ReleaseError as error:
            raise error.at(path) from None
    if as_json:
        host.console.document({"identical": found.is_identical, **_reproduced(found)})
    else:
        _tell_reproduced(host, path, found)
    if not found.is_identical:
        raise VerificationError(
            "signed again, a CodeDirectory comes out otherwise", where=path, remedy="file.inspect says who signed it"
        )


def _reproduce_bundle(host: Host, path: Path, *, as_json: bool) -> None:
    tree = disk.FolderTree(path)
    try:
        found = reproduce_bundle(tree, path.name)
    except ReleaseError as error:
        raise error.at(str(path)) from None
    identical = all(one.is_identical for one in found)
    if as_json:
        code = [
            {"path": one.path, "seal": one.seal, "seal_differences": one.seal_differences, **_reproduced(one.file)}
            for one in found
        ]
        host.console.document({"identical": identical, "code": code})
    else:
        for one in found:
            _tell_reproduced(host, str(path / one.path), one.file)
            if one.seal is not None:
                verdict = "identical" if one.seal else "DIFFERS"
                host.console.result(f"{path / one.path}: CodeResources: {verdict}")
                for difference in one.seal_differences:
                    host.console.result(f"  {difference}")
    if not identical:
        raise VerificationError(
            "signed again, a CodeDirectory or CodeResources comes out otherwise",
            where=str(path),
            remedy="file.inspect says who signed it",
        )


def _reproduced(found: FileReproduction) -> dict[str, Any]:
    slices = [
        {
            "arch": one.arch,
            "form": str(one.form),
            "identical": one.is_identical,
            "eras": list(one.eras),
            "mode": list(one.modes),
            "told": list(one.told),
            "matches": [list(match) for match in one.matches],
            "superblob": [list(match) for match in one.superblob_matches],
        }
        for one in found.slices
    ]
    return {"slices": slices, "file": [list(match) for match in found.whole_file]}


def _tell_reproduced(host: Host, path: str, found: FileReproduction) -> None:
    for one in found.slices:
        ways = ", ".join(f"{era} ({mode})" for era, mode in one.matches) or "no era that is known here"
        whole = "; the whole SuperBlob too" if one.superblob_matches else ""
        ways += f", told {', '.join(f'--{option}' for option in one.told)}" if one.told else ""
        verdict = "identical" if one.is_identical else f"DIFFERS (form: {one.form})"
        host.console.result(f"{path}: {one.arch}: {verdict}: {ways}{whole}")
    around = "identical too" if found.whole_file else "other bytes"
    host.console.result(f"{path}: around the signatures: {around}")


def ticket(host: Host, path: str, other: str | None, anchors: str | None, *, as_json: bool) -> None:
    data = tickets.load_ticket(existing(path))
    if data is None:
        raise VerificationError("carries no ticket, and is none", where=path)
    try:
        found = tickets.verify_ticket(data, anchors_of(host, anchors).ticket_roots)
    except ReleaseError as error:
        raise VerificationError(error.message, where=path, remedy=error.remedy) from error
    carrier = Path(path) if Path(path).is_dir() or tickets.is_container(Path(path)) else None
    code = existing(other) if other else carrier
    proved = [
        (where, arch, one.hash, tickets.covers(found, one.hash, one.type))
        for where, arch, one in _code_hashes(host, code, anchors)
    ]
    is_whole = code is not None and not code.is_dir() and tickets.is_container(code)
    not_judged = ["the package's or image's content, beyond the hash that a ticket names it by"] if is_whole else []
    if as_json:
        hashes = [{"type": int(one.type), "hash": one.hash} for one in found.hashes]
        slices = [{"path": where, "arch": arch, "cdhash": cdhash, "proved": yes} for where, arch, cdhash, yes in proved]
        document = {"time": found.time, "flags": found.flags, "hashes": hashes, "not_judged": not_judged}
        host.console.document(document | {"slices": slices})
    else:
        host.console.result(
            f"{path}: a ticket of {found.time:%Y-%m-%d %H:%M:%SZ}, flags {found.flags}; signature holds"
        )
        for one in found.hashes:
            host.console.result(f"  {one.hash} (hash type {int(one.type)})")
        for where, arch, cdhash, yes in proved:
            host.console.result(f"{where}: {arch}: {cdhash} {'is proved' if yes else 'is NOT in the ticket'}")
        for words in not_judged:
            host.console.result(f"not judged: {words}")
    tickets.verify_coverage(found, [])  # one that was revoked proves nothing, whatever it names
    if missing := [f"{where}: {arch}" for where, arch, _cdhash, yes in proved if not yes]:
        raise VerificationError(f"the ticket does not name {', '.join(missing)}", where=str(code))


def diff(host: Host, one: str, other: str, *, as_json: bool) -> None:
    found = differences(_facts(existing(one)), _facts(existing(other)))
    if as_json:
        host.console.document([asdict(difference) for difference in found])
    else:
        for difference in found:
            host.console.result(difference.field)
            for sign, value in (("-", difference.one), ("+", difference.other)):
                if value is not None:
                    host.console.result(f"  {sign} {value}")
    if found:
        raise VerificationError(f"the signatures differ in {len(found)} fields", where=f"{one}, {other}")


def trust(host: Host, old: str, new: str, anchors: str | None) -> None:
    roots = anchors_of(host, anchors)
    demands = {one.requirement for one in disk.verify_path(existing(old), anchors=roots)}
    for demand in sorted(filter(None, demands)):
        disk.verify_path(existing(new), anchors=roots, requirement=compile_requirement(demand))
        host.console.result(f"{new} satisfies {old}'s designated requirement:\n  {demand}")
    if None in demands or not demands:
        raise VerificationError("has no designated requirement that another build could satisfy", where=old)


def _facts(path: Path) -> list[dict[str, Any]]:
    try:
        if path.is_dir():
            return describe_bundle(disk.FolderTree(path), path.name)
        with disk.open_source(path) as opened:
            return describe(read_slices(opened))
    except ReleaseError as error:
        raise error.at(str(path)) from None


def _code_hashes(host: Host, path: Path | None, anchors: str | None) -> list[tuple[str, str, tickets.TicketHash]]:
    """Path, architecture and CDHash of every slice of a verified file, or of all signed code in a verified bundle; of a
    package or a disk image its own hash."""
    if path is None:
        return []
    if not path.is_dir() and tickets.is_container(path):
        return [(str(path), "itself", one) for one in tickets.container_hashes(path)]
    verified = disk.verify_path(path, anchors=anchors_of(host, anchors))
    if not path.is_dir():
        return [(str(path), one.arch, _sha256(one.cdhash)) for one in verified]
    found = disk.code_hashes(path).items()
    return [(str(path / file), arch, _sha256(cdhash)) for file, slices in found for arch, cdhash in slices.items()]


def _sha256(cdhash: str) -> tickets.TicketHash:
    return tickets.TicketHash(type=tickets.HashType.SHA256, hash=cdhash)


def _words(one: VerifiedSlice) -> str:
    lines = [
        f"identifier {one.identifier}, team {one.team or 'none'}, flags {', '.join(one.flags) or 'none'}",
        f"CDHash {one.cdhash}",
        f"signed by {' ← '.join(one.authorities) or 'nobody (ad hoc)'}",
    ]
    if one.timestamp:
        lines.append(f"time stamp {one.timestamp:%Y-%m-%d %H:%M:%SZ}")
    if one.requirement:
        lines.append(f"requirement {one.requirement}")
    if one.residue:
        lines.append("bytes of an earlier signature lie behind this one; nothing covers them")
    lines += [f"not judged: {words}" for words in one.not_judged]
    return "\n".join(f"  {line}" for line in lines)
