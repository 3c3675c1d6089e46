"""Every artifact and every slice, and what the notary said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.manifest import artifact_from_json
from pipeline.model import Artifact, Kind, NotarizationStatus, Slice, StapleStatus
from pipeline.notary import NotaryLog
from pipeline.report.markup import Content, Markup, badge, code, element, folded, framed, joined, lines, section, table

GOOD, BAD, NEUTRAL = "good", "bad", "neutral"

Nested = Mapping[str, Mapping[str, Mapping[str, str]]]
"""An app's path → path of code inside it → architecture → CDHash."""

_COLUMNS = ("Artifact", "Slice", "CDHash", "Signed as", "Notarization, staple")


def of_manifest(document: Mapping[str, Any]) -> tuple[Artifact, ...]:
    return tuple(artifact_from_json(one) for one in document.get("artifacts", ()))


def artifacts(document: Mapping[str, Any], told: Mapping[str, Sequence[str]]) -> Markup:
    """A table for each product; an artifact is a group of rows, one for each slice."""
    products: dict[str, list[Artifact]] = {}
    for artifact in of_manifest(document):
        products.setdefault(artifact.product, []).append(artifact)
    parts: list[Content] = []
    for product, made in products.items():
        if len(products) > 1:
            parts.append(element("h3", product))
        bodies = [_body(one, told.get(one.path, ())) for one in made]
        parts.append(framed(f"Artifacts and slices of {product}", _COLUMNS, bodies))
    return section("artifacts", "Artifacts", *(parts or [element("p", "None.")]))


def _body(artifact: Artifact, words: Sequence[str]) -> Markup:
    slices: tuple[Slice | None, ...] = artifact.slices or (None,)
    rows: list[Markup] = []
    for number, one in enumerate(slices):
        cells = _slice(one) if one is not None else [element("td", ", ".join(artifact.contents), colspan="3")]
        if number == 0:
            high = str(len(slices))
            head = element("th", _name(artifact), scope="rowgroup", rowspan=high)
            cells = [head, *cells, element("td", _apple(artifact), rowspan=high)]
        rows.append(element("tr", *cells))
    proof = [element("p", one) for one in (*words, *_beyond(artifact.slices))]
    if proof:
        more = element("td", folded(f"What {artifact.path} proves", *proof), colspan=str(len(_COLUMNS)))
        rows.append(element("tr", more, class_="proof"))
    return element("tbody", *rows)


def _name(artifact: Artifact) -> Markup:
    kind = f"{artifact.kind}{', DEBUG' if artifact.debug else ''} · {artifact.size:,} bytes"
    return joined([code(artifact.path), element("div", kind), element("code", artifact.sha256, class_="sha256")])


def _slice(one: Slice) -> list[Markup]:
    about = f"{one.identifier}; team {one.team or 'none'}; {', '.join(one.flags) or 'no flags'}"
    cdhash = element("code", one.cdhash, class_="cdhash")
    return [element("td", one.arch), element("td", cdhash), element("td", about, class_="about")]


def _beyond(slices: Sequence[Slice]) -> Iterator[str]:
    """Entitlements and libraries: said once where all slices have the same."""
    for name, told in (
        ("entitlements", {one.arch: one.entitlements for one in slices}),
        ("links", {one.arch: one.libraries for one in slices}),
    ):
        by_texts: dict[tuple[str, ...], list[str]] = {}
        for arch, texts in told.items():
            if texts is not None:
                by_texts.setdefault(texts, []).append(arch)
        for texts, architectures in by_texts.items():
            yield f"{', '.join(architectures)}: {name} {', '.join(texts) or 'none'}"


def _apple(artifact: Artifact) -> Markup:
    return lines(one for one in (notarized(artifact), _stapled(artifact)) if one)


def notarized(artifact: Artifact) -> Markup | None:
    said = artifact.notarization
    if said is None:
        return None
    kind = {NotarizationStatus.ACCEPTED: GOOD, NotarizationStatus.EXCLUDED: NEUTRAL}.get(said.status, BAD)
    return badge(f"notarization {said.status}", kind)


def _stapled(artifact: Artifact) -> Markup | None:
    said = artifact.staple
    if said is None:
        return None
    return badge(str(said.status), GOOD if said.status is StapleStatus.STAPLED else NEUTRAL)


def notary(document: Mapping[str, Any], logs: Mapping[str, NotaryLog], nested: Nested) -> Markup:
    """The notary's answer, each CDHash that it lists held against ours, and each of ours against it."""
    made = of_manifest(document)
    ours: dict[tuple[str, str], str] = {}
    # Of several artifacts with one CDHash the one that was in the archive is named: thins come first.
    for artifact in sorted(made, key=lambda one: one.kind is not Kind.THIN):
        ours |= _code(artifact, nested)
    parts: list[Content] = []
    # What is inside an app that was not judged, nobody has read: its CDHashes are not known, which is no accusation.
    judged = all(one.path in nested for one in made if one.kind is Kind.APP)
    stranger = badge("not ours", BAD) if judged else badge("not known: an app was not judged", NEUTRAL)
    for archive in made:
        if archive.kind is Kind.ARCHIVE and archive.notarization is not None:
            inside = [_code(one, nested) for one in made if one.path in archive.contents]
            sent = {key: path for one in inside for key, path in one.items()}
            parts += _answer(archive, logs.get(archive.sha256), ours, sent, stranger)
    return section("notary", "The notary's answer", *(parts or [element("p", "No notary was asked.")]))


def _code(artifact: Artifact, nested: Nested) -> dict[tuple[str, str], str]:
    """(CDHash, architecture) → whose it is."""
    inside = nested.get(artifact.path, {})
    found = {(cdhash, arch): f"{artifact.path}/{path}" for path, one in inside.items() for arch, cdhash in one.items()}
    return found | {(one.cdhash, one.arch): artifact.path for one in artifact.slices}


def _answer(
    archive: Artifact,
    log: NotaryLog | None,
    ours: Mapping[tuple[str, str], str],
    sent: Mapping[tuple[str, str], str],
    stranger: Markup,
) -> Iterator[Markup]:
    submission = archive.notarization.submission if archive.notarization else None
    yield element("h3", archive.path)
    yield element("p", notarized(archive), " submission ", code(submission or "none"))
    if log is None:
        yield element("p", "Its log is not in this folder.")
        return
    yield element("p", f"{log.summary or ''} (status code {log.status_code})")
    listed = {(one.cdhash, one.arch or ""): one.path for one in log.ticket_contents or ()}
    rows: list[tuple[Content, ...]] = [
        (code(path), arch or "-", element("code", cdhash, class_="cdhash"), _same(ours.get((cdhash, arch))) or stranger)
        for (cdhash, arch), path in listed.items()
    ]
    missing = {key: path for key, path in sent.items() if key not in listed}
    rows += [
        (code(path), arch, element("code", cdhash, class_="cdhash"), badge("ours, not listed", BAD))
        for (cdhash, arch), path in missing.items()
    ]
    strange = sum(key not in ours for key in listed)
    shown = table(f"What the ticket of {archive.path} covers", ("Path", "Slice", "CDHash", "Ours"), rows)
    if missing or strange:
        yield shown
    else:
        words = f"Each of the {len(listed)} CDHashes that it lists is ours, and each of ours in this archive is listed"
        yield folded(joined([badge("same", GOOD), f" {words}"]), shown)


def _same(path: str | None) -> Markup | None:
    return joined([badge("same", GOOD), " ", code(path)]) if path is not None else None
