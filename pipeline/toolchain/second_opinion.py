"""What LIEF, a parser written by others, reads in a Mach-O file, held against what our own parser reads.

LIEF holds a file several times over, so it reads in a child process, one file after another: `python -m
pipeline.toolchain.second_opinion FILE…` prints what it found as JSON. It judges no signature.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import VerificationError
from pipeline.host import Runner

Reading = dict[str, object]
"""Of one slice: arch, type, uuid, offset, size, libraries, segments {name: [offset, size]}, signature likewise."""


def demand_agreement(runner: Runner, paths: Mapping[str, Path]) -> None:
    """VerificationError unless LIEF and our parser agree, value by value, on every slice of these Mach-O files.

    `paths`: what a file is called in messages → the file.
    """
    completed = runner.run([sys.executable, "-m", "pipeline.toolchain.second_opinion", *paths.values()])
    if completed.returncode != 0:
        raise VerificationError(f"LIEF cannot read it: {completed.last_lines(3)}", where=", ".join(paths))
    readings: list[list[Reading]] = json.loads(completed.stdout)
    for (name, path), theirs in zip(paths.items(), readings, strict=True):
        ours = _our_reading(path)
        if len(theirs) != len(ours):
            raise VerificationError(f"LIEF finds {len(theirs)} slices, our parser {len(ours)}", where=name)
        for mine, other in zip(ours, theirs, strict=True):
            for key in mine:
                if mine[key] != other[key]:
                    raise VerificationError(
                        f"LIEF and our parser differ on {key}: {other[key]} and {mine[key]}",
                        where=f"{name}: {mine['arch']}",
                    )


def _our_reading(path: Path) -> list[Reading]:
    from pipeline.disk import open_source
    from pipeline.macho import read_slices

    with open_source(path) as source:
        return [
            {
                "arch": one.arch,
                "type": int(one.image.filetype),
                "uuid": one.image.uuid.hex() if one.image.uuid else None,
                "offset": one.offset,
                "size": one.size,
                "libraries": list(one.image.libraries),
                "segments": {segment.name: [segment.fileoff, segment.filesize] for segment in one.image.segments},
                "signature": [one.image.signature.dataoff, one.image.signature.datasize]
                if one.image.signature
                else None,
            }
            for one in read_slices(source)
        ]


def _their_reading(path: str) -> list[Reading]:
    import lief

    lief.logging.disable()  # it speaks on standard output, where the JSON goes
    fat = lief.MachO.parse(path)
    if fat is None:
        raise SystemExit(f"{path} is not a Mach-O file")
    names = {
        lief.MachO.Header.CPU_TYPE.ARM64: "arm64",
        lief.MachO.Header.CPU_TYPE.X86_64: "x86_64",
        lief.MachO.Header.CPU_TYPE.X86: "i386",
    }
    readings: list[Reading] = []
    for binary in fat:
        signature = binary.code_signature if binary.has_code_signature else None
        readings.append(
            {
                "arch": names.get(binary.header.cpu_type, str(binary.header.cpu_type)),
                "type": int(binary.header.file_type),
                "uuid": bytes(uuid.uuid).hex() if (uuid := binary.uuid) else None,
                "offset": binary.fat_offset,
                "size": binary.original_size,
                "libraries": [library.name for library in binary.libraries],
                "segments": {segment.name: [segment.file_offset, segment.file_size] for segment in binary.segments},
                "signature": [signature.data_offset, signature.data_size] if signature else None,
            }
        )
    return readings


if __name__ == "__main__":
    print(json.dumps([_their_reading(path) for path in sys.argv[1:]]))
