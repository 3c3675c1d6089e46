"""Archives to verdicts: submit, wait, and say what the notary said. The door of this room.

How long is asked for by the caller; how often is in `waiting`; what is sent when is in `steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pipeline.errors import (
    CredentialsError,
    Interrupted,
    NotaryPending,
    NotaryRejected,
    ServiceUnavailable,
    VerificationError,
)
from pipeline.host import Host
from pipeline.notary.answers import NotThere
from pipeline.notary.client import NotaryClient
from pipeline.notary.log import NotaryLog
from pipeline.notary.report import describe_log
from pipeline.notary.service import NotaryCredentials, NotaryService
from pipeline.notary.steps import RestSteps, Steps
from pipeline.notary.submission import FINAL, Archive, Records, State, Submission
from pipeline.notary.tool import NotaryTool
from pipeline.notary.tool_steps import ToolSteps
from pipeline.notary.waiting import Patience, Throttled, WaitPolicy, in_words
from pipeline.notary.wire import NotaryStatus

# Build services end jobs that say nothing for ten minutes.
_SILENCE = timedelta(minutes=5)
_RESUME = "run the same command again: it takes up where this one ended, and nothing is sent twice"


class Mode(StrEnum):
    """Several archives: all in flight at once, or each only when the one before has its verdict."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An archive that the notary accepted, and its log."""

    archive: Archive
    submission: str
    status: NotaryStatus
    log: NotaryLog


def notarize(
    host: Host,
    service: NotaryService,
    credentials: NotaryCredentials,
    archives: Sequence[Archive],
    folder: Path,
    policy: WaitPolicy,
    wait: timedelta,
    mode: Mode = Mode.PARALLEL,
) -> tuple[Verdict, ...]:
    """The verdicts on the archives, in their order: each is accepted, and its log read.

    `folder` holds the records (`notary/`). `wait` is how long the notary may take once it has what it needs: for all
    together, or in sequence for each. An archive with a verdict on record is not asked about again.
    Raises NotaryRejected (with the logs as tables), NotaryPending, CredentialsError, ServiceUnavailable,
    VerificationError (a log about other bytes), Interrupted. What was reached is on record in every case.
    """
    records = Records(host, folder)
    steps = RestSteps(host, service, NotaryClient(host, service, credentials), records)
    return _notarize(_Job(host, steps, records, policy, wait), archives, mode)


def notarize_with_tool(
    host: Host,
    tool: NotaryTool,
    archives: Sequence[Archive],
    folder: Path,
    policy: WaitPolicy,
    wait: timedelta,
    mode: Mode = Mode.PARALLEL,
) -> tuple[Verdict, ...]:
    """As `notarize`, with the same records, through Apple's own notarytool."""
    records = Records(host, folder)
    return _notarize(_Job(host, ToolSteps(host, tool, records), records, policy, wait), archives, mode)


def _notarize(job: _Job, archives: Sequence[Archive], mode: Mode) -> tuple[Verdict, ...]:
    unique = tuple({archive.sha256: archive for archive in archives}.values())
    try:
        for group in [unique] if mode is Mode.PARALLEL else [(archive,) for archive in unique]:
            if not job.run(group):
                break
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted{job.in_flight()}", remedy=_RESUME) from None
    job.demand_accepted(unique)
    return tuple(job.verdict(archive) for archive in archives)


