"""A page in headless Chromium, spoken to over its own debugging protocol: two pipes, one JSON document a message.

https://chromedevtools.github.io/devtools-protocol/; what is evaluated runs in spite of a page's policy, as a person's
developer tools do, and what the page itself tries to run does not.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Page:
    """One page. Waits as long as the browser needs; a browser that ends is an error."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        """What the browser said of its own accord, since the page was opened."""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                if "error" in said:
                    raise AssertionError(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    def open(self, path: Path, *, fragment: str = "", width: int = 1280, height: int = 900, **media: str) -> None:
        """Load a file, at a fragment of it. `media`: features, such as prefers_color_scheme="dark"."""
        if self._session is None:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", media="screen", features=features)
        # From elsewhere: going to another place in the same page would load nothing.
        for url in ("about:blank", path.as_uri() + (f"#{fragment}" if fragment else "")):
            self.events.clear()
            self.call("Page.navigate", url=url)
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self._read()

    def evaluate(self, script: str) -> Any:
        """The value of an expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise AssertionError("the browser has ended")
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        if "method" in said:
            self.events.append(said)
        return said


@contextmanager
def browser(program: str | Path, profile: Path) -> Iterator[Page]:
    """Chromium without a window, in a profile of its own, ended with the block."""
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    argv = [str(program), *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    # The protocol's pipes have to be descriptors 3 and 4: first out of the way of each other, then there.
    ends = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (theirs_in, theirs_out)]
    places = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends, 3)]
    silent = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    # A process group of its own: the program may be a script that starts the browser.
    started = os.posix_spawn(program, argv, os.environ, file_actions=[*places, silent], setpgroup=0)
    for end in (theirs_in, theirs_out, *ends):
        os.close(end)
    try:
        yield Page(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        os.killpg(started, signal.SIGKILL)
        os.waitpid(started, 0)
