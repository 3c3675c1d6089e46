"""A build of some architectures, or by other machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline import release as order
from pipeline.errors import ConfigurationError
from pipeline.host import Host
from pipeline.model import Plan
from pipeline.stages import adopt, build_thin
from pipeline.stages.built import architectures_of, is_whole, record_digest
from pipeline.stages.context import Context
from pipeline.tasks.assembly import announce, assembled, configuration_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What `invoke build` was asked to build or to take."""

    architectures: tuple[str, ...]
    adopt: tuple[str, ...]
    expect: tuple[str, ...]


def build(host: Host, path: str | None, part: Part, *, as_json: bool, dry: bool, allow_dirty: bool) -> None:
    """Print `unsigned/<arch>` and the digest of its build.json for each architecture that is there now."""
    if part.architectures and (part.adopt or part.expect):
        raise ConfigurationError("--arch builds and --adopt takes", remedy="one after the other")
    configuration = configuration_of(host, path)
    given = adopt.offers(part.adopt, part.expect)
    with assembled(host, configuration, writes=not dry, allow_dirty=allow_dirty) as (context, plan):
        announce(host, configuration, plan)
        known = architectures_of(plan)
        for arch in part.architectures:
            if arch not in known:
                raise ConfigurationError(f'"{arch}" is none of {", ".join(known)}', where="--arch")
        words = f"would adopt: {', '.join(part.adopt)}" if given else f"would build: {', '.join(part.architectures)}"
        if dry:
            host.console.result(words)
            return
        run: Callable[[Context, Plan], Plan] = (
            partial(adopt.adopt, given=[adopt.judge(context, plan, offer) for offer in given])
            if given
            else partial(build_thin.run_some, architectures=tuple(dict.fromkeys(part.architectures)))
        )
        after = order.run_stage(context, plan, build_thin, "asked for", run)
        present = [arch for arch in known if (context.folder / "unsigned" / arch / "build.json").is_file()]
        digests = {arch: record_digest(context, arch) for arch in present}
    if as_json:
        document = {"builds": digests, "whole": is_whole(after), "version": plan.version}
        host.console.document(document)
        return
    for arch, digest in digests.items():
        host.console.result(f"unsigned/{arch}  {digest}")
