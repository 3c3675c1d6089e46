"""A keychain for CI. macOS only."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG_TOOLS
from pipeline.tasks.session import command, is_dry

_PLACE = {
    "keychain": "its full path, ending in .keychain-db (default: release.keychain-db in ~/Library/Keychains)",
    "tools": "a folder of tools used instead of the system's",
    **DEBUG_TOOLS,
}


@task(
    auto_shortflags=False,
    help={
        "p12": "the identity; its password is asked for, or read from standard input",
        "certificate": "a further certificate (DER) to import; Apple's Developer ID intermediates are always",
        "trial": "a Mach-O file of which a copy is signed as the proof (default: /bin/ls)",
    }
    | _PLACE,
)
def create(
    context: InvokeContext,
    p12: str,
    certificate: str | None = None,
    trial: str = "/bin/ls",
    keychain: str | None = None,
    tools: str | None = None,
    debug: bool = False,
) -> None:
    """Make a keychain with an identity that codesign can use unasked; a failure leaves everything as it was."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keychains

        dry = is_dry(context)
        keychains.create(host, p12, keychain, tools, certificate=certificate, trial=trial, dry=dry)


@task(auto_shortflags=False, help=_PLACE)
def delete(context: InvokeContext, keychain: str | None = None, tools: str | None = None, debug: bool = False) -> None:
    """Remove it, and restore the search list and the default keychain as they were before it."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keychains

        keychains.delete(host, keychain, tools, dry=is_dry(context))
