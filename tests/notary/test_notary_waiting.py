"""How long, how often, how many at once: on a clock that only sleeping moves."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from builders.notary_desk import Desk
from fakes.clock import FakeClock

from pipeline.errors import Interrupted, NotaryPending, NotaryRejected, ServiceUnavailable
from pipeline.notary import APPLE_POLICY, REHEARSAL_POLICY, Mode, Records, State
from pipeline.notary.waiting import Patience, Schedule, Throttled, in_words
from pipeline.rehearsal import Endpoint, Status


def seconds(schedule: Schedule, count: int) -> list[float]:
    return [pause.total_seconds() for pause in islice(schedule.pauses(), count)]


def test_apple_is_asked_after_15_seconds_and_then_less_often() -> None:
    """The first pause is 15 seconds, each is longer than the one before, up to a minute."""
    pauses = seconds(APPLE_POLICY.poll, 10)
    assert pauses[0] == 15
    assert all(1.5 <= after / before <= 2 for before, after in pairwise(pauses) if after < 60)
    assert pauses[-1] == 60


def test_a_rehearsal_is_asked_every_50_milliseconds() -> None:
    """Where the services are our own nobody waits."""
    assert set(seconds(REHEARSAL_POLICY.poll, 10)) == {0.05}


@pytest.mark.parametrize(
    ("duration", "words"),
    [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (1800, "30 min"), (7500, "2 h 05 min"), (-3, "0 s")],
)
def test_durations_in_words(duration: float, words: str) -> None:
    """Durations read as a person says them."""
    assert in_words(timedelta(seconds=duration)) == words


def test_patience_ends() -> None:
    """What keeps failing is tried as often as the policy says and then raised; the pauses are the policy's."""
    clock = FakeClock()
    said: list[str] = []
    patience = Patience(clock, APPLE_POLICY, timedelta(hours=1), resume="again", say=said.append)
    tried = 0

    def fail() -> None:
        nonlocal tried
        tried += 1
        raise ServiceUnavailable("gone")

    with pytest.raises(ServiceUnavailable, match="gone"):
        patience.persist(fail)
    assert tried == APPLE_POLICY.tries
    assert clock.slept == sum(islice(APPLE_POLICY.retry.pauses(), APPLE_POLICY.tries - 1), timedelta(0))


def test_patience_does_not_outlive_its_wait() -> None:
    """No pause goes past the end, and a 429 that lasts longer ends the wait at once, unslept."""
    clock = FakeClock()
    said: list[str] = []
    patience = Patience(clock, APPLE_POLICY, timedelta(minutes=10), resume="again", say=said.append)
    patience.obey(Throttled("limit", retry_after=None, where="x"))
    assert clock.slept == timedelta(minutes=5)
    assert said == ["notary: the limit of requests is reached; asking again in 5 min"]
    with pytest.raises(NotaryPending, match="10 min") as pending:
        patience.obey(Throttled("limit", retry_after=timedelta(minutes=10), where="x"))
    assert pending.value.remedy == "again"
    assert clock.slept == timedelta(minutes=5)
    patience.sleep(timedelta(hours=1))
    assert clock.slept == timedelta(minutes=10)


def test_a_429_that_asks_for_nothing_is_still_a_pause() -> None:
    """Retry-After: 0 does not turn into requests without a pause."""
    clock = FakeClock()
    said: list[str] = []
    Patience(clock, APPLE_POLICY, timedelta(minutes=10), resume="x", say=said.append).obey(
        Throttled("limit", retry_after=timedelta(0), where="x")
    )
    assert clock.slept >= timedelta(seconds=15)


def test_twenty_submissions_take_as_long_as_the_slowest(desk: Desk) -> None:
    """Twenty archives are in flight at once; the time is that of one, and the requests stay far below 3,600 an hour."""
    archives = [desk.archive(f"part-{number}.zip", b"%d" % number) for number in range(20)]
    desk.levers.polls_in_progress = 60
    moments: list[datetime] = []
    methods: list[str] = []

    def observe(kind: str, subject: str) -> None:
        if kind == "http":
            moments.append(desk.clock.now())
            methods.append(subject.partition(" ")[0])

    verdicts = desk.notarize(archives, wait=timedelta(hours=2), observe=observe)
    assert len(verdicts) == 20
    assert methods[: methods.index("GET")].count("PUT") == 20
    desk.demand_once(*archives)
    alone = FakeClock()
    for pause in islice(APPLE_POLICY.poll.pauses(), 60):
        alone.sleep(pause)
    assert alone.slept <= desk.clock.slept <= alone.slept + APPLE_POLICY.poll.longest
    busiest = max(sum(moment <= other < moment + timedelta(hours=1) for other in moments) for moment in moments)
    assert busiest < 3600


