"""What can be said about a release afterwards, without its configuration and without keys."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.session import command


@task(
    auto_shortflags=False,
    help={
        "folder": "the output folder to audit (default: build/macos beside tasks.py)",
        "gate": "exit 0 only where everything may be published",
        "head": "demand that the log's newest line has this hash",
        "json": "print one JSON document on standard output",
        "debug": "show tracebacks",
    },
)
def audit(
    context: InvokeContext,
    folder: str | None = None,
    gate: bool = False,
    head: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Check the log's chain, the manifest, every file, every signature and ticket; tell the story in words."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        running.audit(host, folder, gate=gate, head=head, as_json=json)
