"""Attempts: heartbeats go on while the work does, and steps are written down when they last, or with the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from node.domain.audit import AuditAction, AuditOutcome
from node.domain.identifiers import JobId, SeriesUID, StudyUID
from node.domain.lifecycle import Step
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable
from node.store.jobs import LEASE, Claim, EndedStep
from tests.fakes import Answers
from workers.attempt import LASTS_S, Attempt
from workers.claims import HEARTBEAT_S, LeaseLost

HELD, LOST = True, False
NEVER_S = 60.0
AT_ONCE_S = 0.005
CLAIM = Claim(JobId("a"), SeriesUID("1.3"), StudyUID("1.4"), 1, 7, "m", datetime.now(UTC), None)


class Jobs:
    """A job store that takes heartbeats and steps: each answer in turn, then the last one again."""

    def __init__(self, *answers: bool | Retryable) -> None:
        """What both are answered."""
        self.answer = Answers(*answers)
        self.beats: list[Claim] = []
        self.begun: list[Step] = []
        self.steps: list[Step] = []

    def heartbeat(self, claim: Claim) -> bool:
        """Answer one heartbeat."""
        self.beats.append(claim)
        return self.answer()

    def enter(self, claim: Claim, step: Step, *ended: EndedStep) -> bool:
        """A step that lasts, and what ended before it."""
        assert claim == CLAIM
        self.begun.append(step)
        answer = self.answer()
        self.steps += [one.record.step for one in ended]
        return answer

    def record_steps(self, claim: Claim, *ended: EndedStep) -> None:
        """Steps that have ended."""
        assert claim == CLAIM
        self.steps += [one.record.step for one in ended]


@contextmanager
def attempt(jobs: Jobs, *, lasts_s: float = NEVER_S, heartbeat_s: float = NEVER_S) -> Iterator[Attempt]:
    """One that is under way."""
    told: list[Step] = []
    made = Attempt(CLAIM, jobs, "w", told.append, lasts_s=lasts_s, heartbeat_s=heartbeat_s)  # type: ignore[arg-type]
    made.begin()
    try:
        yield made
    finally:
        made.close()


def beating() -> list[threading.Thread]:
    """Threads that look after an attempt now."""
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_claim_is_kept_alive_while_it_is_worked_on() -> None:
    """With its token, again and again."""
    jobs = Jobs(HELD)
    with attempt(jobs, heartbeat_s=AT_ONCE_S):
        assert jobs.answer.wait_for(3)
    assert set(jobs.beats) == {CLAIM}


def test_heartbeats_end_with_the_work() -> None:
    """At once, not after another interval, and nothing is left running."""
    jobs = Jobs(HELD)
    started = time.monotonic()
    with attempt(jobs):
        assert len(beating()) == 1
    assert time.monotonic() - started < 30
    assert beating() == []
    assert jobs.beats == []


def test_a_lost_claim_is_not_held_any_longer() -> None:
    """The first refusal is the last heartbeat, and no further step begins."""
    jobs = Jobs(HELD, LOST)
    with attempt(jobs, heartbeat_s=AT_ONCE_S) as one:
        assert jobs.answer.wait_for(2)
        assert not jobs.answer.heard.acquire(timeout=0.1)
        with pytest.raises(LeaseLost), one.step(Step.PREDICT):
            pytest.fail("it is somebody else's")
    assert len(jobs.beats) == 2


def test_a_database_that_cannot_be_reached_is_asked_again() -> None:
    """A missed heartbeat is not a lost claim."""
    jobs = Jobs(Retryable("database is locked"), HELD)
    with attempt(jobs, heartbeat_s=AT_ONCE_S):
        assert jobs.answer.wait_for(3)


def test_a_lease_outlives_two_missed_heartbeats() -> None:
    """One slow moment of the database loses no work."""
    assert LEASE.total_seconds() >= 3 * HEARTBEAT_S


def test_quick_steps_are_written_down_with_the_end() -> None:
    """In their order, by whoever ends the job or else when it is closed."""
    jobs = Jobs(HELD)
    with attempt(jobs) as one:
        for step in (Step.TRIAGE, Step.ASSEMBLE):
            with one.step(step, AuditAction.SERIES_TRIAGED) as details:
                details["slices"] = 6
        assert [kept.record.step for kept in one.ended()] == [Step.TRIAGE, Step.ASSEMBLE]
        assert [event.details for kept in one.ended() for event in kept.events] == [{"slices": 6}] * 2
        assert jobs.steps == jobs.begun == []
    assert jobs.steps == [Step.TRIAGE, Step.ASSEMBLE]
    assert jobs.begun == []


def test_what_was_written_with_the_end_is_not_written_twice() -> None:
    """The end of the job has taken it."""
    jobs = Jobs(HELD)
    with attempt(jobs) as one:
        with one.step(Step.TRIAGE):
            pass
        one.forget()
    assert jobs.steps == []


def test_a_step_that_lasts_can_be_seen_while_it_does() -> None:
    """With what ended before it; once."""
    jobs = Jobs(HELD)
    with attempt(jobs, lasts_s=AT_ONCE_S) as one:
        one.enter(Step.TRIAGE)
        assert jobs.answer.wait_for(1)
        with one.step(Step.PREDICT):
            assert jobs.answer.wait_for(1)
            assert not jobs.answer.heard.acquire(timeout=0.1)
    assert jobs.begun == [Step.TRIAGE, Step.PREDICT]
    assert jobs.steps == [Step.PREDICT]


def test_what_could_not_be_written_is_kept_for_the_end() -> None:
    """A database that is away for a moment costs no step."""
    jobs = Jobs(Retryable("the link is cut"))
    with attempt(jobs, lasts_s=AT_ONCE_S) as one:
        with one.step(Step.TRIAGE):
            pass
        with one.step(Step.PREDICT):
            assert jobs.answer.wait_for(1)
    assert jobs.steps == [Step.TRIAGE, Step.PREDICT]


def test_a_job_that_moves_on_during_a_step_begins_no_other() -> None:
    """Whoever writes the step down learns it, and so does the work."""
    jobs = Jobs(LOST)
    with attempt(jobs, lasts_s=AT_ONCE_S) as one:
        with one.step(Step.LOCATE_ROI):
            assert jobs.answer.wait_for(1)
            deadline = time.monotonic() + 30
            while beating() and time.monotonic() < deadline:
                time.sleep(AT_ONCE_S)
        with pytest.raises(LeaseLost), one.step(Step.PREDICT):
            pytest.fail("it is somebody else's")


def test_a_refusal_is_the_last_step() -> None:
    """With its reason."""
    jobs = Jobs(HELD)
    with attempt(jobs) as one:
        with pytest.raises(Refused), one.step(Step.TRIAGE, AuditAction.SERIES_TRIAGED):
            raise Refused(ReasonCode.INPUT_CONTRACT, "too thick")
        (kept,) = one.ended()
    assert (kept.record.outcome, kept.record.details) == (AuditOutcome.REFUSED, {"reason": "INPUT_CONTRACT"})
    assert kept.events == ()


def test_people_see_a_step_within_half_a_second() -> None:
    """Whoever watches is not told of a step long past."""
    assert LASTS_S <= 0.5
