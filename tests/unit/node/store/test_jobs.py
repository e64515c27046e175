"""Jobs: claimed by one worker at a time, fenced by tokens, never lost, never in a loop."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from node.domain.audit import AuditAction, AuditOutcome
from node.domain.identifiers import JobId, SeriesUID
from node.domain.lifecycle import JobState, Queue, Step
from node.domain.reasons import Reason, ReasonCode
from node.errors import UsageError
from node.store.jobs import LEASE, STRIKES, Claim, EndedStep, struck_out
from node.store.session import ring
from tests.factories import PATIENT, SERIES, STUDY, ct_slice, event, received, received_contour, report_object
from tests.factories import step_record as ran
from tests.unit.node.store.conftest import Store

FIRST = JobId.of(SERIES, 1)
SECOND = JobId.of(SERIES, 2)
SOON = timedelta(0)


def end(store: Store, claim: Claim, state: JobState = JobState.NOT_ANALYSED) -> bool:
    """End a claim without results."""
    reason = None if state is JobState.DONE else Reason(ReasonCode.ROI_NOT_FOUND, "nowhere")
    return store.jobs.finish(claim, state, reason, event(job_id=claim.job_id))


def commit(store: Store, claim: Claim, *destinations: str) -> bool:
    """Commit one object for a claim."""
    made = [report_object(claim.job_id)]
    return store.results.commit(
        claim, made, predictor="p", destinations=destinations, steps=[EndedStep(ran(), (event(),))]
    )


# completion


def test_a_complete_series_waits_for_a_worker(store: Store) -> None:
    """The job waits from now on, and the trail has the evidence."""
    store.receive(3)
    assert store.jobs.complete(SERIES, "quiet for 30 s", 3)
    record = store.jobs.job(FIRST)
    assert record is not None
    assert record.state is JobState.WAITING
    assert record.completed_at is not None
    told = store.audit.events()[-1]
    assert (told.action, told.job_id) == (AuditAction.SERIES_COMPLETED, FIRST)
    assert told.details == {"evidence": "quiet for 30 s", "count": 3}


@pytest.mark.parametrize("count", [2, 4])
def test_evidence_about_other_slices_completes_nothing(store: Store, count: int) -> None:
    """An instance that came after the evidence was weighed keeps the series collecting."""
    store.receive(3)
    assert not store.jobs.complete(SERIES, "test", count)
    assert store.job_state(FIRST) == "collecting"


def test_a_series_is_completed_once(store: Store) -> None:
    """What waits, runs or has ended is not completed again, and an unknown series not at all."""
    assert not store.jobs.complete(SERIES, "test", 0)
    store.receive(3)
    assert store.complete()
    assert not store.complete()
    end(store, store.claim())
    assert not store.complete()


# claims


def test_the_oldest_complete_series_is_claimed_first(store: Store) -> None:
    """Order is that of completion, not of arrival."""
    series = ["2.25.81", "2.25.82", "2.25.83"]
    for uid in series:
        store.receive(1, uid)
    order = [series[1], series[2], series[0]]
    for uid in order:
        store.complete(uid)
    assert [store.claim().series_uid for _ in series] == order
    assert store.jobs.claim("worker") is None


def test_a_claim_says_what_a_worker_must_know(store: Store) -> None:
    """Series, study, version, and a date without fractions that the results will carry."""
    claim = store.claimed()
    assert (claim.job_id, claim.series_uid, claim.study_uid) == (FIRST, SERIES, STUDY)
    assert (claim.version, claim.token, claim.supersedes) == (1, 1, None)
    assert len(claim.manifest) == 64
    assert claim.fixed_at.microsecond == 0
    assert abs(datetime.now(UTC) - claim.fixed_at) < timedelta(seconds=30)
    told = store.audit.events()[-1]
    assert (told.action, told.actor, told.study_uid) == (AuditAction.JOB_CLAIMED, "worker 1", STUDY)


def test_what_is_collecting_or_claimed_or_ended_is_not_claimed(store: Store) -> None:
    """Only waiting work is given out."""
    store.receive()
    assert store.jobs.claim("worker") is None
    store.complete()
    claim = store.claim()
    assert store.jobs.claim("worker") is None
    end(store, claim)
    assert store.jobs.claim("worker") is None


def test_no_job_is_claimed_twice(store: Store) -> None:
    """Eight workers that claim at once share forty jobs: each job once, none left."""
    for number in range(40):
        uid = f"2.25.9{number:03d}"
        store.change(
            "INSERT INTO series (series_uid, study_uid, patient_id, issuer, modality, calling_ae, first_received_at, "
            "last_received_at, in_conflict) VALUES (:uid, '1.2', '', '', 'CT', 'A', '2024-01-01 00:00:00.000000', "
            "'2024-01-01 00:00:00.000000', false)",
            uid=uid,
        )
        store.change(
            "INSERT INTO jobs (id, series_uid, version, state, step, reason, detail, predictor, manifest, token, "
            "strikes, lease_owner, created_at, completed_at) VALUES (:id, :uid, 1, 'waiting', '', '', '', '', '', 0, "
            "0, '', '2024-01-01 00:00:00.000000', '2024-01-01 00:00:00.000000')",
            id=JobId.of(SeriesUID(uid), 1),
            uid=uid,
        )

    def work(worker: int) -> list[str]:
        found = []
        while (claim := store.jobs.claim(f"worker {worker}")) is not None:
            found.append(claim.job_id)
        return found

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for found in pool.map(work, range(8)) for job_id in found]
    assert len(claimed) == len(set(claimed)) == 40


def test_a_dead_workers_job_is_taken_over_with_a_higher_token(store: Store) -> None:
    """When the lease is over, another worker has the job, and the dead one's claim is void."""
    dead = store.claimed()
    store.forget_leases()
    taken = store.claim("worker 2")
    assert taken.job_id == dead.job_id
    assert taken.token > dead.token
    assert not commit(store, dead)
    assert commit(store, taken)


