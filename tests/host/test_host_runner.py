"""Processes that are ended before their time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from pipeline.host import Completed, Runner


def test_stopping_ends_what_a_process_started(tmp_path: Path) -> None:
    """make dies and so does its compiler, though only make is ours: whoever waits for them waits no longer."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    runner, left = Runner(), list[Completed]()
    command: list[str | Path] = ["sh", "-c", "sh -c \"echo > '$0'; sleep 3600; :\"; :", ready]
    waiting = threading.Thread(target=lambda: left.append(runner.run(command)))
    waiting.start()
    ready.read_text()
    runner.stop()
    waiting.join()
    assert [one.returncode for one in left] == [-9]
