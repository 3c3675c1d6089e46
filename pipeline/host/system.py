"""The host that a command runs on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.host.clock import Clock, SystemClock
from pipeline.host.console import Console
from pipeline.host.entropy import Entropy, SystemEntropy
from pipeline.host.files import Files
from pipeline.host.http import Http
from pipeline.host.observer import Observer, nobody
from pipeline.host.runner import Runner
from pipeline.host.secrets import Secrets
from pipeline.redact import Redactor

__all__ = ["Host", "Observer", "system_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Every way out of the program. `system` is "Linux" or "Darwin"."""

    system: str
    environment: Mapping[str, str] = field(repr=False)
    redact: Redactor
    clock: Clock
    entropy: Entropy
    runner: Runner
    http: Http
    files: Files
    secrets: Secrets
    console: Console


def system_host(*, debug: bool = False, observe: Observer = nobody) -> Host:
    """The real machine. `observe` is told of every operation before it happens."""
    redact = Redactor()
    console = Console(redact, debug=debug, in_workflow=os.environ.get("GITHUB_ACTIONS") == "true")

    def watched(kind: str, subject: str) -> None:
        if kind == "run":
            console.detail(f"+ {subject}")
        observe(kind, subject)

    return Host(
        system=platform.system(),
        environment=dict(os.environ),
        redact=redact,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        runner=Runner(observe=watched),
        http=Http(observe=watched),
        files=Files(observe=watched),
        secrets=Secrets(redact, observe=watched),
        console=console,
    )
