"""The engine on disk: gives it Sources and Trees, applies its plans. What appears, appears whole, by one rename."""

from pipeline.disk.bundle import (
    code_hashes,
    code_inside,
    executable_of,
    linked_libraries,
    open_executable,
    strip,
    verify_path,
)
from pipeline.disk.bundle_archives import archived_code_hashes, sign_archives
from pipeline.disk.bundle_entitlements import choose_entitlements, entitled
from pipeline.disk.bundle_signing import sign_bundle
from pipeline.disk.contents import Contents
from pipeline.disk.digests import tree_digest
from pipeline.disk.machofile import (
    check_signable,
    demand_entitleable,
    entitlements_of,
    join,
    sign_file,
    thin,
    verify_file,
)
from pipeline.disk.parts import write_parts
from pipeline.disk.source import FileSource, open_source
from pipeline.disk.tree import FolderTree

__all__ = [
    "Contents",
    "FileSource",
    "FolderTree",
    "archived_code_hashes",
    "check_signable",
    "choose_entitlements",
    "code_hashes",
    "code_inside",
    "demand_entitleable",
    "entitled",
    "entitlements_of",
    "executable_of",
    "join",
    "linked_libraries",
    "open_executable",
    "open_source",
    "sign_archives",
    "sign_bundle",
    "sign_file",
    "strip",
    "thin",
    "tree_digest",
    "verify_file",
    "verify_path",
    "write_parts",
]
