"""The agent on this machine: put a release in place, or the one before back."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG_TOOLS
from pipeline.tasks.session import command, is_dry

_HELP = {
    "config": "the release.toml whose release and [launchd] count (default: the one beside tasks.py)",
    "layout": "of several layouts this one (default: that of [launchd] install-path)",
    "root": "install below this folder, which has a bin/launchctl of its own, instead of on this machine",
    "user": "the numeric id of the user in whose session the agent runs (default: who called sudo)",
    **DEBUG_TOOLS,
}


@task(
    auto_shortflags=False,
    help=_HELP
    | {
        "refresh_plists": "also write both jobs as the release carries them; missing ones are always written",
        "rename": "where this program runs under another service id: its jobs are removed, and go on under the new one",
    },
)
def install(
    context: InvokeContext,
    config: str | None = None,
    layout: str | None = None,
    root: str = "/",
    user: int | None = None,
    refresh_plists: bool = False,
    rename: bool = False,
    debug: bool = False,
) -> None:
    """Stop both jobs, replace the binary, verify, start, read back; what fails is rolled back. Needs root."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import deploying

        site = deploying.Where(config=config, layout=layout, root=root, user=user)
        deploying.install(host, site, refresh=refresh_plists, rename=rename, dry=is_dry(context))


@task(auto_shortflags=False, help=_HELP)
def rollback(
    context: InvokeContext,
    config: str | None = None,
    layout: str | None = None,
    root: str = "/",
    user: int | None = None,
    debug: bool = False,
) -> None:
    """Put the newest backup back in place, binary and jobs, and start it. Needs root."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import deploying

        site = deploying.Where(config=config, layout=layout, root=root, user=user)
        deploying.rollback(host, site, dry=is_dry(context))