def test_in_sequence_nothing_is_submitted_before_the_verdict_on_the_one_before(desk: Desk) -> None:
    """One after another: at most one submission is in flight at any request."""
    archives = [desk.archive(f"part-{number}.zip", b"%d" % number) for number in range(4)]
    desk.levers.polls_in_progress = 3
    most = Counter[int]()

    def observe(_kind: str, _subject: str) -> None:
        most[sum(one.status is Status.IN_PROGRESS for one in desk.rehearsal.state.submissions())] += 1

    verdicts = desk.notarize(archives, mode=Mode.SEQUENTIAL, observe=observe)
    assert [verdict.archive for verdict in verdicts] == archives
    assert max(most) == 1
    desk.demand_once(*archives)


@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_refused_is_told_with_all_the_others(desk: Desk, mode: Mode) -> None:
    """Side by side or one after another, the end says the same of every archive that was refused."""
    archives = [desk.archive(f"part-{number}.zip", b"%d" % number) for number in range(3)]
    desk.levers.verdict = Status.INVALID
    with pytest.raises(NotaryRejected) as refused:
        desk.notarize(archives, mode=mode)
    for archive in archives:
        assert f"{archive.path.stem}-{archive.sha256[:12]}.zip" in str(refused.value)
    desk.demand_once(*archives)


def test_a_wait_that_ends_in_sequence_names_what_was_not_sent(desk: Desk) -> None:
    """Where the first of two has no verdict in time, the second is not sent, and both are told."""
    one, two = desk.archive("one.zip", b"one"), desk.archive("two.zip", b"two")
    desk.levers.polls_in_progress = 10_000
    with pytest.raises(NotaryPending) as pending:
        desk.notarize([one, two], mode=Mode.SEQUENTIAL)
    assert "two.zip: not sent yet" in str(pending.value)
    desk.demand_once(one)


def test_no_wait_at_all_still_looks_once(desk: Desk) -> None:
    """A wait of nothing submits, looks, and leaves the rest to the next run."""
    archive = desk.archive()
    desk.levers.polls_in_progress = 1
    with pytest.raises(NotaryPending):
        desk.notarize([archive], wait=timedelta(0))
    assert desk.clock.slept == timedelta(0)
    assert len(desk.notarize([archive], wait=timedelta(0))) == 1
    desk.demand_once(archive)


def test_the_id_is_said_before_anything_is_uploaded(desk: Desk) -> None:
    """Whatever happens in the upload or the wait, the submission's id has been on the screen."""
    said_before_upload = []

    def observe(kind: str, subject: str) -> None:
        if kind == "http" and subject.startswith("PUT"):
            said_before_upload.append(desk.terminal.text())

    (verdict,) = desk.notarize([desk.archive()], observe=observe)
    assert verdict.submission in said_before_upload[0]


def test_an_interrupt_says_how_to_resume(desk: Desk) -> None:
    """Ctrl-C in the wait ends with 130, the submission's id, and the words that running again resumes."""
    archive = desk.archive()
    desk.levers.polls_in_progress = 10
    polls = 0

    def observe(kind: str, subject: str) -> None:
        nonlocal polls
        polls += kind == "http" and subject.startswith("GET")
        if polls == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="run the same command again") as interrupted:
        desk.notarize([archive], observe=observe)
    (submission,) = desk.uploaded()
    assert submission.id in str(interrupted.value)
    assert interrupted.value.exit_code == 130
    desk.notarize([archive])
    desk.demand_once(archive)


def test_a_long_wait_is_neither_silent_nor_noisy(desk: Desk) -> None:
    """Each status is said once, and every five minutes or so that the wait goes on."""
    desk.levers.polls_in_progress = 25
    desk.notarize([desk.archive()])
    lines = desk.terminal.text().splitlines()
    assert sum(line.endswith(": In Progress") for line in lines) == 1
    assert sum(line.endswith(": Accepted") for line in lines) == 1
    still = [line for line in lines if "1 submission still in progress after" in line]
    assert 3 <= len(still) <= desk.clock.slept // timedelta(minutes=5)


def test_what_was_reached_is_on_record_when_the_wait_ends(desk: Desk) -> None:
    """The record of a pending submission says uploaded, since when, and the notary's last word."""
    archive = desk.archive()
    desk.levers.polls_in_progress = 10_000
    with pytest.raises(NotaryPending):
        desk.notarize([archive])
    (record,) = Records(desk.host(), desk.records).all()
    assert (record.state, record.said) == (State.UPLOADED, "In Progress")
    assert State.UPLOADED in record.times


def test_the_log_is_asked_for_now_and_then_though_the_status_lags(desk: Desk) -> None:
    """A log that is there while the status still says In Progress ends the wait long before it is over."""
    desk.levers.log_early = True
    desk.levers.polls_in_progress = 10_000
    desk.notarize([desk.archive()])
    assert desk.clock.slept < timedelta(minutes=10)
    assert desk.levers.seen(Endpoint.LOG_ADDRESS) == 1
