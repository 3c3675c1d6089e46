"""Identities out of files: opened, with a password where they want one, and fit to sign with today."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.codesign.cms import Identity
from pipeline.errors import ReleaseError
from pipeline.host import Host
from pipeline.identity import is_closed, load_identity, validity_warnings
from pipeline.redact import Secret


def opened(host: Host, data: bytes, where: str, password: Callable[[], Secret]) -> Identity:
    """The identity in the bytes of a .p12 or PEM file; `password` is called where the file is closed.

    What ends soon is said. Raises CredentialsError, also for a certificate that is not valid now; MalformedFile.
    """
    try:
        found = load_identity(data, password() if is_closed(data) else None)
        warnings = validity_warnings(found.chain, host.clock.now())
    except ReleaseError as error:
        raise error.at(where) from None
    for words in warnings:
        host.console.say(f"warning: {where}: {words}")
    return found