def test_a_claim_is_held_by_its_heartbeat(store: Store) -> None:
    """A heartbeat renews the lease for its whole length; nobody else gets the job."""
    claim = store.claimed()
    store.forget_leases()
    assert store.jobs.heartbeat(claim)
    assert store.jobs.claim("worker 2") is None
    assert timedelta(seconds=20) < LEASE < timedelta(minutes=1)


def test_three_dead_workers_quarantine_a_job(store: Store) -> None:
    """A job that kills its workers is given out once more only to be concluded, and becomes visible either way."""
    store.receive()
    store.complete()
    for _ in range(STRIKES):
        claim = store.claim()
        assert not claim.is_struck_out
        store.jobs.enter(claim, Step.PREDICT)
        store.forget_leases()
    claim = store.claim()
    assert claim.is_struck_out
    assert claim.last_step == "predict"
    store.forget_leases()
    assert store.jobs.claim("worker") is None
    record = store.jobs.job(FIRST)
    assert record is not None
    assert (record.state, record.reason) == (JobState.QUARANTINED, "STRUCK_OUT")
    assert record.detail == "last step: predict"
    assert record.finished_at is not None
    told = store.audit.events()[-1]
    assert (told.action, told.outcome) == (AuditAction.SERIES_QUARANTINED, AuditOutcome.FAILURE)
    assert (told.study_uid, told.job_id, told.reason) == (STUDY, FIRST, ReasonCode.STRUCK_OUT)
    assert not store.jobs.heartbeat(claim)


def test_a_job_that_strikes_out_lets_the_next_one_through(store: Store) -> None:
    """The same call that quarantines one job claims the one behind it."""
    for uid in (SERIES, "2.25.82"):
        store.receive(1, uid)
        store.complete(uid)
    assert store.claim().job_id == FIRST
    store.change("UPDATE jobs SET strikes = 3 WHERE id = :id", id=FIRST)
    store.forget_leases()
    assert store.claim().series_uid == "2.25.82"
    assert store.job_state(FIRST) == "quarantined"


