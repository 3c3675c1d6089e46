"""An image is never held in memory: signing and verifying one of 160 MB takes far less."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.mach import Shape, pieces

SIZE = 160 * 1024 * 1024
# What Python with its libraries takes, and the page hashes; half of the image beside them would already be more.
MOST = 110 * 1024 * 1024

PROGRAM = """
import resource, sys
from pathlib import Path
from pipeline.codesign import Flags, HashType, SigningOptions
from pipeline.codesign.options import NO_ANCHORS
from pipeline.disk import hash_worker, sign_file, verify_path
from pipeline.host import Files

what, source, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if what == "sign":
    options = SigningOptions(identifier="a.b", flags=Flags.RUNTIME, hash_types=(HashType.SHA1, HashType.SHA256))
    sign_file(Files(), source, output, options)
elif what == "verify":
    verify_path(output, anchors=NO_ANCHORS, strict_padding=True)
else:
    state = hash_worker.identity(source.stat())
    sys.stdout = open("/dev/null", "w")
    hash_worker.main([str(source), *map(str, state), "4096", "0", str(state[2]), "sha1", "sha256"])
if sys.platform == "darwin":
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
else:
    # getrusage would give what the process that started this one had.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    peak = int(line.split()[1]) * 1024
print(peak, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "image"
    before, after = pieces(Shape(arch="x86_64", size=SIZE))
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        stream.write(before)
        for number in range(SIZE // len(block)):
            stream.write(number.to_bytes(8, "big") + block[8:])
        stream.write(after)
    return path


def test_a_large_image_is_not_held(large: Path) -> None:
    """Neither to be signed with two hash types, nor to be verified, nor by the processes that hash it."""
    output = large.with_name("signed")
    peaks = {}
    for what in ("sign", "verify", "hash"):
        argv = [sys.executable, "-c", PROGRAM, what, large, output]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        peaks[what] = int(done.stderr)
    output.unlink()
    large.unlink()
    assert max(peaks.values()) < MOST, peaks
