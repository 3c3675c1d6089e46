"""What a kill leaves: wherever a run ends, the next completes it, and the notary got each archive once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from builders.notary_desk import Desk, Killed, killing

from pipeline.errors import NotaryPending, NotaryRejected, ServiceUnavailable, VerificationError
from pipeline.notary import Mode, NotaryStatus, Records, State
from pipeline.rehearsal import CutAnswer, CutRequest, Endpoint, Status, answers


def operations(desk: Desk) -> int:
    """How many operations a submission's life has from the record to the verdict."""
    seen: list[str] = []
    desk.levers.polls_in_progress = 2
    desk.notarize([desk.archive("counted.zip", b"counted")], observe=lambda kind, subject: seen.append(kind))
    return len(seen)


def test_a_kill_before_any_operation_is_resumed(desk: Desk) -> None:
    """For every operation of a submission's life: killed before it, the next run completes with one upload."""
    count = operations(desk)
    assert count >= 14
    archives = [desk.archive("counted.zip", b"counted")]
    for number in range(1, count + 1):
        archive = desk.archive(f"killed-at-{number}.zip", b"%d" % number)
        archives.append(archive)
        with pytest.raises(Killed):
            desk.notarize([archive], observe=killing(number))
        (verdict,) = desk.notarize([archive])
        assert verdict.status is NotaryStatus.ACCEPTED
        desk.demand_once(*archives)
        desk.demand_no_leave_left()


def test_a_run_that_is_killed_again_and_again_still_sends_once(desk: Desk) -> None:
    """However far each of many runs gets before it is killed, the last finds one submission uploaded once."""
    count = operations(desk)
    archives = [desk.archive("counted.zip", b"counted")]
    for first in range(1, count + 1, 3):
        for second in range(1, count + 1, 3):
            archive = desk.archive(f"killed-at-{first}-{second}.zip", b"%d %d" % (first, second))
            archives.append(archive)
            for number in (first, second, second):
                try:
                    desk.notarize([archive], observe=killing(number))
                except Killed:
                    continue
            desk.notarize([archive])
    desk.demand_once(*archives)
    desk.demand_no_leave_left()


@pytest.mark.parametrize("mode", list(Mode))
def test_several_archives_are_resumed_together(desk: Desk, mode: Mode) -> None:
    """Three archives, killed at every operation in turn, each run a little further: three submissions, each once."""
    archives = [desk.archive(f"part-{number}.zip", b"%d" % number) for number in range(3)]
    for number in range(1, 200):
        try:
            verdicts = desk.notarize(archives, mode=mode, observe=killing(number))
            break
        except Killed:
            continue
    assert [verdict.archive for verdict in verdicts] == archives
    desk.demand_once(*archives)
    desk.demand_no_leave_left()


def test_a_verdict_on_record_is_not_asked_for_again(desk: Desk) -> None:
    """Running again after a verdict sends nothing at all."""
    archive = desk.archive()
    first = desk.notarize([archive])
    seen: list[str] = []
    second = desk.notarize([archive], observe=lambda kind, subject: seen.append(f"{kind} {subject}"))
    assert second == first
    assert seen == []


def test_an_accepted_record_whose_log_is_gone_gets_it_again(desk: Desk) -> None:
    """The log is the proof: where its copy was lost it is fetched again, and nothing is uploaded."""
    archive = desk.archive()
    (first,) = desk.notarize([archive])
    Records(desk.host(), desk.records).log_path(archive.sha256).unlink()
    assert desk.notarize([archive]) == (first,)
    desk.demand_once(archive)


def test_credentials_that_ended_overnight_are_not_used(desk: Desk) -> None:
    """A run that resumes after more than 12 hours abandons what it cannot upload, and makes one new submission."""
    archive = desk.archive()
    with pytest.raises(Killed):
        desk.notarize([archive], observe=killing(5))
    assert Records(desk.host(), desk.records).all()[0].state is State.CREATED
    desk.clock.sleep(timedelta(hours=13))
    desk.notarize([archive])
    desk.demand_once(archive)
    (record,) = Records(desk.host(), desk.records).all()
    assert "12 hours" in record.abandoned[0].reason


def test_an_upload_that_ended_unseen_is_not_repeated_after_its_credentials_ended(desk: Desk) -> None:
    """Killed between the last byte and the record, resumed the next day: the status settles it, nothing is sent."""
    archive = desk.archive()
    desk.levers.schedule(Endpoint.UPLOAD, CutAnswer(at=0), times=99)
    with pytest.raises(ServiceUnavailable):
        desk.notarize([archive])
    assert Records(desk.host(), desk.records).all()[0].state is State.UPLOADING
    desk.clock.sleep(timedelta(hours=13))
    desk.notarize([archive])
    desk.demand_once(archive)


def test_an_upload_that_ended_unseen_counts_in_a_job_that_has_the_record_alone(desk: Desk) -> None:
    """Where the credentials did not come along, the submission is watched before another is made."""
    archive = desk.archive()
    desk.levers.schedule(Endpoint.UPLOAD, CutAnswer(at=0), times=99)
    with pytest.raises(ServiceUnavailable):
        desk.notarize([archive])
    (desk.records / f"{archive.sha256}.upload").unlink()
    desk.levers.polls_in_progress = 8
    desk.notarize([archive])
    desk.demand_once(archive)
    assert desk.clock.slept < timedelta(minutes=15)


