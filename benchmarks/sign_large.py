"""Time and peak memory of signing and verifying one large image, each in a process of its own.

    python benchmarks/sign_large.py [--size 1073741824] [--folder DIR]

Memory is the largest resident set of the process, and of the largest of its workers (`getrusage`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_BLOCK = 1024 * 1024


def make(path: Path, size: int) -> None:
    """An arm64 image with `size` bytes of data that nothing can compress or share."""
    sys.path.insert(0, str(_HERE.parent / "tests"))
    from builders.mach import Shape, pieces

    before, after = pieces(Shape(size=size))
    with path.open("wb") as stream:
        stream.write(before)
        for start in range(0, size, _BLOCK):
            stream.write(os.urandom(min(_BLOCK, size - start)))
        stream.write(after)


def sign(source: Path, output: Path) -> None:
    from pipeline.codesign import Flags, HashType, SigningOptions
    from pipeline.disk import sign_file
    from pipeline.host import Files

    options = SigningOptions(
        identifier="com.example.large", flags=Flags.RUNTIME, hash_types=(HashType.SHA1, HashType.SHA256)
    )
    sign_file(Files(), source, output, options)


def verify(path: Path) -> None:
    from pipeline.codesign.options import NO_ANCHORS
    from pipeline.disk import verify_path

    verify_path(path, anchors=NO_ANCHORS, strict_padding=True)


def measure(label: str, call: str) -> None:
    """Run one call in a fresh process and print what it took."""
    program = (
        f"import sys; sys.path.insert(0, {str(_HERE)!r}); from pathlib import Path; import sign_large, time; "
        f"start = time.monotonic(); {call}; took = time.monotonic() - start; "
        "from resource import *; own, workers = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN); "
        "print(took, own.ru_maxrss, workers.ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    took, own, worker = map(float, done.stdout.split())
    # Linux counts in KiB, macOS in bytes.
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    print(f"{label:8} {took:6.2f} s   {own / unit:6.1f} MiB itself   {worker / unit:6.1f} MiB the largest worker")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1 << 30)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source, output = Path(folder, "large"), Path(folder, "signed")
        started = time.monotonic()
        make(source, arguments.size)
        print(f"made {source.stat().st_size} bytes in {time.monotonic() - started:.1f} s")
        measure("sign", f"sign_large.sign(Path({str(source)!r}), Path({str(output)!r}))")
        measure("verify", f"sign_large.verify(Path({str(output)!r}))")


if __name__ == "__main__":
    main()