@pytest.mark.parametrize("by", [timedelta(hours=-1), timedelta(hours=1)], ids=["forward", "back"])
def test_a_clock_that_is_set_neither_ends_nor_extends_a_lease(store: Store, by: timedelta) -> None:
    """The living worker keeps its job, and the dead one's is taken over when it would have been."""
    dead = store.claimed()
    store.set_clock_back(by)
    assert store.jobs.claim("worker 2") is None
    store.forget_leases()
    assert store.claim("worker 2").job_id == dead.job_id


def test_a_job_that_was_given_back_does_not_wait_until_the_old_time_comes_again(store: Store) -> None:
    """When the clock is set back an hour, its ten seconds do not become an hour."""
    claim = store.claimed()
    assert store.jobs.release(claim, timedelta(seconds=10), event())
    store.set_clock_back(timedelta(hours=1))
    assert store.claim().job_id == claim.job_id


def test_a_job_that_was_given_back_is_no_strike(store: Store) -> None:
    """Trouble with the surroundings is tried again for ever."""
    store.receive()
    store.complete()
    for _ in range(STRIKES + 2):
        assert store.jobs.release(store.claim(), SOON, event())
    assert store.job_state(FIRST) == "waiting"


def test_a_job_that_was_given_back_waits_its_delay(store: Store) -> None:
    """It is not claimed before, and the trail has the event."""
    claim = store.claimed()
    assert store.jobs.release(claim, timedelta(minutes=5), event(AuditAction.JOB_RELEASED))
    assert store.audit.events()[-1].action is AuditAction.JOB_RELEASED
    assert store.jobs.claim("worker") is None
    store.make_due()
    assert store.claim().job_id == FIRST


# fencing


def test_a_stale_token_writes_nothing(store: Store) -> None:
    """Whatever a worker tries whose job was taken over, the job and the trail stay as they are."""
    stale = store.claimed()
    store.forget_leases()
    store.claim("worker 2")
    before = (store.jobs.job(FIRST), store.count("audit"))
    assert not store.jobs.heartbeat(stale)
    assert not store.jobs.enter(stale, Step.PREDICT)
    assert not end(store, stale, JobState.QUARANTINED)
    assert not store.jobs.release(stale, SOON, event())
    assert not commit(store, stale, "pacs")
    assert (store.jobs.job(FIRST), store.count("audit")) == before
    assert store.count("results") == 0


def test_a_claim_on_another_input_commits_nothing(store: Store) -> None:
    """The manifest fences as the token does, and the job is claimed again for the input that is here."""
    claim = store.claimed()
    assert not commit(store, replace(claim, manifest="0" * 64))
    assert store.count("results") == 0
    again = store.claim()
    assert (again.job_id, again.manifest) == (claim.job_id, claim.manifest)
    assert again.token > claim.token


# verdicts


@pytest.mark.parametrize("state", [JobState.NOT_ANALYSED, JobState.QUARANTINED])
def test_a_refusal_is_kept_with_its_reason(store: Store, state: JobState) -> None:
    """State, code and detail are what people see, and the event is written with them."""
    claim = store.claimed()
    assert end(store, claim, state)
    record = store.jobs.job(claim.job_id)
    assert record is not None
    assert (record.state, record.reason, record.detail) == (state, "ROI_NOT_FOUND", "nowhere")
    assert record.finished_at is not None
    assert store.audit.events(job_id=claim.job_id)[-1].action is AuditAction.COMPOSED