class _Job:
    """The submissions of one call."""

    def __init__(self, host: Host, steps: Steps, records: Records, policy: WaitPolicy, wait: timedelta) -> None:
        self._host = host
        self._policy = policy
        self._wait = wait
        self._records = records
        self._steps = steps
        self._submissions: dict[str, Submission] = {}
        self._late: dict[str, ServiceUnavailable] = {}
        """Why the last look at a submission found nothing, by its archive's SHA-256."""
        self._misses: dict[str, int] = {}

    def run(self, archives: Sequence[Archive]) -> bool:
        """Submit these and wait for them; True if every one has its verdict."""
        for archive in archives:
            self._submissions[archive.sha256] = self._steps.bring(archive, self._patience())
        keys = [archive.sha256 for archive in archives]
        self._await(keys)
        return all(self._submissions[key].state.is_final for key in keys)

    def _patience(self) -> Patience:
        return Patience(self._host.clock, self._policy, self._wait, resume=_RESUME, say=self._host.console.say)

    def _await(self, keys: Sequence[str]) -> None:
        """Look at each submission by the policy's schedule until all are final, given up on, or the wait ends."""
        patience = self._patience()
        pending = [key for key in keys if not self._submissions[key].state.is_final]
        told = timedelta(0)
        for number, pause in enumerate(self._policy.poll.pauses(), 1):
            last = patience.left <= timedelta(0)
            # The log has been seen while the status still said In Progress: now and then it is asked for all the same.
            early = last or number % self._policy.tries == 0
            try:
                pending = [key for key in pending if self._is_open(key, patience, early=early)]
            except NotaryPending:
                return  # the limit of requests lasts longer than the wait
            if not pending or last:
                return
            if patience.past - told >= _SILENCE:
                told = patience.past
                count = "1 submission" if len(pending) == 1 else f"{len(pending)} submissions"
                self._host.console.say(f"notary: {count} still in progress after {in_words(told)}")
            patience.sleep(pause)

    def _is_open(self, key: str, patience: Patience, *, early: bool) -> bool:
        """One look at a submission: is it to be looked at again?"""
        try:
            self._submissions[key] = submission = self._steps.look(self._submissions[key])
            self._late.pop(key, None)
            if _answer(submission) in FINAL or (early and submission.said == NotaryStatus.IN_PROGRESS):
                self._submissions[key] = self._steps.settle(submission)
        except Throttled as error:
            self._late[key] = error
            patience.obey(error)
        except NotThere as error:
            return self._is_worth_asking(key, error)
        except ServiceUnavailable as error:
            self._late[key] = error
        return not self._submissions[key].state.is_final

    def _is_worth_asking(self, key: str, error: NotThere) -> bool:
        """After a 404: neither a log nor a submission is waited for without end."""
        submission = self._submissions[key]
        answer = _answer(submission)
        if answer is NotaryStatus.IN_PROGRESS:
            return True  # the log was asked for early
        self._late[key] = error
        self._misses[key] = self._misses.get(key, 0) + 1
        if self._misses[key] < self._policy.tries:
            return True
        if answer in (NotaryStatus.INVALID, NotaryStatus.REJECTED):
            self._submissions[key] = self._steps.finish(submission, FINAL[answer])
        elif answer is None:
            raise CredentialsError(
                f"the notary does not know submission {submission.id}, which is on record",
                where=str(self._records.path(key)),
                remedy="use the key of the team that submitted it, or `invoke clean --forget` to begin anew",
            ) from error
        return False

    def verdict(self, archive: Archive) -> Verdict:
        submission = self._submissions[archive.sha256]
        log = self._steps.log(submission)
        if submission.id is None or log is None:
            raise VerificationError("accepted, but without a log", where=str(self._records.path(archive.sha256)))
        if log.issues:
            self._host.console.say(describe_log(log))
        return Verdict(archive=archive, submission=submission.id, status=NotaryStatus.ACCEPTED, log=log)

    def demand_accepted(self, archives: Sequence[Archive]) -> None:
        """Raises what the archives that are not accepted mean together: a no stands above no answer."""
        found = [self._submissions.get(archive.sha256) for archive in archives]
        refused = [one for one in found if one and one.state in (State.INVALID, State.REJECTED)]
        waiting = [
            self._waiting(archive, one)
            for archive, one in zip(archives, found, strict=True)
            if one is None or not one.state.is_final
        ]
        if refused:
            invalid = any(one.state is State.INVALID for one in refused)
            raise NotaryRejected(
                "\n".join([*map(self._refusal, refused), *waiting]),
                remedy="mend what the log names, and release again" if invalid else None,
            )
        if waiting:
            unreachable = [one for one in self._late.values() if not isinstance(one, (NotThere, Throttled))]
            kind = ServiceUnavailable if unreachable and len(unreachable) == len(self._late) else NotaryPending
            raise kind(
                "\n".join([f"the notary has not answered yet (a wait of {in_words(self._wait)}):", *waiting]),
                remedy=_RESUME,
            )

    def in_flight(self) -> str:
        open_ = [one for one in self._records.all() if one.id and not one.state.is_final]
        return "".join(f"\n  {one.name}: submission {one.id}, {one.state}" for one in open_)

    def _refusal(self, submission: Submission) -> str:
        log = self._steps.log(submission)
        if log is None:
            return f"{submission.name}: {submission.said} (submission {submission.id}); it has no log"
        return describe_log(log)

    def _waiting(self, archive: Archive, submission: Submission | None) -> str:
        if submission is None:
            return f"  {archive.path.name}: not sent yet"
        said = submission.said or "nothing yet"
        if _answer(submission) is NotaryStatus.ACCEPTED:
            said = "Accepted, but its log, which is the proof, is not there yet"
        elif submission.said and _answer(submission) is None:
            said = f'"{submission.said}", a status that is not documented'
        since = submission.times.get(State.UPLOADED)
        late = self._late.get(archive.sha256)
        return (
            f"  {submission.name}: submission {submission.id}: {said}"
            + (f", uploaded {since:%Y-%m-%d %H:%M} UTC" if since else "")
            + (f"; last answer: {late.message}" if late else "")
        )


def _answer(submission: Submission) -> NotaryStatus | None:
    return next((status for status in NotaryStatus if status == submission.said), None)
