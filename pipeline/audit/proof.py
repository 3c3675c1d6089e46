"""Signatures, tickets and submissions: what they prove of an artifact, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import disk, manifest, notary, tickets
from pipeline.audit.evidence import SUBMISSIONS, Evidence, plain
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.origin import verify_origin
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import ConfigurationError, VerificationError
from pipeline.host import Host
from pipeline.identity import load_anchors
from pipeline.macho import read_slices
from pipeline.model import STAPLED_TICKET, Artifact, Kind, NotarizationStatus, Slice, StapleStatus, World
from pipeline.toolchain.slices import recorded_slices

# A rehearsal's roots, public, beside its keys.
_ANCHORS = "rehearsal/anchors"

Nested = Mapping[str, Mapping[str, str]]
"""Path inside an app → architecture → CDHash."""


def anchors_of(host: Host, folder: Path, evidence: Evidence, apple: Anchors) -> Anchors:
    """Apple's roots, or in a rehearsal its own: they show that its files belong together, and nothing more."""
    if evidence.manifest["world"] != World.REHEARSAL:
        return apple
    if not (folder / _ANCHORS).is_dir():
        raise VerificationError(
            "is missing: the rehearsal's own roots, which its signatures lead to", where=_ANCHORS, remedy="copy it too"
        )
    for path in plain(folder, _ANCHORS).iterdir():
        plain(folder, f"{_ANCHORS}/{path.name}")
    try:
        return load_anchors(host.files, folder / _ANCHORS)
    except ConfigurationError as error:
        raise VerificationError(error.message, where=error.where) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    host: Host
    folder: Path
    evidence: Evidence
    anchors: Anchors

    def of_code(
        self, artifact: Artifact, path: Path, contents: disk.Contents
    ) -> tuple[tuple[str, ...], tuple[str, ...], Nested]:
        """Every digest and signature holds, the slices are the recorded ones, and so is what the notary said.

        Returns the words of it, what was not judged, and the code inside an app. What is read goes into `contents`.
        """
        slices = disk.verify_path(path, anchors=self.anchors, strict_padding=True, contents=contents)
        found = tuple(_as_told(one, artifact) for one in recorded_slices(path, slices))
        for one in {*found, *artifact.slices}:
            if one not in found or one not in artifact.slices:
                raise VerificationError("signed otherwise than the manifest says", where=one.arch)
        if len(found) != len(artifact.slices):
            raise VerificationError(f"has {len(found)} slices, and {len(artifact.slices)} are recorded")
        sealed = disk.code_hashes(path) if artifact.kind is Kind.APP else {}
        words = [f"{one.arch}: CDHash {one.cdhash}, {_signer(one)}" for one in slices]
        words += self._notarization(artifact, sealed)
        words += self._staple(artifact, path, sealed)
        words += self._origin(artifact, path)
        nested = {inside: code for inside, code in sealed.items() if inside != f"Contents/MacOS/{artifact.product}"}
        if artifact.kind is Kind.APP:
            nested |= disk.archived_code_hashes(path)
        return tuple(words), tuple(sorted({what for one in slices for what in one.not_judged})), nested

    def _origin(self, artifact: Artifact, path: Path) -> Iterator[str]:
        """Without its signature, each slice is what the build made."""
        builds = [manifest.built_from_json(entry) for entry in self.evidence.manifest.get("builds", [])]
        made = {one.arch: one for one in builds if (one.product, one.debug) == (artifact.product, artifact.debug)}
        with disk.open_executable(path) as source:
            for one in read_slices(source) if source is not None else ():
                built = made.get(one.arch)
                if built is None:
                    raise VerificationError("no build of this release made this slice", where=one.arch)
                if not (self.folder / built.path).is_file():
                    raise VerificationError(f"{built.path}, which it was made of, is missing", where=one.arch)
                with disk.open_source(plain(self.folder, built.path)) as unsigned:
                    differences = verify_origin(one, read_slices(unsigned)[0])
                but = f" but for {'; '.join(differences)}" if differences else ""
                yield f"{one.arch}: without its signature the bytes of {built.path}{but}"

    def of_ticket(self, artifact: Artifact, path: Path) -> tuple[str, ...]:
        """A ticket beside bare tools: genuine, and whose it is."""
        ticket = tickets.verify_ticket(self.host.files.read(path), self.anchors.ticket_roots)
        proved = [one.path for one in self.evidence.artifacts if one.staple and one.staple.ticket == artifact.path]
        return (f"issued {ticket.time:%Y-%m-%d %H:%M:%SZ}; proves {', '.join(proved) or 'nothing here'}",)

    def of_archive(self, artifact: Artifact) -> tuple[str, ...]:
        """What the notary got: its submission's record says the same."""
        said = artifact.notarization
        if said is None or said.status is not NotarizationStatus.ACCEPTED:
            return (f"notarization: {said.status if said else 'none'}",)
        records = notary.Records(self.host, self.folder / SUBMISSIONS)
        plain(self.folder, f"{SUBMISSIONS}/{records.path(artifact.sha256).name}")
        record = records.load(artifact.sha256)
        if record is None:
            raise VerificationError("its submission's record is missing", where=SUBMISSIONS)
        if (record.id, record.state) != (said.submission, notary.State.ACCEPTED):
            raise VerificationError(f"notary/ has it {record.state} as {record.id}, the manifest as {said.submission}")
        return (f"accepted as submission {said.submission}",)

    def _notarization(self, artifact: Artifact, sealed: Nested) -> list[str]:
        said = artifact.notarization
        if said is None:
            return ["notarization: none"]
        if said.status is not NotarizationStatus.ACCEPTED:
            return [f"notarization: {said.status}{f' ({said.reason})' if said.reason else ''}"]
        archive = next((one for one in self.evidence.artifacts if one.path == said.archive), None)
        if archive is None or archive.kind is not Kind.ARCHIVE or artifact.debug:
            raise VerificationError(f"accepted, it says, in {said.archive}, which is no archive of this release")
        if archive.notarization is None or archive.notarization.submission != said.submission:
            raise VerificationError(f"{archive.path} was not notarized in submission {said.submission}")
        inside = {
            (entry.arch, entry.cdhash)
            for one in self.evidence.artifacts
            if one.path in archive.contents
            for entry in one.slices
        }
        if not {(entry.arch, entry.cdhash) for entry in artifact.slices} <= inside:
            raise VerificationError(f"not all of its CDHashes are in {archive.path}")
        self._demand_listed(artifact, archive, sealed)
        through = "" if artifact.path in archive.contents else " through its CDHash"
        return [f"notarized{through} in submission {said.submission} ({archive.path})"]

    def _demand_listed(self, artifact: Artifact, archive: Artifact, sealed: Nested) -> None:
        """The notary's log lists every slice, those of code inside an app too."""
        path = notary.Records(self.host, self.folder / SUBMISSIONS).log_path(archive.sha256)
        if not path.is_file() or path.is_symlink():
            raise VerificationError("the notary's log is missing", where=f"{SUBMISSIONS}/{path.name}")
        log = notary.parse_log(self.host.files.read(path), path.name)
        inside = artifact.name
        own = {inside: {entry.arch: entry.cdhash for entry in artifact.slices}}
        notary.verify_listed(log, own | {f"{inside}/{path}": code for path, code in sealed.items()})

    def _staple(self, artifact: Artifact, path: Path, sealed: Nested) -> list[str]:
        staple = artifact.staple
        stapled = artifact.kind is Kind.APP and tickets.stapled_ticket(path) is not None
        if staple is None or staple.status is not StapleStatus.STAPLED:
            if stapled:
                raise VerificationError("a ticket that the release does not know", where=STAPLED_TICKET)
            if staple is None:
                return []
            if staple.ticket is None:
                return [f"staple: {staple.status}{f' ({staple.reason})' if staple.reason else ''}"]
            ticket = tickets.load_ticket(plain(self.folder, staple.ticket))
            return [self._proves(artifact, sealed, ticket, staple.ticket)]
        return [self._proves(artifact, sealed, tickets.stapled_ticket(path), STAPLED_TICKET)]

    def _proves(self, artifact: Artifact, sealed: Nested, data: bytes | None, where: str) -> str:
        if data is None:
            raise VerificationError("holds no ticket", where=where)
        try:
            ticket = tickets.verify_ticket(data, self.anchors.ticket_roots)
            inside = [cdhash for code in sealed.values() for cdhash in code.values()]
            tickets.verify_coverage(ticket, [*(entry.cdhash for entry in artifact.slices), *inside])
        except VerificationError as error:
            raise VerificationError(error.message, where=where, remedy=error.remedy) from error
        proved = ", ".join(entry.arch for entry in artifact.slices)
        return f"the ticket in {where}, of {ticket.time:%Y-%m-%d}, proves {proved} offline"


def _as_told(found: Slice, artifact: Artifact) -> Slice:
    """What was found, as far as the manifest tells of this slice: an older one does not tell of all."""
    told = next((entry for entry in artifact.slices if entry.arch == found.arch), found)
    return replace(
        found,
        entitlements=None if told.entitlements is None else found.entitlements,
        libraries=None if told.libraries is None else found.libraries,
    )


def _signer(found: VerifiedSlice) -> str:
    if not found.authorities:
        return f"ad hoc, as {found.identifier}"
    stamped = f"{found.timestamp:%Y-%m-%d %H:%M:%SZ}" if found.timestamp else "without a time stamp"
    flags = ", ".join(found.flags) or "no flags"
    return f"{found.identifier} of {found.authorities[0]} ({found.team}; {flags}), {stamped}"