def test_a_quarantined_version_leaves_its_predecessor_valid(store: Store) -> None:
    """What nobody could analyse replaces nothing; what comes after it replaces both."""
    commit(store, store.claimed())
    store.receive_late(90)
    store.complete()
    end(store, store.claim(), JobState.QUARANTINED)
    assert (store.job_state(FIRST), store.job_state(SECOND)) == ("done", "quarantined")
    store.receive_late(91)
    store.complete()
    third = store.claim()
    assert third.supersedes == FIRST
    commit(store, third)
    assert [job.state.value for job in store.jobs.jobs()] == ["done", "superseded", "superseded"]


def test_a_refused_version_replaces_its_predecessor(store: Store) -> None:
    """With the late slice the series may not be analysed: the earlier result stands no more; the trail says so."""
    commit(store, store.claimed(), "pacs")
    store.receive_late()
    store.complete()
    end(store, store.claim())
    assert (store.job_state(FIRST), store.job_state(SECOND)) == ("superseded", "not-analysed")
    told = store.audit.events(job_id=FIRST)[-1]
    assert (told.action, told.details) == (AuditAction.JOB_SUPERSEDED, {"by": SECOND})


# contours that come later


def test_a_new_contour_opens_the_next_version_of_an_ended_job(store: Store) -> None:
    """It waits at once: the series is complete already."""
    end(store, store.claimed())
    store.inbox.accept(received_contour(SERIES))
    assert store.jobs.reopen_for_annotation(SERIES) == SECOND
    record = store.jobs.job(SECOND)
    assert record is not None
    assert (record.state, record.supersedes) == (JobState.WAITING, FIRST)
    assert store.audit.events(job_id=SECOND)[-1].action is AuditAction.SERIES_REOPENED
    assert store.claim().job_id == SECOND


def test_a_new_contour_takes_a_running_job_back(store: Store) -> None:
    """The same version runs again with the contour, and the running claim commits nothing."""
    claim = store.claimed()
    store.inbox.accept(received_contour(SERIES))
    assert store.jobs.reopen_for_annotation(SERIES) == FIRST
    assert not commit(store, claim)
    assert store.state(claim) == "waiting"


def test_a_contour_that_was_known_changes_nothing(store: Store) -> None:
    """The analysis that already had it stands."""
    store.inbox.accept(received_contour(SERIES))
    store.receive()
    store.complete()
    claim = store.claim()
    assert store.jobs.reopen_for_annotation(SERIES) is None
    commit(store, claim)
    assert store.jobs.reopen_for_annotation(SERIES) is None
    assert store.state(claim) == "done"


def test_a_contour_for_a_series_that_has_yet_to_run_changes_nothing(store: Store) -> None:
    """It will be found when the job runs; and an unknown series has no job."""
    assert store.jobs.reopen_for_annotation(SERIES) is None
    store.receive()
    store.inbox.accept(received_contour(SERIES))
    assert store.jobs.reopen_for_annotation(SERIES) is None
    store.complete()
    assert store.jobs.reopen_for_annotation(SERIES) is None


# retry by a person


@pytest.mark.parametrize("state", [JobState.NOT_ANALYSED, JobState.QUARANTINED])
def test_a_person_may_retry_what_was_not_analysed(store: Store, state: JobState) -> None:
    """It waits again with a clean slate, and the trail has the retry."""
    claim = store.claimed()
    store.change("UPDATE jobs SET strikes = 2")
    end(store, claim, state)
    store.jobs.retry(claim.job_id)
    record = store.jobs.job(claim.job_id)
    assert record is not None
    assert (record.state, record.reason, record.detail) == (JobState.WAITING, "", "")
    assert store.audit.events()[-1].action is AuditAction.JOB_RETRIED
    again = store.claim()
    store.forget_leases()
    assert store.claim().token > again.token


def test_what_has_no_verdict_or_a_good_one_is_not_retried(store: Store) -> None:
    """Collecting, waiting, running and done jobs are left alone: one line says so."""
    store.receive()
    for state, step in (
        ("collecting", store.complete),
        ("waiting", store.claim),
        ("running", lambda: store.change("UPDATE jobs SET state = 'done'")),
        ("done", lambda: None),
    ):
        with pytest.raises(UsageError, match=f"is {state}: it cannot be retried"):
            store.jobs.retry(FIRST)
        assert store.job_state(FIRST) == state
        step()
    assert AuditAction.JOB_RETRIED not in {one.action for one in store.audit.events()}


