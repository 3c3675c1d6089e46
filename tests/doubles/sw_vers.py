"""sw_vers(1)."""

from __future__ import annotations

from doubles.bench import Job


def act(job: Job) -> int:
    job.tell({"-productVersion": "26.1", "-buildVersion": "25B78"}[job.words[0]])
    return 0
