"""What a person sees: messages and progress on standard error, results on standard output, everything redacted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from pipeline.redact import Redactor


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
    ) -> None:
        self._redact = redact
        self._messages = messages or sys.stderr
        self._results = results or sys.stdout
        self.debug = debug

    @property
    def is_terminal(self) -> bool:
        return self._messages.isatty()

    def say(self, text: str) -> None:
        if self.is_terminal:
            from tqdm import tqdm  # writes above a bar that is being drawn

            tqdm.write(self._redact(text), file=self._messages)
        else:
            print(self._redact(text), file=self._messages, flush=True)

    def detail(self, text: str) -> None:
        """Said only with --debug."""
        if self.debug:
            self.say(text)

    def ask(self, question: str) -> str:
        """One line from standard input, which is no secret; empty at its end."""
        print(self._redact(question) + ": ", end="", file=self._messages, flush=True)
        return sys.stdin.readline().strip()

    def result(self, text: str) -> None:
        print(self._redact(text), file=self._results, flush=True)

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
