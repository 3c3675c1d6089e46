"""What comes after what: from an archive to a verdict, resumable from wherever a kill left it.

For each archive the record on disk is ahead of the deed: a state is written before its step is begun (`State`).

    submitting ──POST──▶ created ──▶ uploading ──PUT──▶ uploaded ──poll, log──▶ accepted, invalid, rejected
        ▲                   │            │
        └──── abandoned ────┴────────────┘   the leave to upload is lost or has ended

*The answer to the POST was lost* (a kill, a cut connection, a 5xx): the notary may hold a submission whose leave to
upload nobody knows. It is found in the team's list by its name, recorded as abandoned, and one new one is made.

*The answer to the PUT was lost*: the notary may have the object already. Its status is asked first: a final one settles
it. Otherwise the object is put again on the condition that none is there (`If-None-Match: *`), so that the store itself
keeps the bytes from being uploaded to completion twice. Where the leave has ended or is lost (a job that has the record
alone), the submission is watched for a quarter of an hour after its upload began: of those that were uploaded, all but
two in a hundred are answered by then; so one that is still in progress was not uploaded, and is abandoned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Protocol

from pipeline.errors import MalformedFile, ReleaseError, ServiceUnavailable, VerificationError
from pipeline.host import Host
from pipeline.notary.client import NotaryClient
from pipeline.notary.log import NotaryLog, parse_log
from pipeline.notary.object_store import GrantEnded, ObjectStore
from pipeline.notary.service import NotaryService
from pipeline.notary.submission import FINAL, Archive, Records, State, Submission, submission_name
from pipeline.notary.upload import put_archive
from pipeline.notary.waiting import Patience, Throttled
from pipeline.notary.wire import Listed, NotaryStatus, UploadGrant

# How long the notary's leave to upload lives: https://developer.apple.com/documentation/notaryapi/submit-software
GRANT_LIFE = timedelta(hours=12)
_UNSENT = (State.SUBMITTING, State.CREATED, State.UPLOADING)
# One may have been left by an earlier run; a second that ends before its upload is already strange.
_MOST_GRANTS = 3


class Asked(Protocol):
    """Who answers about submissions; raises what `client` does."""

    def submissions(self) -> tuple[Listed, ...]: ...

    def status(self, submission: str) -> Listed: ...

    def log(self, submission: str) -> bytes: ...


class Steps(ABC):
    """All but how an archive is sent."""

    def __init__(self, host: Host, asked: Asked, records: Records) -> None:
        self._host = host
        self._asked = asked
        self._records = records

    def bring(self, archive: Archive, patience: Patience) -> Submission:
        """The archive's submission, uploaded or final. Sends what has not been sent, and nothing twice."""
        submission = self._records.load(archive.sha256)
        if submission is None or submission.state in _UNSENT:
            self._demand_unchanged(archive)
        # Only a record that another run left can stand for a POST whose answer is lost.
        unclear = submission is not None
        if submission is None:
            submission = self._begin(archive)
        elif submission.state is State.ACCEPTED and not self._has_proof(submission):
            submission = replace(submission, state=State.UPLOADED)  # the log is the proof: it is fetched again
        elif not submission.state.is_final:
            self._host.console.say(f"notary: taking up {submission.name} ({submission.state})")
        if submission.state in _UNSENT:
            submission = self._send(submission, archive, patience, unclear=unclear)
        self._records.remove_grant(archive.sha256)
        self._records.remove_copy(archive.sha256)  # of a run that was killed while a tool sent it
        return submission

    @abstractmethod
    def _send(self, submission: Submission, archive: Archive, patience: Patience, *, unclear: bool) -> Submission:
        """From any state before `uploaded` to `uploaded`; `unclear`: an earlier run may have sent it."""

    def look(self, submission: Submission) -> Submission:
        """The record with what the notary says now. Raises ServiceUnavailable, NotThere for an id it does not know."""
        return self._heard(submission, self._status(submission))

    def settle(self, submission: Submission) -> Submission:
        """The record made final by the log, which is kept beside it; the log can be there before the status says so.

        Raises NotThere while there is none, VerificationError for one about other bytes.
        """
        where = f"notary log of {submission.id}"
        data = self._asked.log(_id(submission))
        try:
            log = parse_log(data, where=where)
        except MalformedFile as error:
            raise ServiceUnavailable(error.message, where=error.where) from error
        if log.answer is None or log.answer not in FINAL:
            raise ServiceUnavailable(f"the log says {log.status}", where=where)
        _demand_about(log, submission, where)
        self._records.save_log(submission.sha256, data)
        return self.finish(submission, FINAL[log.answer])

    def finish(self, submission: Submission, state: State) -> Submission:
        return self._records.save(submission.reached(state, self._host.clock.now()))

    def log(self, submission: Submission) -> NotaryLog | None:
        """The log on disk, if there is one. Raises MalformedFile or VerificationError for one that is not its log."""
        data = self._records.load_log(submission.sha256)
        if data is None:
            return None
        where = str(self._records.log_path(submission.sha256))
        try:
            log = parse_log(data, where=where)
        except MalformedFile as error:
            raise MalformedFile(error.message, where=error.where, remedy="remove it: it is fetched again") from None
        _demand_about(log, submission, where)
        return log

    def _has_proof(self, submission: Submission) -> bool:
        log = self.log(submission)
        return log is not None and log.is_whole

    def _demand_unchanged(self, archive: Archive) -> None:
        if self._host.files.sha256(archive.path) != archive.sha256:
            raise VerificationError(
                "the archive is not the one that was made", where=str(archive.path), remedy="make the archive again"
            )

    def _begin(self, archive: Archive) -> Submission:
        now = self._host.clock.now()
        return self._records.save(
            Submission(
                archive=archive.path.name,
                sha256=archive.sha256,
                size=archive.size,
                name=submission_name(archive.path.name, archive.sha256),
                state=State.SUBMITTING,
                times={State.SUBMITTING: now},
            )
        )

    def _uploaded(self, submission: Submission) -> Submission:
        submission = self._records.save(submission.reached(State.UPLOADED, self._host.clock.now()))
        self._records.remove_grant(submission.sha256)
        return submission

    def _give_up(self, submission: Submission, reason: str, patience: Patience, *, unclear: bool) -> Submission:
        """Back to `submitting`, unless it shows that the upload was completed after all: `unclear` says it may have."""
        pauses, clock = patience.policy.poll.pauses(), self._host.clock
        began = clock.monotonic()
        while unclear:
            listed = patience.persist(lambda: self._status(submission))
            if listed.status in FINAL:
                return self._uploaded(self._heard(submission, listed))
            now = clock.now()
            # A clock that was set back since would make the watch as long as it was wrong.
            watched = max(now - submission.times.get(State.UPLOADING, now), clock.monotonic() - began)
            unclear = watched < patience.policy.doubt
            if unclear:
                clock.sleep(next(pauses))
        self._host.console.say(f"notary: submission {submission.id} is abandoned: {reason}")
        submission = self._records.save(submission.without_id(reason, self._host.clock.now()))
        self._records.remove_grant(submission.sha256)
        return submission

    def _status(self, submission: Submission) -> Listed:
        listed = self._asked.status(_id(submission))
        if listed.id != submission.id:
            raise ServiceUnavailable(
                f"the notary answered about submission {listed.id}", where=f"submission {submission.id}"
            )
        return listed

    def _heard(self, submission: Submission, listed: Listed) -> Submission:
        """The record with the status as the notary words it; written only where that is news."""
        if listed.said == submission.said:
            return submission
        self._host.console.say(f"notary: {submission.name}: {listed.said}")
        return self._records.save(replace(submission, said=listed.said))


