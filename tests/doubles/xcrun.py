"""xcrun(1): hands on to the tool that it is asked for, and tells the SDK."""

from __future__ import annotations

from doubles import bench
from doubles.bench import Job


def act(job: Job) -> int:
    words = job.words
    if words == ["--sdk", "macosx", "--show-sdk-version"]:
        job.tell("26.1")
        return 0
    if words and words[0] in ("notarytool", "stapler"):
        return bench.run(Job(job.bench, words[1:], job.caller), words[0])
    job.say(f'xcrun: error: unable to find utility "{words[0] if words else ""}", not a developer tool or in PATH')
    return 72
