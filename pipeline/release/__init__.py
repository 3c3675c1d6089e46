"""A release: its stages in their order, what they left and what they were made from, and how it is closed."""

from pipeline.release.finish import attest, finish, is_finished
from pipeline.release.order import NAMES, STAGES, Step, begin, examine, left_by, release, run_stage
from pipeline.release.recorded import own_digest

__all__ = [
    "NAMES",
    "STAGES",
    "Step",
    "attest",
    "begin",
    "examine",
    "finish",
    "is_finished",
    "left_by",
    "own_digest",
    "release",
    "run_stage",
]
