"""The rehearsal's services for tools other than this one."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.session import command, is_dry


@task(
    auto_shortflags=False,
    iterable=["lever", "fault"],
    help={
        "folder": "what the services keep, keys included (default: build/macos/rehearsal beside tasks.py)",
        "lever": "such as tickets-late=3; may be given again (docs/rehearsal-services.md)",
        "fault": "such as status=500,at=2,times=5; may be given again (docs/rehearsal-services.md)",
        "json": "print the addresses as one JSON document on standard output",
        "debug": "show tracebacks, and why the notary objects to what it is given",
    },
)
def serve(
    context: InvokeContext,
    lever: list[str],
    fault: list[str],
    folder: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Notary, object store, time-stamp authority and ticket service on loopback, until interrupted."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import serving

        serving.serve(host, folder, lever, fault, as_json=json, dry=is_dry(context))
