"""An embedded signature, read from its image and taken apart: SuperBlob, CodeDirectories, the parts beside them.

Here is what a signature is; whether it holds is `verifier`'s matter, and how it reads as text is `describe`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.codesign.code_directory import CodeDirectory, HashType, parse_code_directory
from pipeline.codesign.superblob import (
    ALTERNATE_SLOTS,
    SLOT_MAGIC,
    Blob,
    Magic,
    Slot,
    blob_length,
    blob_magic,
    parse_blob,
    parse_superblob,
    slot_name,
)
from pipeline.errors import MalformedFile
from pipeline.macho import MachSlice

# What a signature may take beside its page hashes: certificates, a time-stamp token, requirements, entitlements.
_LARGEST_REST = 16 * 1024 * 1024
# A page of 4096 bytes under SHA-1, SHA-256 and SHA-384.
_HASHES_PER_PAGE = 20 + 32 + 48
_SMALLEST_PAGE = 4096
_BLOB_HEADER = 8

# Strongest last: the best CodeDirectory of several names the code (Security `StaticCode.cpp`, codeDirectory).
_STRENGTH = (HashType.SHA1, HashType.SHA256_TRUNCATED, HashType.SHA256, HashType.SHA384)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    superblob: bytes = field(repr=False)
    blobs: tuple[Blob, ...] = field(repr=False)
    directories: tuple[CodeDirectory, ...]
    """That of slot 0 first."""

    def blob(self, slot: int) -> bytes | None:
        """The whole blob in a slot; None where there is none."""
        return next((blob.data for blob in self.blobs if blob.slot == slot), None)

    def payload(self, slot: int) -> bytes | None:
        """What the blob in a slot holds, without its header."""
        blob = self.blob(slot)
        return blob[_BLOB_HEADER:] if blob is not None else None

    @property
    def best(self) -> CodeDirectory:
        """The CodeDirectory with the strongest hash."""
        return max(self.directories, key=lambda one: _STRENGTH.index(one.hash_type))

    @property
    def cms(self) -> bytes:
        """The CMS signature; empty where it is ad hoc."""
        return self.payload(Slot.CMS) or b""


def read_signature(one: MachSlice) -> Signature | None:
    """The signature of an image, None where it has none.

    Raises MalformedFile for a signature that is not built as one: another kind of blob in a slot, a slot that nobody
    knows, two CodeDirectories of one hash type.
    """
    command = one.image.signature
    if command is None:
        return None
    length = blob_length(one.source.read(command.dataoff, min(_BLOB_HEADER, command.datasize)))
    if length > command.datasize:
        raise MalformedFile(f"the signature says it has {length} bytes, its place has {command.datasize}")
    if length > _LARGEST_REST + (command.dataoff // _SMALLEST_PAGE + 1) * _HASHES_PER_PAGE:
        raise MalformedFile(f"a signature of {length} bytes for an image of {command.dataoff}")
    return parse_signature(one.source.read(command.dataoff, length))


def parse_signature(superblob: bytes) -> Signature:
    """Take an embedded signature apart; raises MalformedFile as `read_signature` does."""
    blobs = parse_superblob(superblob, Magic.EMBEDDED_SIGNATURE)
    for blob in blobs:
        expected = SLOT_MAGIC.get(blob.slot)
        if expected is None:
            raise MalformedFile(f"a blob {blob_magic(blob.data):#010x} in {slot_name(blob.slot)}, which has none")
        try:
            parse_blob(blob.data, expected)
        except MalformedFile as error:
            raise error.at(slot_name(blob.slot)) from None
    found = {blob.slot: blob.data for blob in blobs}
    if Slot.CODE_DIRECTORY not in found:
        raise MalformedFile("a signature without a CodeDirectory")
    alternates = [slot for slot in ALTERNATE_SLOTS if slot in found]
    if alternates != list(ALTERNATE_SLOTS[: len(alternates)]):
        raise MalformedFile("the alternate CodeDirectories are not in the first slots of their kind")
    slots = [Slot.CODE_DIRECTORY, *alternates]
    directories = tuple(parse_code_directory(found[slot]) for slot in slots)
    if len({one.hash_type for one in directories}) != len(directories):
        raise MalformedFile("two CodeDirectories of one hash type")
    return Signature(superblob=superblob, blobs=blobs, directories=directories)
