"""A host whose clock and ears a test holds: real files, real network, its own terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from fakes.clock import FakeClock

from pipeline.host import Clock, Console, Files, Host, Http, Observer, Runner, Secrets, SystemEntropy
from pipeline.host.observer import nobody
from pipeline.redact import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What a person would have seen."""

    messages: io.StringIO = field(default_factory=io.StringIO)
    results: io.StringIO = field(default_factory=io.StringIO)

    def text(self) -> str:
        return self.messages.getvalue() + self.results.getvalue()


def host_with(clock: Clock | None = None, terminal: Terminal | None = None, observe: Observer = nobody) -> Host:
    """A host for one test; `observe` is told of every operation before it happens."""
    redact = Redactor()
    seen = terminal or Terminal()
    return Host(
        system="Linux",
        environment={},
        redact=redact,
        clock=clock or FakeClock(),
        entropy=SystemEntropy(),
        runner=Runner(observe=observe),
        http=Http(observe=observe),
        files=Files(observe=observe),
        secrets=Secrets(redact, observe=observe),
        console=Console(redact, messages=seen.messages, results=seen.results, debug=True),
    )
