"""Time and peak memory of signing and verifying one large image, each in a process of its own.

    python benchmarks/sign_large.py [--size 1073741824] [--folder DIR]

Memory is the largest resident set of a process. `worker` is one process that hashes the whole file under two hash types
at 4 KiB a page; when signing, up to four share that work.
"""

from __future__ import annotations

import argparse
import os
import resource
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


def hash_alone(path: Path) -> None:
    """What one worker would do if it had the whole file to itself."""
    from pipeline.disk import hash_worker

    state = hash_worker.identity(path.stat())
    with path.open("rb") as stream:
        hash_worker.page_hashes(stream.fileno(), ["sha1", "sha256"], 4096, 0, state[2])


def peak() -> float:
    """The largest resident set of this process so far, in MiB.

    On Linux from /proc: getrusage would also count what the process that started this one had.
    """
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def measure(label: str, call: str) -> None:
    """Run one call in a fresh process and print what it took."""
    program = (
        f"import sys; sys.path.insert(0, {str(_HERE)!r}); from pathlib import Path; import sign_large, time; "
        f"start = time.monotonic(); {call}; print(time.monotonic() - start, sign_large.peak())"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    took, largest = map(float, done.stdout.split())
    print(f"{label:8} {took:6.2f} s   {largest:6.1f} MiB")


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
        measure("worker", f"sign_large.hash_alone(Path({str(source)!r}))")


if __name__ == "__main__":
    main()
