"""Claims: heartbeats go on while the work does, and end with it."""

import threading
import time
from datetime import UTC, datetime

import pytest

from node.domain.identifiers import JobId, SeriesUID, StudyUID
from node.errors import Retryable
from node.store.jobs import LEASE, Claim
from workers.claims import HEARTBEAT_S, held

HELD, LOST = True, False
CLAIM = Claim(JobId("a"), SeriesUID("1.3"), StudyUID("1.4"), 1, 7, "m", datetime.now(UTC), None)


class Jobs:
    """A job store that takes heartbeats: each answer in turn, then the last one again."""

    def __init__(self, *answers: bool | Retryable) -> None:
        """What heartbeats are answered."""
        self._answers = list(answers)
        self.beats: list[Claim] = []
        self.beaten = threading.Semaphore(0)

    def heartbeat(self, claim: Claim) -> bool:
        """Answer one heartbeat."""
        self.beats.append(claim)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.beaten.release()
        if isinstance(answer, Retryable):
            raise answer
        return answer

    def wait_for(self, count: int) -> bool:
        """Whether ``count`` heartbeats come."""
        return all(self.beaten.acquire(timeout=30) for _ in range(count))


def beating() -> list[threading.Thread]:
    """Threads that send heartbeats now."""
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_claim_is_kept_alive_while_its_block_runs() -> None:
    """With its token, again and again."""
    jobs = Jobs(HELD)
    with held(CLAIM, jobs, interval_s=0.005):  # type: ignore[arg-type]
        assert jobs.wait_for(3)
    assert set(jobs.beats) == {CLAIM}


def test_heartbeats_end_with_the_block() -> None:
    """At once, not after another interval, and nothing is left running."""
    jobs = Jobs(HELD)
    started = time.monotonic()
    with held(CLAIM, jobs, interval_s=60):  # type: ignore[arg-type]
        assert len(beating()) == 1
    assert time.monotonic() - started < 30
    assert beating() == []
    assert jobs.beats == []


def test_heartbeats_end_with_an_error_too() -> None:
    """The error goes on as it is."""
    with pytest.raises(ValueError, match="broken"), held(CLAIM, Jobs(HELD), interval_s=60):  # type: ignore[arg-type]
        raise ValueError("broken")
    assert beating() == []


def test_a_lost_claim_is_not_held_any_longer() -> None:
    """The first refusal is the last heartbeat; the block itself goes on to its next write, which is fenced."""
    jobs = Jobs(HELD, LOST)
    with held(CLAIM, jobs, interval_s=0.005):  # type: ignore[arg-type]
        assert jobs.wait_for(2)
        assert not jobs.beaten.acquire(timeout=0.1)
    assert len(jobs.beats) == 2


def test_a_database_that_cannot_be_reached_is_asked_again() -> None:
    """A missed heartbeat is not a lost claim."""
    jobs = Jobs(Retryable("database is locked"), HELD)
    with held(CLAIM, jobs, interval_s=0.005):  # type: ignore[arg-type]
        assert jobs.wait_for(3)


def test_a_lease_outlives_two_missed_heartbeats() -> None:
    """One slow moment of the database loses no work."""
    assert LEASE.total_seconds() >= 3 * HEARTBEAT_S
