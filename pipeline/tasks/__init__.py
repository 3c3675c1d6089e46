"""The verbs that users type, one file a namespace; the only package that imports invoke.

Everything heavy is imported inside the tasks: `invoke --list` stays light.
"""

from __future__ import annotations

from invoke import Collection

from pipeline.tasks import (
    checks,
    credentials,
    deploy,
    evidence,
    files,
    keychain,
    launchd,
    rehearsal,
    release,
    templates,
)
from pipeline.tasks.session import demanding

namespace = Collection()
for module in (release, evidence, checks):
    for name, found in Collection.from_module(module).tasks.items():
        namespace.add_task(found, name=name)
for module, name in (
    (files, "file"),
    (credentials, "credentials"),
    (keychain, "keychain"),
    (launchd, "launchd"),
    (templates, "templates"),
    (deploy, "deploy"),
    (rehearsal, "rehearsal"),
):
    namespace.add_collection(Collection.from_module(module), name=name)
for name in namespace.task_names:
    namespace[name].body = demanding(namespace[name].body)

__all__ = ["namespace"]
