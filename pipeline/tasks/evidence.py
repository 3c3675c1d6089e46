"""What can be said without a configuration and without keys: of a finished release, of Apple's codes and texts."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG, JSON
from pipeline.tasks.session import command, is_dry


@task(
    auto_shortflags=False,
    help={
        "folder": "the output folder to audit (default: build/macos beside tasks.py)",
        "gate": "exit 0 only where everything may be published",
        "head": "demand that the log's newest line has this hash",
        "key": "demand that the provenance is signed with this public key or certificate (PEM)",
    }
    | JSON
    | DEBUG,
)
def audit(
    context: InvokeContext,
    folder: str | None = None,
    gate: bool = False,
    head: str | None = None,
    key: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Check the log's chain, the manifest, every file, every signature and ticket; tell the story in words."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import looking_back

        looking_back.audit(host, folder, gate=gate, head=head, key=key, as_json=json)


@task(
    auto_shortflags=False,
    help={"folder": "the output folder to report on (default: build/macos beside tasks.py)"} | DEBUG,
)
def report(context: InvokeContext, folder: str | None = None, debug: bool = False) -> None:
    """Write report.html: the verdict, the artifacts, the notary's answer, what changed, the timeline, the log."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import looking_back

        looking_back.report(host, folder, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help={"text": "a code or a message; - reads standard input; --text=-67062 for what begins with a dash"} | DEBUG,
)
def explain(context: InvokeContext, text: str, debug: bool = False) -> None:
    """What an Apple code or message means, whether a retry helps, what to do."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        running.explain(host, text)
