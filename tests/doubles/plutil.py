"""plutil(1): lints as CoreFoundation reads, which takes more than the kernel's parser does.

A byte order mark, a binary list and two hyphens in a comment are all right to it.
"""

from __future__ import annotations

import plistlib
import re
from pathlib import Path
from xml.parsers.expat import ExpatError

from doubles.bench import Job

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def act(job: Job) -> int:
    if job.words[:1] != ["-lint"] or len(job.words) < 2:
        job.say("plutil: [command_option] [other_options] file...")
        return 1
    problems = {path: _problem(Path(path)) for path in job.words[1:]}
    job.tell(*(f"{path}: {problem or 'OK'}" for path, problem in problems.items()))
    return 1 if any(problems.values()) else 0


def _problem(path: Path) -> str | None:
    if not path.is_file():
        return "file does not exist or is not readable or is not a regular file"
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    plain = data.decode(encoding).replace("UTF-16", "UTF-8").encode() if encoding else data
    try:
        plistlib.loads(_COMMENT.sub(b"", plain) if plain.lstrip().startswith(b"<") else plain)
    except (ExpatError, ValueError, LookupError, TypeError) as error:
        return f"Encountered unexpected EOF or character at line {getattr(error, 'lineno', 1)}"
    return None