class RestSteps(Steps):
    """Sends by Apple's REST service: a POST that gives leave to upload, then the upload."""

    def __init__(self, host: Host, service: NotaryService, client: NotaryClient, records: Records) -> None:
        super().__init__(host, client, records)
        self._service = service
        self._client = client

    def _send(self, submission: Submission, archive: Archive, patience: Patience, *, unclear: bool) -> Submission:
        for _ in range(_MOST_GRANTS):
            if submission.state is State.SUBMITTING:
                submission = self._submit(submission, patience, unclear=unclear)
            if submission.state in (State.CREATED, State.UPLOADING):
                submission = self._upload(submission, archive, patience)
            if submission.state is not State.SUBMITTING:
                break
            unclear = False
        else:
            raise ServiceUnavailable(
                f"{_MOST_GRANTS} times the leave to upload had ended as soon as it was given",
                where=submission.name,
                remedy="set this machine's clock (sntp -sS time.apple.com, or timedatectl set-ntp true), and run again",
            )
        return submission

    def _submit(self, submission: Submission, patience: Patience, *, unclear: bool) -> Submission:
        """From `submitting` to `created`; to `uploaded` where the list has the same bytes accepted already."""
        grant = self._records.load_grant(submission.sha256)
        if grant is not None and not submission.is_abandoned(grant.submission):
            return self._created(submission, grant)  # killed between the two files
        pauses = islice(patience.policy.retry.pauses(), patience.policy.tries - 1)
        while True:
            if unclear:
                submission = self._look_in_list(submission, patience)
                if submission.state is not State.SUBMITTING:
                    return submission
            try:
                grant = self._client.submit(submission.name, submission.sha256)
            except Throttled as error:
                unclear = False  # a 429 is a clear no: nothing was begun
                patience.obey(error)
            except ServiceUnavailable:
                unclear = True
                pause = next(pauses, None)
                if pause is None:
                    raise
                patience.sleep(pause)
            else:
                self._records.save_grant(submission.sha256, grant)
                return self._created(submission, grant)

    def _created(self, submission: Submission, grant: UploadGrant) -> Submission:
        # Said at once: whatever happens from here on, the id is on the screen and on disk.
        self._host.console.say(f"notary: {submission.name} is submission {grant.submission}")
        return self._records.save(submission.reached(State.CREATED, self._host.clock.now(), id=grant.submission))

    def _look_in_list(self, submission: Submission, patience: Patience) -> Submission:
        """Records submissions of this name that nobody can upload to; takes over one that was accepted."""
        for listed in patience.persist(self._asked.submissions):
            if listed.name != submission.name or submission.is_abandoned(listed.id):
                continue
            now = self._host.clock.now()
            found = submission.reached(State.CREATED, now, id=listed.id)
            if listed.status is NotaryStatus.ACCEPTED:
                # The same bytes were accepted for a run whose record is lost; the log's digest will be held to them.
                return self._records.save(found.reached(State.UPLOADED, now, said=listed.said))
            reason = "the answer that gave leave to upload was lost"
            submission = self._records.save(found.without_id(reason, now))
            self._host.console.say(f"notary: submission {listed.id} is abandoned: {reason}")
        return submission

    def _upload(self, submission: Submission, archive: Archive, patience: Patience) -> Submission:
        """From `created` or `uploading` to `uploaded`, or back to `submitting` where the leave has ended."""
        again = submission.state is State.UPLOADING
        if again:
            listed = patience.persist(lambda: self._status(submission))
            if listed.status in FINAL:
                return self._uploaded(self._heard(submission, listed))
        now = self._host.clock.now()
        grant = self._records.load_grant(submission.sha256)
        if grant is None or grant.submission != submission.id:
            return self._give_up(submission, "the leave to upload is lost", patience, unclear=again)
        if now - submission.times.get(State.CREATED, now) >= GRANT_LIFE:
            return self._give_up(submission, "the leave to upload ended after 12 hours", patience, unclear=again)
        submission = self._records.save(submission.reached(State.UPLOADING, now))
        try:
            self._put(grant, archive, patience, again=again)
        except GrantEnded as error:
            return self._give_up(submission, error.message, patience, unclear=error.unclear)
        return self._uploaded(submission)

    def _put(self, grant: UploadGrant, archive: Archive, patience: Patience, *, again: bool) -> None:
        console, files = self._host.console, self._host.files
        store = ObjectStore(self._host, self._service, grant)
        unclear = again

        def attempt() -> None:
            nonlocal unclear
            repeated, unclear = unclear, True
            try:
                with console.progress(f"notary: uploading {archive.path.name}", archive.size) as bar:
                    put_archive(store, files, archive, patience, again=repeated, sent=bar.update)
            except GrantEnded as error:
                error.unclear = repeated
                raise
            except ServiceUnavailable as error:
                console.say(f"notary: the upload broke off: {error.message}")
                raise

        patience.persist(attempt)


def _demand_about(log: NotaryLog, submission: Submission, where: str) -> None:
    if (log.submission or "").lower() != _id(submission).lower() or (log.sha256 or "").lower() != submission.sha256:
        raise VerificationError(
            f"the log is about submission {log.submission} of an archive {log.sha256}, not of {submission.sha256}",
            where=where,
            remedy="nothing that it says holds for these bytes; ask Apple with both submission ids",
        )


def _id(submission: Submission) -> str:
    if submission.id is None:
        raise ReleaseError(f"no submission in state {submission.state}", where=submission.name)
    return submission.id
