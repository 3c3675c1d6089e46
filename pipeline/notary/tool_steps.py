"""What comes after what where notarytool sends: one call begins a submission and uploads, so it is known or it is not.

    submitting ──submit──▶ uploaded ──info, log──▶ accepted, invalid, rejected

*The call's answer was lost* (a kill, a cut connection): a submission of this name in the team's history may have been
uploaded whole. It is watched as long as the policy doubts; if it has no answer by then it was not, and is abandoned.
"""

from __future__ import annotations

from itertools import islice

from pipeline.errors import ServiceUnavailable
from pipeline.host import Host
from pipeline.notary.steps import Steps
from pipeline.notary.submission import Archive, Records, State, Submission
from pipeline.notary.tool import NotaryTool, UploadBroke
from pipeline.notary.waiting import Patience, Throttled


class ToolSteps(Steps):
    def __init__(self, host: Host, tool: NotaryTool, records: Records) -> None:
        super().__init__(host, tool, records)
        self._tool = tool

    def _send(self, submission: Submission, archive: Archive, patience: Patience, *, unclear: bool) -> Submission:
        if submission.state in (State.CREATED, State.UPLOADING):
            # Begun by the REST client or taken over below: nothing more can be uploaded to it.
            reason = "notarytool cannot go on with an upload"
            submission = self._give_up(submission, reason, patience, unclear=submission.state is State.UPLOADING)
            if submission.state is not State.SUBMITTING:
                return submission
        pauses = islice(patience.policy.retry.pauses(), patience.policy.tries - 1)
        broke = False
        while True:
            if unclear:
                submission = self._look_in_history(submission, patience, broke=broke)
                if submission.state is not State.SUBMITTING:
                    return submission
            try:
                identifier = self._submit(submission, archive)
            except Throttled as error:
                unclear = False  # a 429 is a clear no: nothing was begun
                patience.obey(error)
            except ServiceUnavailable as error:
                unclear, broke = True, isinstance(error, UploadBroke)
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._host.console.say(f"notary: {error.message}")
                patience.sleep(pause)
            else:
                self._host.console.say(f"notary: {submission.name} is submission {identifier}")
                return self._records.save(submission.reached(State.UPLOADED, self._host.clock.now(), id=identifier))

    def _submit(self, submission: Submission, archive: Archive) -> str:
        """The file's name is the submission's: it is sent from a copy that is called so."""
        copy = self._records.sending_path(submission)
        self._host.files.copy(archive.path, copy)
        try:
            return self._tool.submit(copy)
        finally:
            self._records.remove_copy(submission.sha256)

    def _look_in_history(self, submission: Submission, patience: Patience, *, broke: bool) -> Submission:
        """Takes over a submission of this name that turns out to have been uploaded; records others as abandoned."""
        for listed in patience.persist(self._tool.submissions):
            if listed.name != submission.name or submission.is_abandoned(listed.id):
                continue
            found = submission.reached(State.UPLOADING, self._host.clock.now(), id=listed.id)
            reason = "its upload broke off" if broke else "the answer to its upload was lost"
            submission = self._give_up(self._records.save(found), reason, patience, unclear=not broke)
            if submission.state is not State.SUBMITTING:
                break
        return submission
