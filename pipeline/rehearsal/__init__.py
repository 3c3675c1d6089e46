"""A rehearsal: keys of its own and loopback services that stand where Apple's stand, over one folder.

`Rehearsal` is the way in. `keys` and `chains` make what signs; `server` listens; `notary_service`, `object_store`,
`timestamp_authority` and `ticket_service` answer; `inspection` judges what is submitted; `levers` say what goes
wrong, in the words of `answers`; `state` is what the services remember.

The checks here share no code with what they check: nothing of the engine, of the notary client or of the libraries that
these sign with is imported, only the plain types in which a rehearsal hands over identity, anchors and addresses.
"""

from pipeline.rehearsal.levers import Answer, CutAnswer, CutRequest, Endpoint, Levers, TimestampFault
from pipeline.rehearsal.rehearsal import Rehearsal
from pipeline.rehearsal.state import State, Status, Submission

__all__ = [
    "Answer",
    "CutAnswer",
    "CutRequest",
    "Endpoint",
    "Levers",
    "Rehearsal",
    "State",
    "Status",
    "Submission",
    "TimestampFault",
]
