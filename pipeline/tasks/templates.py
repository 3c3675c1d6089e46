"""Files for a developer's own bin/: which there are, how the copies stand, and copying them."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG, JSON
from pipeline.tasks.session import command, is_dry

_TO = {"to": "the folder of the copies (default: bin beside tasks.py)"}


@task(name="list", auto_shortflags=False, help=_TO | JSON | DEBUG)
def list_(context: InvokeContext, to: str | None = None, json: bool = False, debug: bool = False) -> None:
    """The templates, and how their copies stand."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import copying

        copying.show(host, to, as_json=json)


@task(auto_shortflags=False, iterable=["only"], help=_TO | {"only": "a template's name; may be repeated"} | DEBUG)
def copy(context: InvokeContext, only: list[str], to: str | None = None, debug: bool = False) -> None:
    """Copy templates to bin/, never over a changed file; what the template has changed since is printed."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import copying

        copying.copy(host, to, tuple(only), dry=is_dry(context))
