"""A plug-in of pytest that has the oracle's tests run with doubles, on any machine: `-p fakes.mac_of_doubles`.

It shows that the tests work as programs. Of Apple's tools it shows nothing, since the doubles sign with our engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from oracle import apple

_FLAGS: dict[str, tuple[str, ...]] = {"executable": (), "library": ("-shared",), "bundle": ("-shared",)}
_TARGETS = {"x86_64": "x86_64-macos.10.13", "arm64": "aarch64-macos.11.0"}


def compile_elsewhere(self: apple.Apple, arch: str, kind: str, output: Path) -> None:
    flags = _FLAGS[kind]
    source = self.work / "code.c"
    source.write_text(apple.LIBRARY if flags else apple.CODE)
    argv = [sys.executable, "-m", "ziglang", "cc", "-target", _TARGETS[arch], "-O2", *flags, "-o", str(output)]
    argv.append(str(source))
    subprocess.run(argv, check=True, capture_output=True)


apple.Apple.tools_folder = Path(os.environ["DOUBLES"])
vars(apple)["Apple"].compile = compile_elsewhere
