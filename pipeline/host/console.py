"""What a person sees: messages and progress on standard error, results on standard output, everything redacted."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol, TextIO

from pipeline.host import workflow
from pipeline.redact import Redactor

# What would steer a terminal, or show a line in another order than it has: names and words come from strangers.
_STEERING = re.compile("[\0-\b\v-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Progress(Protocol):
    def update(self, count: int) -> object: ...


class Console:
    """`say` and progress go to `messages` (standard error), `result` to `results` (standard output)."""

    def __init__(
        self,
        redact: Redactor,
        *,
        messages: TextIO | None = None,
        results: TextIO | None = None,
        debug: bool = False,
        in_workflow: bool = False,
    ) -> None:
        """`in_workflow`: a runner of GitHub's reads both streams, and takes some lines for orders."""
        self._redact = redact
        self._messages = messages or sys.stderr
        self._results = results or sys.stdout
        self.debug = debug
        self.in_workflow = in_workflow

    @property
    def is_terminal(self) -> bool:
        return self._messages.isatty()

    def say(self, text: str) -> None:
        if self.is_terminal:
            from tqdm import tqdm  # writes above a bar that is being drawn

            tqdm.write(self._shown(text), file=self._messages)
        else:
            self._write(self._shown(text))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Messages that belong together: folded by a runner, under their title elsewhere."""
        if not self.in_workflow:
            self.say(title)
            yield
            return
        self._order("group", title)
        try:
            yield
        finally:
            self._order("endgroup", "")

    def annotate(self, level: str, text: str, title: str) -> None:
        """Tell a runner's summary of an "error" or a "warning"; elsewhere nothing."""
        if self.in_workflow:
            self._order(level, text, title=title)

    def _order(self, name: str, text: str, **properties: str) -> None:
        safe = {key: self._redact(value) for key, value in properties.items()}
        self._write(workflow.order(name, self._redact(text), **safe))

    def _write(self, line: str) -> None:
        """One write: stages speak from several threads."""
        self._messages.write(line + "\n")
        self._messages.flush()

    def _shown(self, text: str) -> str:
        redacted = _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", self._redact(text))
        return workflow.inert(redacted) if self.in_workflow else redacted

    def detail(self, text: str) -> None:
        """Said only with --debug."""
        if self.debug:
            self.say(text)

    def ask(self, question: str) -> str:
        """One line from standard input, which is no secret; empty at its end."""
        print(self._redact(question) + ": ", end="", file=self._messages, flush=True)
        return sys.stdin.readline().strip()

    def result(self, text: str) -> None:
        print(self._shown(text), file=self._results, flush=True)

    def document(self, value: object) -> None:
        """A result as one JSON document. Moments are in ISO 8601, bytes in hexadecimal digits, sets in order."""
        self.result(json.dumps(value, indent=2, sort_keys=True, default=_plain))

    @contextmanager
    def progress(self, label: str, total: int, unit: str = "B", *, announced: bool = False) -> Iterator[Progress]:
        """A bar where there is a terminal; elsewhere one plain line when it starts, unless that was `announced`."""
        from tqdm import tqdm

        if not self.is_terminal and not announced:
            self.say(label)
        with tqdm(
            total=total,
            desc=self._redact(label),
            unit=unit,
            unit_scale=unit == "B",
            file=self._messages,
            disable=not self.is_terminal,
            leave=False,
        ) as bar:
            yield bar


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    raise TypeError(f"{type(value).__name__} in a JSON document")
