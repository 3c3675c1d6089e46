"""The release, its stages one by one, its state, and cleaning up."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG_TOOLS, JSON
from pipeline.tasks.session import command, is_dry

_HELP = {
    "config": "the release.toml to read (default: the one beside tasks.py)",
    "allow_dirty": "release from a checkout with uncommitted changes (the publish gate refuses the result)",
    **JSON,
    **DEBUG_TOOLS,
}


@task(auto_shortflags=False, default=True, help=_HELP)
def release(
    context: InvokeContext,
    config: str | None = None,
    json: bool = False,
    debug: bool = False,
    allow_dirty: bool = False,
) -> None:
    """Every stage, resuming what an earlier run left; one summary at the end."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        running.release(host, config, as_json=json, dry=is_dry(context), allow_dirty=allow_dirty)


def _one_stage(name: str, words: str):  # type: ignore[no-untyped-def]  # Invoke's Task has no type of its own
    @task(name=name, auto_shortflags=False, help=_HELP)
    def stage(
        context: InvokeContext,
        config: str | None = None,
        json: bool = False,
        debug: bool = False,
        allow_dirty: bool = False,
    ) -> None:
        with command(context, debug=debug) as host:
            from pipeline.tasks import running

            running.one_stage(host, config, name, as_json=json, dry=is_dry(context), allow_dirty=allow_dirty)

    stage.__doc__ = words
    return stage


@task(
    auto_shortflags=False,
    iterable=["arch", "adopt", "expect"],
    help=_HELP
    | {
        "arch": "build this architecture alone, and print the digest of its build.json; may be repeated",
        "adopt": "a folder unsigned/ARCH that another machine built; may be repeated, each with its --expect",
        "expect": "the digest that the build.json of the --adopt of the same place must have",
    },
)
def build(
    context: InvokeContext,
    arch: list[str],
    adopt: list[str],
    expect: list[str],
    config: str | None = None,
    json: bool = False,
    debug: bool = False,
    allow_dirty: bool = False,
) -> None:
    """Build the thin binaries and their DEBUG twins, or a part of them; or take what another machine built."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import building, running

        if arch or adopt or expect:
            part = building.Part(architectures=tuple(arch), adopt=tuple(adopt), expect=tuple(expect))
            building.build(host, config, part, as_json=json, dry=is_dry(context), allow_dirty=allow_dirty)
        else:
            running.one_stage(host, config, "build", as_json=json, dry=is_dry(context), allow_dirty=allow_dirty)


sign = _one_stage("sign", "Sign the thin binaries, with the hardened runtime and a time stamp.")
universal = _one_stage("universal", "Join the signed thins into universal binaries.")
app = _one_stage("app", "Build, seal and sign the (experimental) application bundle.")
archive = _one_stage("archive", "Zip the bare tools and the apps for the notary.")
notarize = _one_stage("notarize", "Submit the archives, wait, and check what the notary covered.")
staple = _one_stage("staple", "Give the apps their ticket; keep the bare tools' tickets beside them.")
package = _one_stage("package", "Zip what users get, and SHA256SUMS.")


@task(auto_shortflags=False, help=_HELP | {"junit": "also write what was verified as JUnit's XML into this file"})
def verify(
    context: InvokeContext,
    config: str | None = None,
    json: bool = False,
    debug: bool = False,
    allow_dirty: bool = False,
    junit: str | None = None,
) -> None:
    """Read everything back from disk and demand that it is what the release says."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        dry = is_dry(context)
        running.one_stage(host, config, "verify", as_json=json, dry=dry, allow_dirty=allow_dirty, junit=junit)


@task(auto_shortflags=False, help={"config": _HELP["config"]} | JSON | DEBUG_TOOLS)
def status(context: InvokeContext, config: str | None = None, json: bool = False, debug: bool = False) -> None:
    """What is done, what is pending, what would run next and why."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        running.status(host, config, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "config": _HELP["config"],
        "forget": "also drop the submissions and the rehearsal they were made in; names the ids left behind",
    }
    | DEBUG_TOOLS,
)
def clean(context: InvokeContext, config: str | None = None, debug: bool = False, forget: bool = False) -> None:
    """Remove outputs; keep audit.jsonl, history/, notary/ and the rehearsal they belong to."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import running

        running.clean(host, config, forget=forget, dry=is_dry(context))
