"""Team keys for the notary, under names: in the system's keyring, or in the file that `[notary] credentials` names."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG, JSON
from pipeline.tasks.session import command, is_dry

_HELP = {
    "config": "the release.toml whose [notary] credentials may name a file (default: the one beside tasks.py)",
    **DEBUG,
}
_NAME = {"name": "what the key is kept under, such as the [notary] profile; `--name` can be left out"}


@task(
    auto_shortflags=False,
    help=_HELP
    | _NAME
    | {
        "stdin": "read the key from standard input: the .p8, or JSON with issuer, key-id and private-key",
        "issuer": "the issuer id of the team's keys; asked for where it is not given",
        "key_id": "asked for where it is not given",
        "key": "the .p8 file as App Store Connect handed it out; asked for where it is not given",
    },
)
def store(
    context: InvokeContext,
    name: str,
    stdin: bool = False,
    issuer: str | None = None,
    key_id: str | None = None,
    key: str | None = None,
    config: str | None = None,
    debug: bool = False,
) -> None:
    """Keep a team key under a name, in place of one that has it."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keeping

        wish = keeping.Wish(stdin=stdin, issuer=issuer, key_id=key_id, key=key)
        keeping.store(host, config, name, wish, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help=_HELP
    | _NAME
    | {"notary": "another notary's address than Apple's, such as the one that rehearsal.serve prints"},
)
def check(
    context: InvokeContext, name: str, notary: str | None = None, config: str | None = None, debug: bool = False
) -> None:
    """One cheap call to the notary: are the key, its role, the agreements and this machine's clock good?"""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keeping

        keeping.check(host, config, name, notary)


@task(name="list", auto_shortflags=False, help=_HELP | JSON)
def list_(context: InvokeContext, config: str | None = None, json: bool = False, debug: bool = False) -> None:
    """The names that keys are kept under, and where."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keeping

        keeping.show(host, config, as_json=json)


@task(auto_shortflags=False, help=_HELP | _NAME)
def delete(context: InvokeContext, name: str, config: str | None = None, debug: bool = False) -> None:
    """Forget the key of this name here; App Store Connect still honours it."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import keeping

        keeping.delete(host, config, name, dry=is_dry(context))
