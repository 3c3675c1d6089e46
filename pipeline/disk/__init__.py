"""The engine on disk: gives it Sources and Trees, applies its plans. What appears, appears whole, by one rename."""

from pipeline.disk.digests import tree_digest
from pipeline.disk.machofile import join, sign_file, strip, thin, verify_file, verify_path
from pipeline.disk.parts import write_parts
from pipeline.disk.source import FileSource, open_source

__all__ = [
    "FileSource",
    "join",
    "open_source",
    "sign_file",
    "strip",
    "thin",
    "tree_digest",
    "verify_file",
    "verify_path",
    "write_parts",
]
