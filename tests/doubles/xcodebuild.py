"""xcodebuild(1), its version alone; a Mac with nothing but the command line tools has none."""

from __future__ import annotations

from doubles.bench import Job


def act(job: Job) -> int:
    if job.bench.lever("no-xcode"):
        job.say(
            "xcode-select: error: tool 'xcodebuild' requires Xcode, but active developer directory "
            "'/Library/Developer/CommandLineTools' is a command line tools instance"
        )
        return 1
    job.tell("Xcode 26.1", "Build version 17B55")
    return 0
