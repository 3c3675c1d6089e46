"""A signature as facts that a person or a program can read, and two of them compared field by field.

`describe` gives plain values (texts, numbers, lists, mappings) that JSON can hold; `render` prints them as stable text.
Nothing is verified here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipeline.codesign import der
from pipeline.codesign.certificates import common_name, load_certificate
from pipeline.codesign.cms import TIMESTAMP_TOKEN, parse_cms
from pipeline.codesign.code_directory import CodeDirectory, Flags
from pipeline.codesign.constraints import parse_constraint_der
from pipeline.codesign.entitlements import parse_entitlements, parse_entitlements_der
from pipeline.codesign.eras import ERAS
from pipeline.codesign.requirements import RequirementType, parse_requirement_set, requirement_text
from pipeline.codesign.signature import Signature, read_signature
from pipeline.codesign.signed_data import SIGNING_TIME, single_value
from pipeline.codesign.superblob import CONSTRAINT_SLOTS, Magic, Slot, build_blob, slot_name
from pipeline.codesign.timestamp_token import parse_token
from pipeline.errors import ConfigurationError, ReleaseError
from pipeline.macho import FileType, MachSlice, Platform, first_nonzero

Facts = dict[str, Any]

_VERSION = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,3}))?(?:\.([0-9]{1,3}))?", re.ASCII)


class Form(StrEnum):
    """Whose signatures one looks like, by the marks that it bears; ours look like codesign's."""

    CODESIGN = "codesign"
    LINKER = "linker"
    OTHER = "neither codesign nor linker"


# What any era's codesign sets aside for a CMS, less the header of the empty one that an ad-hoc signature has.
_LEAST_ROOM = min(era.cms_room for era in ERAS) - 8


def form_of(signature: Signature, reserved: int | None = None) -> Form:
    """The linker says so; codesign always writes requirements and a CMS slot, its CMS with indefinite lengths.

    `reserved` is the size of the signature's place, where it has one: ad hoc, too, codesign leaves room for a CMS.
    """
    if signature.best.flags & Flags.LINKER_SIGNED:
        return Form.LINKER
    complete = signature.blob(Slot.REQUIREMENTS) is not None and signature.blob(Slot.CMS) is not None
    if signature.cms:
        is_codesigns = signature.cms[:2] == b"\x30\x80"
    else:
        is_codesigns = reserved is None or reserved >= len(signature.superblob) + _LEAST_ROOM
    return Form.CODESIGN if complete and is_codesigns else Form.OTHER


def describe(slices: Sequence[MachSlice]) -> list[Facts]:
    """One mapping of facts for each slice. A part that cannot be read says so in its place."""
    return [_describe_slice(one) for one in slices]


def _describe_slice(one: MachSlice) -> Facts:
    image = one.image
    facts: Facts = {
        "arch": one.arch,
        "offset": one.offset,
        "size": one.size,
        "file_type": next((kind.name.lower() for kind in FileType if kind == image.filetype), str(image.filetype)),
        "uuid": image.uuid.hex() if image.uuid else None,
    }
    if image.build is not None:
        platform = next((known.name for known in Platform if known == image.build.platform), str(image.build.platform))
        facts["platform"] = platform.lower().replace("_", "-")
        facts["minimum"] = version_text(image.build.minimum)
        facts["sdk"] = version_text(image.build.sdk)
    try:
        signature = read_signature(one)
        facts["signature"] = _describe_signature(signature, one) if signature is not None else None
    except ReleaseError as error:
        facts["signature"] = {"error": str(error)}
    return facts


def _describe_signature(signature: Signature, one: MachSlice) -> Facts:
    command = one.image.signature
    assert command is not None, "an image with a signature has the command that says where"
    place: Facts = {
        "offset": command.dataoff,
        "reserved": command.datasize,
        "length": len(signature.superblob),
        "residue": first_nonzero(one.source, command.dataoff + len(signature.superblob), one.size) is not None,
    }
    return describe_signature(signature, form_of(signature, command.datasize), place)


def describe_signature(signature: Signature, form: Form, place: Facts) -> Facts:
    """What a signature says; `place` are the facts of where it is, if it is in an image."""
    facts: Facts = {
        "form": str(form),
        "cdhash": signature.best.cdhash.hex(),
        "identifier": signature.best.identifier,
        "team": signature.best.team,
        "flags": list(signature.best.flag_names),
        **place,
        "code_directories": [_describe_directory(directory) for directory in signature.directories],
    }
    for name, (slot, read) in _PARTS.items():
        payload = signature.payload(slot)
        if payload is None:
            continue
        try:
            facts[name] = read(payload)
        except ReleaseError as error:
            facts[name] = {"error": str(error)}
    facts["blobs"] = [
        {"slot": slot_name(blob.slot), "length": len(blob.data), "sha256": hashlib.sha256(blob.data).hexdigest()}
        for blob in signature.blobs
    ]
    return facts