def test_only_the_newest_version_is_retried(store: Store) -> None:
    """Two versions at work on one series would give two results: the message names the one to retry."""
    end(store, store.claimed())
    store.receive_late()
    with pytest.raises(UsageError, match=f"newer version: retry {SECOND}"):
        store.jobs.retry(FIRST)
    assert store.job_state(FIRST) == "not-analysed"


def test_a_job_that_does_not_exist_is_wrong_usage(store: Store) -> None:
    """One line names it."""
    with pytest.raises(UsageError, match="there is no job nonsense"):
        store.jobs.retry(JobId("nonsense"))


# what people see


def test_a_running_job_shows_its_step(store: Store) -> None:
    """``running:predict``, and plain states elsewhere."""
    claim = store.claimed()
    assert store.jobs.enter(claim, Step.PREDICT)
    (record,) = store.jobs.jobs()
    assert record.shown_state == "running:predict"
    commit(store, claim)
    (record,) = store.jobs.jobs()
    assert (record.shown_state, record.predictor) == ("done", "p")


def test_jobs_are_listed_newest_first_and_filtered(store: Store) -> None:
    """By state, by patient and by moment."""
    store.receive(1)
    other = ct_slice(series="2.25.82", PatientID="PAT-2")
    store.inbox.accept(received(other))
    store.complete()
    newest = JobId.of(SeriesUID("2.25.82"), 1)
    assert [job.job_id for job in store.jobs.jobs()] == [newest, FIRST]
    assert [job.job_id for job in store.jobs.jobs(state=JobState.WAITING)] == [FIRST]
    assert [job.job_id for job in store.jobs.jobs(patient_id=PATIENT.patient_id)] == [FIRST]
    created = store.jobs.jobs()[0].created_at
    assert [job.job_id for job in store.jobs.jobs(since=created)] == [newest]
    assert store.jobs.job("nonsense") is None


def test_steps_are_kept_in_order_with_their_times(store: Store) -> None:
    """Also those that refused."""
    claim = store.claimed()
    steps = (ran(Step.TRIAGE), ran(Step.ASSEMBLE, outcome=AuditOutcome.REFUSED, details={"reason": "X"}))
    for one in steps:
        store.jobs.record_steps(claim, EndedStep(one, (event(job_id=FIRST),)))
    assert store.jobs.steps(FIRST) == steps
    assert len(store.audit.events(job_id=FIRST)) == 4


def test_counts_name_every_state(store: Store) -> None:
    """States that no job is in count zero."""
    assert set(store.jobs.counts()) == set(JobState)
    store.receive(1)
    assert store.jobs.counts()[JobState.COLLECTING] == 1
    assert sum(store.jobs.counts().values()) == 1


def test_the_queue_says_how_long_it_waits(store: Store) -> None:
    """The oldest waiting job's completion, and the last arrival; None where there is none."""
    assert (store.jobs.oldest_waiting(), store.jobs.last_received()) == (None, None)
    store.receive(1)
    assert store.jobs.oldest_waiting() is None
    store.complete()
    store.receive(1, "2.25.82")
    store.complete("2.25.82")
    (second, first) = store.jobs.jobs()
    assert store.jobs.oldest_waiting() == first.completed_at
    assert store.jobs.last_received() == second.last_received_at


# series of one study

OTHER = SeriesUID("2.25.8001")
REASON = Reason(ReasonCode.BETTER_SERIES, "series 2.25.8001: its kernel is softer")


def both_waiting(store: Store) -> None:
    """Two complete series of one study."""
    for uid in (SERIES, OTHER):
        store.receive(3, uid)
        assert store.complete(uid)


