"""Files and bundles signed by codesign: copies in a folder for work, code in a bundle before the bundle, never --deep.

What codesign left is read by our own verifier, slice by slice, before anything else is done with it: codesign exits 0
for options that it ignored. What it changes in entitlements, and what it cannot be asked for, is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.codesign.certificates import Anchors
from pipeline.codesign.entitlement_changes import entitlement_changes
from pipeline.codesign.entitlements import parse_entitlements
from pipeline.codesign.eras import DEFAULT_ERA
from pipeline.codesign.verified import VerifiedSlice
from pipeline.errors import MalformedFile, SigningError, VerificationError
from pipeline.toolchain import SignRequest
from pipeline.toolchain.apple import codesign, xattr
from pipeline.toolchain.apple.codesign import AD_HOC, Signing
from pipeline.toolchain.apple.identities import KeychainIdentity
from pipeline.toolchain.apple.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs, and what is demanded of the result."""

    tools: Tools
    anchors: Anchors
    identity: KeychainIdentity | None
    """None signs ad hoc."""
    pauses: tuple[timedelta, ...]
    """Between tries for a time stamp."""
    work: Path
    """A folder for what codesign is given: property lists, code out of archives."""
    keychain: Path | None = None

    def sign_file(self, path: Path, request: SignRequest) -> tuple[VerifiedSlice, ...]:
        """Sign a file in place. Raises SigningError where codesign refuses, or left something else than was asked."""
        _tell_of_the_era(request, path.name)
        xattr.clear(self.tools, path, path.name)
        return self._sign(_Code(target=path, executable=path, name=path.name), request, request.entitlements)

    def sign_bundle(self, path: Path, request: SignRequest) -> tuple[VerifiedSlice, ...]:
        """Sign a bundle and all code in it, in place, from the inside out; archives first: they are sealed as data."""
        executable = disk.executable_of(path)
        name = executable.relative_to(path).as_posix()
        _tell_of_the_era(request, name)
        xattr.clear(self.tools, path, path.name)
        given = disk.entitled(path, request.nested_entitlements, archives=request.sign_archives)
        member = partial(self._sign_member, request, given) if request.sign_archives else None
        disk.sign_archives(self.tools.host.files, path, member, request.told)
        for target, inner in disk.code_inside(path):
            code = _Code(target=path / target, executable=path / inner, name=inner, main=False)
            self._sign_inside(code, request, given, target)
        return self._sign(_Code(target=path, executable=executable, name=name), request, request.entitlements)

    def _sign_member(self, request: SignRequest, given: Mapping[str, bytes | None], file: Path, path: str) -> None:
        """codesign takes an identifier from the name of a file, which in its archive is another than here."""
        name = path.rpartition("/")[2]
        if name in (".", ".."):
            raise SigningError("no file can have this name", where=path)
        files, place = self.tools.host.files, self.work / "member" / name
        files.make_folder(place.parent)
        files.move(file, place)
        self._sign_inside(_Code(target=place, executable=place, name=path, main=False), request, given, path)
        files.move(place, file)

    def _sign_inside(self, code: _Code, request: SignRequest, given: Mapping[str, bytes | None], target: str) -> None:
        """`given`: code that a pattern named → its entitlements, or None to preserve those that it has."""
        chosen = next((name for name in (target, code.name) if name in given), None)
        if chosen is not None:
            try:
                disk.demand_entitleable(code.executable)
            except SigningError as error:
                raise error.at(code.name) from None
        plist = given[chosen] if chosen is not None else None
        self._sign(code, request, plist, preserve=chosen is not None and plist is None)

    def _sign(
        self, code: _Code, request: SignRequest, plist: bytes | None, *, preserve: bool = False
    ) -> tuple[VerifiedSlice, ...]:
        archs = self._demand_signable(code)
        place = None
        if plist is not None:
            place = self.work / "entitlements.plist"
            self.tools.host.files.write(place, plist)
        before = disk.entitlements_of(code.executable)
        signing = Signing(
            identity=self.identity.sha1 if self.identity else AD_HOC,
            identifier=request.identifier if code.main else None,
            entitlements=place,
            keychain=self.keychain,
            preserve=preserve,
        )
        codesign.sign(self.tools, code.target, signing, self.pauses, code.name)
        wanted = before if preserve else parse_entitlements(plist) if plist is not None else {}
        try:
            found = disk.verify_path(code.target if code.main else code.executable, anchors=self.anchors)
            self._demand_as_asked(found, archs, signing.identifier, wanted)
        except VerificationError as error:
            raise SigningError(
                f"codesign left something else than was asked for: {error.message}",
                where=f"{code.name}: {error.where}" if error.where else code.name,
                remedy=error.remedy,
            ) from error
        changes = entitlement_changes(before, found[0].entitlements)
        if changes is not None:
            request.told(code.name, changes)
        return found

    def _demand_signable(self, code: _Code) -> tuple[str, ...]:
        """The architectures; codesign would write over code where a header has no room."""
        try:
            return disk.check_signable(code.executable)
        except MalformedFile as error:
            raise SigningError(error.message, where=error.where or code.name, remedy=error.remedy) from error

    def _demand_as_asked(
        self, found: Sequence[VerifiedSlice], archs: Sequence[str], identifier: str | None, wanted: Mapping[str, Any]
    ) -> None:
        """VerificationError unless every slice is signed by this identity, with these options, and time-stamped."""
        if [one.arch for one in found] != list(archs):
            raise VerificationError(f"slices {', '.join(one.arch for one in found)} instead of {', '.join(archs)}")
        name = self.identity.name if self.identity else None
        for one in found:
            signer = one.authorities[0] if one.authorities else None
            demands = {
                "no hardened runtime": "runtime" in one.flags,
                f"identifier {one.identifier}": identifier in (None, one.identifier),
                "other entitlements": dict(one.entitlements or {}) == dict(wanted),
                "no secure time stamp": self.identity is None or one.timestamp is not None,
                f"signed by {signer or 'nobody'}": signer == name,
            }
            for words, holds in demands.items():
                if not holds:
                    raise VerificationError(words, where=one.arch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """What codesign is given (a file, a bundle's root or a framework's version), and the Mach-O file that it signs."""

    target: Path
    executable: Path
    name: str
    """The executable's in messages: its path in the bundle."""
    main: bool = field(default=True)
    """Not inside a bundle that is signed: it has the request's identifier."""


def _tell_of_the_era(request: SignRequest, name: str) -> None:
    if request.era != DEFAULT_ERA.name:
        request.told(name, f"era {request.era} is not obeyed: codesign makes the bytes of its own generation")
