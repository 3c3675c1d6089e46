"""Where secrets come from: the system's keyring, standard input, a prompt. Never argv."""

from __future__ import annotations

import getpass
import sys

from pipeline.errors import CredentialsError
from pipeline.host.observer import Observer, nobody
from pipeline.redact import Redactor, Secret

SERVICE = "macos-release-pipeline"


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
            raise CredentialsError(f"the keyring cannot be read ({type(error).__name__})") from error
        return self._redact.register(Secret(text)) if text is not None else None

    def put(self, name: str, secret: Secret) -> None:
        import keyring
        import keyring.errors

        self._redact.register(secret)
        self._observe("keyring", f"put {name}")
        try:
            keyring.set_password(SERVICE, name, secret.reveal())
        except keyring.errors.KeyringError as error:
            raise CredentialsError(f"the keyring cannot be written ({type(error).__name__})") from error

    def delete(self, name: str) -> None:
        import keyring
        import keyring.errors

        self._observe("keyring", f"delete {name}")
        try:
            keyring.delete_password(SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise CredentialsError(f"nothing kept under {name}") from error

    def ask(self, prompt: str) -> Secret:
        """From a person, without echo; from a pipe, the first line of standard input."""
        if sys.stdin.isatty():
            return self._redact.register(Secret(getpass.getpass(prompt + ": ")))
        return self._redact.register(Secret(sys.stdin.readline().rstrip("\n")))
