"""A keychain for CI: made, filled and proved step by step, and the user's own search list and default as they were.

Every step is read back, since several of these commands say nothing where they did nothing: the keychain by its file,
settings and lock by `show-keychain-info`, imports by `find-identity`, the search list by `list-keychains`, and all of
it, with the partition list without which codesign hangs, by a trial signature. What holds a secret goes through
`security -i` on its standard input, never its argv. The keychain's password is chance and kept nowhere: these steps
alone need it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.errors import ConfigurationError, CredentialsError, MalformedFile, ReleaseError
from pipeline.redact import Secret
from pipeline.toolchain.apple.codesign import Signing, sign
from pipeline.toolchain.apple.identities import KeychainIdentity, choose, find_identities
from pipeline.toolchain.apple.texts import refusal
from pipeline.toolchain.apple.tools import Tools, text_of

_UNLOCKED_FOR = 21600
_PARTITIONS = "apple-tool:,apple:,codesign:"
_SETTINGS = re.compile(r"timeout=(?P<seconds>[0-9]+)s")
_NO_TIMEOUT = "no-timeout"
# What a kill can leave beside the keychain.
_SCRAPS = ("cer", "trial")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The user's keychains before ours."""

    search: tuple[str, ...]
    default: str | None

    def to_json(self) -> bytes:
        return json.dumps({"search": self.search, "default": self.default}).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> _Before:
        """Raises MalformedFile: a search list that is guessed at could lose one of the user's keychains."""
        try:
            document = json.loads(data)
            search, default = document["search"], document["default"]
        except (ValueError, KeyError, TypeError, RecursionError):
            search = default = None
        if not isinstance(search, list) or not all(isinstance(one, str) for one in (*search, default or "")):
            raise MalformedFile(
                "does not say which keychains there were before",
                where=where,
                remedy="put search list and default right with security(1), then remove this file",
            )
        return cls(search=tuple(search), default=default)