def stand_back(store: Store, claim: Claim) -> bool:
    """The claim's series stands back for the other one as that is now."""
    (instead,) = store.jobs.siblings(claim.series_uid, "CT")
    return store.jobs.stand_back(claim, instead, REASON, event(job_id=claim.job_id))


def test_siblings_are_the_newest_jobs_of_the_same_study_patient_and_modality(store: Store) -> None:
    """Not the series itself, none of another kind, none whose identity is in doubt."""
    both_waiting(store)
    store.inbox.accept(received_contour(SERIES))
    store.inbox.accept(received(ct_slice(series="2.25.8002", PatientID="SOMEBODY-ELSE")))
    store.inbox.accept(received(ct_slice(series="2.25.8003", StudyInstanceUID="2.25.1")))
    assert [one.series_uid for one in store.jobs.siblings(SERIES, "CT")] == [OTHER]
    (sibling,) = store.jobs.siblings(OTHER, "CT")
    assert (sibling.job_id, sibling.state, sibling.reason) == (FIRST, JobState.WAITING, "")
    store.inbox.accept(received(ct_slice(9, series=OTHER, PatientID="SOMEBODY-ELSE")))
    assert store.jobs.siblings(SERIES, "CT") == ()


def test_a_series_that_stands_back_has_ended(store: Store) -> None:
    """Not analysed, with the reason that names the other."""
    both_waiting(store)
    claim = store.claim()
    assert stand_back(store, claim)
    record = store.jobs.job(claim.job_id)
    assert record is not None
    assert (record.state, record.reason, record.detail) == (JobState.NOT_ANALYSED, "BETTER_SERIES", REASON.detail)


def test_nobody_stands_back_for_a_series_that_has_moved_on(store: Store) -> None:
    """It is judged anew: the other may have ended meanwhile without a result."""
    both_waiting(store)
    claim = store.claim()
    (instead,) = store.jobs.siblings(claim.series_uid, "CT")
    other = store.claim("worker 2")
    assert end(store, other)
    assert store.jobs.stand_back(claim, instead, REASON, event(job_id=claim.job_id))
    assert store.state(claim) == "waiting"


def test_whoever_lost_its_claim_does_not_stand_back(store: Store) -> None:
    """A late slice came."""
    both_waiting(store)
    claim = store.claim()
    store.receive_late(series=claim.series_uid)
    assert not stand_back(store, claim)
    assert store.state(claim) == "collecting"


@pytest.mark.parametrize("makes_way", [True, False])
def test_a_series_that_cannot_be_analysed_makes_way(store: Store, *, makes_way: bool) -> None:
    """Those that stood back for it wait again, unless what was said is about the patient."""
    both_waiting(store)
    claim = store.claim()
    assert stand_back(store, claim)
    other = store.claim()
    reason = Reason(ReasonCode.PHASE_NOT_PORTAL_VENOUS)
    assert store.jobs.finish(other, JobState.NOT_ANALYSED, reason, event(), makes_way=makes_way)
    assert store.state(claim) == ("waiting" if makes_way else "not-analysed")
    if makes_way:
        assert store.audit.events(job_id=claim.job_id)[-1].action is AuditAction.SERIES_REOPENED
        assert store.claim().job_id == claim.job_id


def test_three_dead_workers_make_way_too(store: Store) -> None:
    """The other series may be analysed where this one kills."""
    both_waiting(store)
    claim = store.claim()
    assert stand_back(store, claim)
    # Once more than it is tried: for the worker that only says so.
    for _ in range(STRIKES + 1):
        store.claim()
        store.forget_leases()
    assert store.claim().job_id == claim.job_id


def test_what_waits_for_a_series_is_woken_when_that_is_complete(store: Store) -> None:
    """At once, not when its patience is over."""
    store.receive(3, OTHER)
    claim = store.claimed(3)
    awaiting = Reason(ReasonCode.AWAITING_SERIES, f"series {OTHER}")
    assert store.jobs.release(claim, timedelta(minutes=5), event(), awaiting)
    assert store.jobs.claim("worker 1") is None
    assert store.complete(OTHER)
    assert {store.claim().series_uid, store.claim().series_uid} == {SERIES, OTHER}


