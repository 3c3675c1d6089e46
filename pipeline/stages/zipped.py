"""Bare tools and apps side by side in a zip: the notary's archives and the users' are made alike."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.disk.archive import write_zip
from pipeline.model import Artifact, Kind, Plan
from pipeline.stages.context import Context


def zipped(context: Context, plan: Plan, path: str, kind: Kind, contents: Sequence[Artifact]) -> Artifact:
    """Write the zip at `path` under the output folder; each of `contents` is in it under the last part of its path.

    Its times are the commit's: the same contents give the same bytes.
    """
    output = context.folder / path
    members = {artifact.name: context.path(artifact) for artifact in contents}
    write_zip(context.host.files, output, members, plan.source_epoch)
    return Artifact(
        product=contents[0].product,
        path=path,
        kind=kind,
        sha256=context.host.files.sha256(output),
        size=output.stat().st_size,
        contents=tuple(artifact.path for artifact in contents),
    )