class Keychain:
    """A keychain at `path`, which ends in `.keychain-db`. What was before lies beside it until `delete`."""

    def __init__(self, tools: Tools, path: Path) -> None:
        if not path.is_absolute() or path.suffix != ".keychain-db":
            raise ConfigurationError("a keychain is named by its full path, ending in .keychain-db", where=str(path))
        self._tools = tools
        self._files = tools.host.files
        # As `security` lists it: /tmp is a link on macOS.
        self.path = Path(os.path.realpath(path))
        self._memory = self._beside("before.json")

    def create(self, p12: Path, password: Secret, certificates: Sequence[bytes], trial: Path) -> KeychainIdentity:
        """Make it, with the identity of a `.p12` and these certificates (DER); signs a copy of `trial` as the proof.

        Whatever fails, nothing of it stays and the search list is as it was. Raises CredentialsError.
        """
        if self._memory.exists() or self.path.exists():
            self.delete()  # what a kill left
        self._files.make_folder(self.path.parent)
        self._files.write(self._memory, self._remember().to_json(), mode=0o600)
        try:
            self._make(p12, password, certificates)
            identity = choose(find_identities(self._tools, self.path), None)
            self._try(identity, trial)
        except BaseException:
            self.delete()
            raise
        return identity

    def delete(self) -> None:
        """Restore search list and default, remove the keychain, and read all of it back. Doing it twice is no error."""
        remembered = self._files.read(self._memory) if self._memory.exists() else None
        before = _Before.from_json(remembered, str(self._memory)) if remembered is not None else self._remember()
        search = tuple(one for one in before.search if not self._is_ours(one))
        default = before.default if before.default and not self._is_ours(before.default) else None
        steps: tuple[Callable[[], None], ...] = (
            partial(self._set_search, search),
            partial(self._set_default, default),
            self._remove,
        )
        problems = []
        for step in steps:
            try:
                step()
            except ReleaseError as error:
                problems.append(error)  # the others are done all the same
        if problems:
            raise problems[0]
        for what in (*_SCRAPS, "before.json"):
            self._files.remove(self._beside(what))

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{what}")

    def _make(self, p12: Path, password: Secret, certificates: Sequence[bytes]) -> None:
        host = self._tools.host
        own = host.redact.register(Secret(host.entropy.bytes(24).hex()))
        self._interactive("create-keychain", "-p", own, self.path)
        if not self.path.exists():
            raise CredentialsError("no keychain was made, and nothing was said", where=str(self.path))
        self._plain("set-keychain-settings", "-lut", str(_UNLOCKED_FOR), self.path)
        self._interactive("unlock-keychain", "-p", own, self.path)
        self._demand_unlocked()
        self._interactive(
            "import", p12, "-k", self.path, "-f", "pkcs12", "-P", password, "-T", self._tools.path("codesign")
        )
        for certificate in certificates:
            self._import(certificate)
        self._interactive("set-key-partition-list", "-S", _PARTITIONS, "-s", "-k", own, self.path)
        # Older macOS lists a keychain when it makes it.
        self._set_search((*(one for one in self._search() if not self._is_ours(one)), str(self.path)))

    def _import(self, certificate: bytes) -> None:
        place = self._beside("cer")
        self._files.write(place, certificate)
        try:
            self._plain("import", place, "-k", self.path)
        finally:
            self._files.remove(place)

    def _try(self, identity: KeychainIdentity, trial: Path) -> None:
        """find-identity calls identities valid that codesign cannot use: a signature alone is proof."""
        copy = self._beside("trial")
        self._files.copy(trial, copy, mode=0o755)
        try:
            signing = Signing(
                identity=identity.sha1, identifier="keychain.trial", entitlements=None, keychain=self.path
            )
            sign(self._tools, copy, signing, (), "trial signature")
        finally:
            self._files.remove(copy)

    def _remember(self) -> _Before:
        completed = self._tools.run("security", "default-keychain", "-d", "user")
        default = _paths(text_of(completed))
        return _Before(search=self._search(), default=default[0] if completed.returncode == 0 and default else None)

    def _search(self) -> tuple[str, ...]:
        return _paths(self._plain("list-keychains", "-d", "user"))

    def _set_search(self, paths: Sequence[str]) -> None:
        self._plain("list-keychains", "-d", "user", "-s", *paths)
        found = self._search()
        if [*map(os.path.realpath, found)] != [*map(os.path.realpath, paths)]:
            raise CredentialsError(
                f"the search list is {', '.join(found) or 'empty'} after it was set to {', '.join(paths) or 'nothing'}",
                where="security list-keychains",
                remedy="create ~/Library/Preferences, where the list is kept",
            )

    def _set_default(self, path: str | None) -> None:
        """As it was; a default that nobody set is nobody's to set."""
        if path is None or self._remember().default == path:
            return
        self._plain("default-keychain", "-d", "user", "-s", path)
        if self._remember().default != path:
            raise CredentialsError("the default keychain did not take", where="security default-keychain")

    def _demand_unlocked(self) -> None:
        """Of a locked keychain nothing is told."""
        text = self._plain("show-keychain-info", self.path)
        found = _SETTINGS.search(text)
        if _NO_TIMEOUT not in text and (found is None or int(found["seconds"]) < _UNLOCKED_FOR):
            raise CredentialsError(f"it locks by itself too soon: {text.strip()}", where="security show-keychain-info")

    def _remove(self) -> None:
        if self.path.exists():
            self._plain("delete-keychain", self.path)
        if self.path.exists():
            raise CredentialsError("it is still there after it was deleted", where=str(self.path))
        default = self._remember().default
        if default and self._is_ours(default):
            raise CredentialsError("it is still the default keychain", where=str(self.path))

    def _is_ours(self, path: str) -> bool:
        return os.path.realpath(path) == str(self.path)

    def _plain(self, command: str, *words: str | Path) -> str:
        completed = self._tools.run("security", command, *words)
        if completed.returncode != 0 or completed.timed_out:
            raise refusal("security", completed, CredentialsError, f"security {command}").error
        return text_of(completed)

    def _interactive(self, command: str, *words: str | Path | Secret) -> None:
        """One command on standard input. `security -i` exits 0 whatever came of it: its words and readback count."""
        line = " ".join([command, *(_quoted(word) for word in words)]) + "\n"
        completed = self._tools.run("security", "-i", stdin=line.encode())
        said = text_of(completed).strip()
        failed = completed.returncode != 0 or completed.timed_out
        if failed or "security: " in said or "SecKeychain" in said or "returned -1" in said:
            raise refusal("security", completed, CredentialsError, f"security {command}").error


def _quoted(word: str | Path | Secret) -> str:
    """As `security -i` takes a word apart: in double quotes, a backslash before quotes and backslashes."""
    text = word.reveal() if isinstance(word, Secret) else str(word)
    if "\n" in text or "\0" in text:
        raise CredentialsError("a line break in a password or a path")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _paths(text: str) -> tuple[str, ...]:
    """The keychains that `security` lists: one a line, in double quotes."""
    return tuple(line.strip().strip('"') for line in text.splitlines() if line.strip().startswith('"'))