def _describe_directory(directory: CodeDirectory) -> Facts:
    special = {
        slot_name(slot): value.hex()
        for slot in range(1, len(directory.special) + 1)
        if (value := directory.special_hash(slot)) is not None
    }
    return {
        "hash_type": directory.hash_type.label,
        "version": f"{directory.version:#x}",
        "cdhash": directory.cdhash.hex(),
        "full_cdhash": directory.full_cdhash.hex(),
        "flags": f"{directory.flags:#x}",
        "identifier": directory.identifier,
        "team": directory.team,
        "platform": directory.platform,
        "page_size": directory.page_size,
        "code_limit": directory.code_limit,
        "pages": directory.code_slots,
        "pages_sha256": hashlib.sha256(directory.code).hexdigest(),
        "executable_segment": {
            "base": directory.exec_segment_base,
            "limit": directory.exec_segment_limit,
            "flags": f"{directory.exec_segment_flags:#x}",
        },
        "runtime": version_text(directory.runtime) if directory.runtime else None,
        "special_slots": special,
    }


def _describe_requirements(payload: bytes) -> Facts:
    names = {kind.value: kind.name.lower() for kind in RequirementType}
    found = parse_requirement_set(build_blob(Magic.REQUIREMENTS, payload))
    return {names.get(kind, str(kind)): requirement_text(one) for kind, one in found.items()}


def _describe_cms(cms: bytes) -> Facts | None:
    if not cms:
        return None
    data = parse_cms(cms)
    signed = single_value(data.signer.signed, SIGNING_TIME)
    token = single_value(data.signer.unsigned, TIMESTAMP_TOKEN)
    return {
        "length": len(cms),
        "certificates": [common_name(load_certificate(each)) for each in data.certificates],
        "signed_attributes": [attribute.oid for attribute in data.signer.signed],
        "signature_algorithm": data.signer.algorithm.oid,
        "signing_time": _time(der.parse_time(der.parse(signed))) if signed is not None else None,
        "timestamp": _time(parse_token(token).time) if token is not None else None,
    }


_PARTS: dict[str, tuple[int, Callable[[bytes], object]]] = {
    "requirements": (Slot.REQUIREMENTS, _describe_requirements),
    "entitlements": (Slot.ENTITLEMENTS, lambda payload: _plain(parse_entitlements(payload))),
    "entitlements_der": (Slot.ENTITLEMENTS_DER, lambda payload: _plain(parse_entitlements_der(payload))),
    **{slot_name(slot): (slot, lambda payload: _plain(parse_constraint_der(payload))) for slot in CONSTRAINT_SLOTS},
    "cms": (Slot.CMS, _describe_cms),
}


def version_text(packed: int) -> str:
    """A packed version as text: 0x000d0500 is "13.5", 0x000a0b04 is "10.11.4"."""
    major, minor, patch = packed >> 16, packed >> 8 & 0xFF, packed & 0xFF
    return f"{major}.{minor}.{patch}" if patch else f"{major}.{minor}"


def parse_version_text(text: str) -> int:
    """The inverse of `version_text`; what is left out is zero. Raises ConfigurationError for what is no version."""
    found = _VERSION.fullmatch(text)
    numbers = [int(number or 0) for number in found.groups()] if found else []
    if not numbers or max(numbers[0] >> 8, *numbers[1:]) > 0xFF:
        raise ConfigurationError(f"{text!r} is not a version", remedy="such as 13.5 or 10.11.4")
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2]


def render(facts: object, indent: int = 0) -> str:
    """Facts as text: a line for each, in the order they come, what belongs together set in by two spaces."""
    return "\n".join(_lines(facts, indent))


def _lines(facts: object, indent: int) -> Iterator[str]:
    margin = "  " * indent
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            if isinstance(value, Mapping | list) and value:
                yield f"{margin}{key}:"
                yield from _lines(value, indent + 1)
            else:
                yield f"{margin}{key}: {_scalar(value)}"
    elif isinstance(facts, list):
        for value in facts:
            if isinstance(value, Mapping):
                first, *rest = _lines(value, indent + 1)
                yield f"{margin}- {first.strip()}"
                yield from rest
            else:
                yield f"{margin}- {_scalar(value)}"
    else:
        yield f"{margin}{_scalar(facts)}"


def _scalar(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text if text.isprintable() else ascii(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field that two signatures have differently; None where one has no such field."""

    field: str
    one: str | None
    other: str | None


def differences(one: Sequence[Facts], other: Sequence[Facts]) -> tuple[Difference, ...]:
    """Every field that differs between the facts of two files or bundles, in the order in which the fields come.

    Slices pair by architecture, those of a bundle by their file as well.
    """
    left, right = _fields(one), _fields(other)
    return tuple(
        Difference(field=field, one=left.get(field), other=right.get(field))
        for field in dict.fromkeys((*left, *right))
        if left.get(field) != right.get(field)
    )


def _fields(slices: Sequence[Facts]) -> dict[str, str]:
    return {
        field: value
        for one in slices
        for field, value in _flatten(one, ": ".join(str(one[key]) for key in ("path", "arch") if key in one))
    }


def _flatten(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}: {key}")
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            name = inner.get("slot") or inner.get("hash_type") or inner.get("path") or number
            yield from _flatten(inner, f"{path}: {name}")
    elif isinstance(value, list):
        yield path, ", ".join(map(_scalar, value)) or "none"
    else:
        yield path, _scalar(value)


def _time(moment: datetime) -> str:
    return moment.isoformat()


def _plain(value: Any) -> Any:
    """Values of a property list as JSON can hold them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return _time(value)
    return value
