"""Where secrets come from: the system's keyring, a file closed to others, standard input, a prompt. Never argv."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from pipeline.errors import CredentialsError
from pipeline.host.files import refusals
from pipeline.host.observer import Observer, nobody
from pipeline.redact import Redactor, Secret

SERVICE = "macos-release-pipeline"
_LARGEST_FILE = 1024 * 1024
_NO_KEYRING = "on a host without a keyring, [notary] credentials in release.toml names a file closed to others instead"


class Secrets:
    """The keyring under one service name; everything that comes out is registered for redaction."""

    def __init__(self, redact: Redactor, *, observe: Observer = nobody) -> None:
        self._redact = redact
        self._observe = observe

    def get(self, name: str) -> Secret | None:
        """The secret kept under `name`, or None. Raises CredentialsError where the host has no usable keyring."""
        import keyring
        import keyring.errors

        self._observe("keyring", f"get {name}")
        try:
            text = keyring.get_password(SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise CredentialsError(
                f"the keyring cannot be read ({type(error).__name__})", remedy=_NO_KEYRING
            ) from error
        return self._redact.register(Secret(text)) if text is not None else None

    def get_or_ask(self, name: str, prompt: str) -> Secret:
        """The secret kept under `name`; where none is, or the host has no keyring, as `ask`."""
        try:
            kept = self.get(name)
        except CredentialsError:
            kept = None
        return kept or self.ask(prompt)

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret under `name`. Raises CredentialsError where the host has no usable keyring."""
        import keyring
        import keyring.errors

        self._redact.register(secret)
        self._observe("keyring", f"put {name}")
        try:
            keyring.set_password(SERVICE, name, secret.reveal())
        except keyring.errors.KeyringError as error:
            raise CredentialsError(
                f"the keyring cannot be written ({type(error).__name__})", remedy=_NO_KEYRING
            ) from error

    def delete(self, name: str) -> None:
        """Raises CredentialsError where nothing is kept under `name`."""
        import keyring
        import keyring.errors

        self._observe("keyring", f"delete {name}")
        try:
            keyring.delete_password(SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise CredentialsError(f"nothing kept under {name}") from error

    def read_file(self, path: Path) -> Secret:
        """The text of a file that is ours and closed to everybody else; CredentialsError for any other.

        What in it is secret is the caller's to register: a line such as `"schema": 1,` must not be redacted.
        """
        self._observe("secret file", str(path))
        # A fifo is not waited for.
        with refusals(path), os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise CredentialsError("not a regular file", where=str(path))
            if about.st_uid != os.geteuid():
                raise CredentialsError("a file of secrets that belongs to somebody else", where=str(path))
            if about.st_mode & 0o077:
                raise CredentialsError(
                    f"a file of secrets that others can open (mode {stat.S_IMODE(about.st_mode):04o})",
                    where=str(path),
                    remedy=f"chmod 600 {path}; whoever could read it until now may have its secrets",
                )
            data = stream.read(_LARGEST_FILE + 1)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = ""
        if not text.strip() or len(data) > _LARGEST_FILE:
            raise CredentialsError("no text of secrets", where=str(path))
        return Secret(text)

    def ask(self, prompt: str) -> Secret:
        """From a person, without echo; from a pipe, the first line of standard input."""
        if sys.stdin.isatty():
            return self._redact.register(Secret(getpass.getpass(prompt + ": ")))
        return self._redact.register(Secret(sys.stdin.readline().rstrip("\n")))

    def read_input(self) -> Secret:
        """All of standard input. What in it is secret is the caller's to register, as in a file."""
        self._observe("secret input", "standard input")
        text = sys.stdin.read(_LARGEST_FILE + 1)
        if not text.strip() or len(text) > _LARGEST_FILE:
            raise CredentialsError("no text of secrets", where="standard input")
        return Secret(text)