def test_an_upload_that_did_not_end_is_given_up_after_a_quarter_of_an_hour(desk: Desk) -> None:
    """A submission that is still in progress by then was not uploaded: it is abandoned, and one new one is made."""
    archive = desk.archive()
    desk.levers.schedule(Endpoint.UPLOAD, CutRequest(at=9), times=8)
    with pytest.raises(ServiceUnavailable):
        desk.notarize([archive])
    (desk.records / f"{archive.sha256}.upload").unlink()
    desk.notarize([archive])
    desk.demand_once(archive)
    assert timedelta(minutes=15) <= desk.clock.slept < timedelta(minutes=20)


def test_a_clock_that_is_set_back_does_not_lengthen_the_watch(desk: Desk) -> None:
    """An upload that began "tomorrow" is given up after a quarter of an hour too."""
    archive = desk.archive()
    desk.levers.schedule(Endpoint.UPLOAD, CutRequest(at=9), times=8)
    with pytest.raises(ServiceUnavailable):
        desk.notarize([archive])
    (desk.records / f"{archive.sha256}.upload").unlink()
    desk.clock.set(timedelta(days=-1))
    desk.notarize([archive])
    desk.demand_once(archive)
    assert desk.clock.slept < timedelta(minutes=20)


def test_a_lost_answer_and_ended_credentials_still_count(desk: Desk) -> None:
    """The PUT was answered into nothing and the credentials ended: what was uploaded is found by its status."""
    archive = desk.archive()
    desk.levers.polls_in_progress = 5
    desk.levers.schedule(Endpoint.UPLOAD, CutAnswer(at=0))
    desk.levers.schedule(Endpoint.UPLOAD, answers.EXPIRED_TOKEN, at=2)
    desk.notarize([archive])
    desk.demand_once(archive)
    assert len(desk.rehearsal.state.submissions()) == 1


@pytest.mark.parametrize("state", [State.SUBMITTING, State.CREATED, State.UPLOADING])
def test_an_archive_that_changed_is_not_sent(desk: Desk, state: State) -> None:
    """Bytes that are not those on record are never uploaded, however far the submission is."""
    archive = desk.archive()
    steps = {State.SUBMITTING: 2, State.CREATED: 5, State.UPLOADING: 6}
    with pytest.raises(Killed):
        desk.notarize([archive], observe=killing(steps[state]))
    assert Records(desk.host(), desk.records).all()[0].state is state
    whole = archive.path.read_bytes()
    archive.path.write_bytes(whole[:-1] + b"!")
    with pytest.raises(VerificationError, match="not the one that was made"):
        desk.notarize([archive])
    assert desk.uploaded() == []
    archive.path.write_bytes(whole)
    desk.notarize([archive])
    desk.demand_once(archive)


def test_the_same_bytes_under_two_names_are_submitted_once(desk: Desk) -> None:
    """The key is the content: two archives of the same bytes share a submission, and each has its verdict."""
    one = desk.archive("one.zip")
    two = desk.archive("two.zip")
    assert one.sha256 == two.sha256
    verdicts = desk.notarize([one, two])
    assert [verdict.archive for verdict in verdicts] == [one, two]
    assert verdicts[0].submission == verdicts[1].submission
    desk.demand_once(one)


def test_pending_is_resumed_in_another_job(desk: Desk) -> None:
    """A wait that ends says how to resume; a later run with the same folder only asks, and completes."""
    archive = desk.archive()
    desk.levers.polls_in_progress = 1000
    with pytest.raises(NotaryPending, match="In Progress") as pending:
        desk.notarize([archive])
    (submission,) = desk.uploaded()
    assert submission.id in str(pending.value)
    assert "run the same command again" in str(pending.value)
    desk.levers.polls_in_progress = 0
    sent: list[str] = []
    desk.notarize([archive], observe=lambda kind, subject: sent.append(subject.partition(" ")[0]))
    assert "POST" not in sent
    assert "PUT" not in sent
    desk.demand_once(archive)


def test_a_lost_record_of_accepted_bytes_is_found_by_its_name(desk: Desk) -> None:
    """Where the record was lost and a POST is unclear, a submission of these very bytes that was accepted counts."""
    archive = desk.archive()
    (verdict,) = desk.notarize([archive])
    for path in desk.records.iterdir():
        path.unlink()
    with pytest.raises(Killed):
        desk.notarize([archive], observe=killing(2))
    assert desk.notarize([archive]) == (verdict,)
    desk.demand_once(archive)


def test_an_invalid_archive_stays_invalid_without_being_sent_again(desk: Desk) -> None:
    """The verdict is about the bytes: running again says the same from the record, and sends nothing."""
    archive = desk.archive()
    desk.levers.verdict = Status.INVALID
    with pytest.raises(NotaryRejected) as first:
        desk.notarize([archive])
    seen: list[str] = []
    with pytest.raises(NotaryRejected) as second:
        desk.notarize([archive], observe=lambda kind, subject: seen.append(subject))
    assert str(first.value) == str(second.value)
    assert seen == []
    desk.demand_once(archive)
