"""Runs one parser under atheris: an exception that is not ours is a finding."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def fuzz(read: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """Feed `read` with mutations of the seeds until the time given on the command line is over."""
    from pipeline.errors import ReleaseError

    def one(data: bytes) -> None:
        with contextlib.suppress(ReleaseError):
            read(data)

    with TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], "-timeout=1", "-max_len=65536", *sys.argv[1:], corpus], one)
        atheris.Fuzz()