# queues and bells


def test_a_worker_claims_from_its_own_queues_alone(store: Store) -> None:
    """What was handed over waits for the other kind of worker, and is no strike."""
    claim = store.claimed()
    assert store.jobs.hand_over(claim, Queue.GPU)
    assert store.jobs.claim("worker", [Queue.CPU]) is None
    again = store.jobs.claim("worker", [Queue.GPU])
    assert again is not None
    assert (again.job_id, again.strikes) == (claim.job_id, 0)
    assert not store.jobs.hand_over(claim, Queue.GPU)


def test_a_late_slice_sends_a_job_back_to_where_headers_are_read(store: Store) -> None:
    """The headers may rule it out now."""
    assert store.jobs.hand_over(store.claimed(), Queue.GPU)
    store.receive_late()
    assert store.complete()
    assert store.jobs.claim("worker", [Queue.GPU]) is None
    assert store.jobs.claim("worker", [Queue.CPU]) is not None


def test_a_worker_that_was_seen_to_end_costs_no_lease(store: Store) -> None:
    """The job waits again at once, with a strike and with what it ended in; its worker's token is stale."""
    claim = store.claimed()
    store.jobs.enter(claim, Step.PREDICT)
    assert store.jobs.strike(claim.job_id, claim.token, "supervisor", "SIGSEGV")
    assert not store.jobs.heartbeat(claim)
    again = store.claim()
    assert (again.job_id, again.strikes, again.last_error) == (claim.job_id, 1, "predict: SIGSEGV")
    assert not store.jobs.strike(claim.job_id, claim.token, "supervisor", "SIGSEGV")
    told = store.audit.events(job_id=claim.job_id)
    assert [one.details["detail"] for one in told if one.reason is ReasonCode.WORKER_ENDED] == ["predict: SIGSEGV"]


def test_whoever_saw_a_worker_end_knows_best_at_which_step(store: Store) -> None:
    """A step that was too short to be written down while it lasted."""
    claim = store.claimed()
    assert store.jobs.strike(claim.job_id, claim.token, "supervisor", "SIGSEGV", step="triage")
    again = store.claim()
    assert (again.last_step, again.last_error) == ("triage", "triage: SIGSEGV")


def test_a_job_that_struck_out_says_what_the_last_worker_ended_in(store: Store) -> None:
    """Three times is enough; a person reads why."""
    store.receive()
    store.complete()
    for _ in range(STRIKES):
        claim = store.claim()
        assert not claim.is_struck_out
        store.jobs.enter(claim, Step.PREDICT)
        assert store.jobs.strike(claim.job_id, claim.token, "supervisor", "more than 16 GB of memory")
    claim = store.claim()
    assert claim.is_struck_out
    assert str(struck_out(claim.last_step, claim.last_error)) == (
        "STRUCK_OUT: last step: predict: more than 16 GB of memory"
    )


def test_the_bell_is_rung_for_what_waits_once_that_is_committed(store: Store) -> None:
    """With the queue and the job, and never for what was rolled back."""
    rung: list[tuple[Queue, JobId, str]] = []

    def bell(queue: Queue, job_id: JobId) -> None:
        record = store.jobs.job(job_id)
        rung.append((queue, job_id, record.state.value if record else ""))

    store.database._bell = bell
    store.receive()
    assert rung == []
    assert store.complete()
    assert rung == [(Queue.CPU, FIRST, "waiting")]
    claim = store.claim()
    assert store.jobs.hand_over(claim, Queue.GPU)
    assert rung[1:] == [(Queue.GPU, FIRST, "waiting")]
    with suppress(ValueError), store.database.write() as connection:
        ring(connection, FIRST, Queue.CPU)
        raise ValueError
    assert len(rung) == 2
