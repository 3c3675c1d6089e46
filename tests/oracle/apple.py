"""Apple's own tools on this Mac, and a place where what they make is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pipeline.codesign.eras import ERAS, Era
from pipeline.host import system_host
from pipeline.toolchain.apple import Tools

_MINIMUM = {"x86_64": "10.13", "arm64": "11.0"}
CODE = "int answer(void) { return 42; }\nint main(void) { return answer() != 42; }\n"
LIBRARY = "int answer(void) { return 42; }\n"
_INFO = """\
<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0">
<dict>
\t<key>CFBundleIdentifier</key>
\t<string>com.example.embedded</string>
</dict>
</plist>
"""
_FLAGS: dict[str, tuple[str, ...]] = {
    "executable": (),
    "library": ("-dynamiclib", "-install_name", "@rpath/libanswer.dylib"),
    "bundle": ("-bundle",),
    "informed": ("-sectcreate", "__TEXT", "__info_plist", "information.plist"),
}
KINDS = tuple(_FLAGS)
ARCHITECTURES = ("x86_64", "arm64", "both")


@dataclass(frozen=True)
class Apple:
    work: Path
    tools_folder: ClassVar[Path | None] = None
    """None: the system's. Something else stands there only where these tests are tried without a Mac."""

    @cached_property
    def tools(self) -> Tools:
        return Tools(host=system_host(), folder=self.tools_folder, record=lambda *_words, **_facts: None)

    def run(self, tool: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [str(self.tools.path(tool)), *map(str, words)]
        return subprocess.run(argv, cwd=self.work, capture_output=True, text=True, check=False)

    def demand(self, tool: str, *words: str | Path) -> None:
        done = self.run(tool, *words)
        assert done.returncode == 0, f"{tool} {' '.join(map(str, words))}: {done.stderr}"

    @cached_property
    def era(self) -> Era:
        """The newest one that is not newer than this macOS."""
        version = _numbers(self.run("sw_vers", "-productVersion").stdout.strip())
        return next(era for era in ERAS if _numbers(era.name.removeprefix("macos-")) <= version)

    def compile(self, arch: str, kind: str, output: Path) -> None:
        """Without a signature, even on arm64."""
        (self.work / "code.c").write_text(CODE if kind in ("executable", "informed") else LIBRARY)
        (self.work / "information.plist").write_text(_INFO)
        minimum = f"-mmacosx-version-min={_MINIMUM[arch]}"
        words: tuple[str | Path, ...] = (
            "-arch",
            arch,
            minimum,
            "-O2",
            "-Wl,-no_adhoc_codesign",
            *_FLAGS[kind],
            "-o",
            output,
            "code.c",
        )
        self.demand("xcrun", "clang", *words)

    def built(self, arch: str, kind: str) -> Path:
        """An unsigned file, made once; "both" is lipo's."""
        output = self.work / f"{kind}-{arch}"
        if output.exists():
            return output
        if arch == "both":
            self.demand("lipo", "-create", self.built("x86_64", kind), self.built("arm64", kind), "-output", output)
        else:
            self.compile(arch, kind, output)
        return output

    def sign(self, path: Path, *words: str | Path) -> None:
        """Ad hoc: no time, no key, no chance."""
        self.demand("codesign", "--sign", "-", "--force", *words, path)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def keep(name: str, **made: Path) -> None:
    """Copy what was made to `$ORACLE_KEEP/<name>/`, where that is set: nobody without a Mac can make it again."""
    if "ORACLE_KEEP" not in os.environ:
        return
    folder = Path(os.environ["ORACLE_KEEP"]) / name.replace("/", "_")
    for who, path in made.items():
        if path.is_dir():
            shutil.copytree(path, folder / who / path.name, symlinks=True, dirs_exist_ok=True)
        elif path.exists():
            (folder / who).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / who / path.name)
