"""One attempt at a job: its claim, kept alive, and its steps, timed and written down."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Final

from node import log
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.lifecycle import Step
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused
from node.store.jobs import Claim, EndedStep, JobStore, StepRecord
from workers.claims import HEARTBEAT_S, LeaseLost, renewed

Details = dict[str, str | int | float]

LASTS_S: Final = 0.25
"""A step that takes longer is in the database while it lasts, for those who watch; a shorter one when it is over."""
_TICK_S: Final = 0.05
_AGAIN_S: Final = 5.0


class Attempt:
    """A claim that is worked on, from ``begin`` to ``close``.

    Most steps of a case take milliseconds, and would take longer to be written down one by one than to be done. What
    has ended is written with the end of the job, or with a step that lasts.
    """

    def __init__(
        self,
        claim: Claim,
        jobs: JobStore,
        worker: str,
        tell: Callable[[Step], None],
        *,
        lasts_s: float = LASTS_S,
        heartbeat_s: float | None = None,
    ) -> None:
        """``tell``: hears of every step as it begins; ``worker``: who the audit trail says did it.

        ``heartbeat_s``: between two; None: as a lease needs it.
        """
        self.claim = claim
        self._jobs, self._worker, self._tell = jobs, worker, tell
        self._lasts_s, self._heartbeat_s = lasts_s, heartbeat_s or HEARTBEAT_S
        self._lock = threading.Lock()
        """Both the work and the thread beside it write steps."""
        self._ended: list[EndedStep] = []
        self._begun: Step | None = None
        """The step at hand, until it is written down."""
        self._write_at_s = self._beat_at_s = 0.0
        self._is_lost = False
        self._beside = ExitStack()
        """The thread beside the work."""

    def begin(self) -> None:
        """Keep the claim alive from now on."""
        self._beat_at_s = time.monotonic() + self._heartbeat_s
        tick_s = min(_TICK_S, self._lasts_s, self._heartbeat_s)
        self._beside.enter_context(renewed(self._look_after, tick_s, "heartbeat", self.claim.job_id))

    def close(self) -> None:
        """Let the claim go, and write down what was not. Raises Retryable when the database cannot be reached."""
        self._beside.close()
        if ended := self.ended():
            self.forget()
            self._jobs.record_steps(self.claim, *ended)

    @contextmanager
    def step(self, step: Step, action: AuditAction | None = None) -> Iterator[Details]:
        """Run a step: say that it begins, time it, and keep how it ended; the block fills ``details``.

        ``action``: what the audit trail calls it, unless what follows the step puts it there.

        Raises:
            LeaseLost: the job has moved on.
        """
        self.enter(step)
        details: Details = {}
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            yield details
        except (Refused, Quarantined) as exc:
            details["reason"] = exc.reason.code.name
            seconds = time.perf_counter() - clock
            self._end(EndedStep(StepRecord(step, started, seconds, AuditOutcome.REFUSED, details)))
            raise
        seconds = time.perf_counter() - clock
        record = StepRecord(step, started, seconds, AuditOutcome.SUCCESS, details)
        self._end(EndedStep(record, (self.event(action, AuditOutcome.SUCCESS, details),) if action else ()))
        log.get().info(log.STEP_DONE, job_id=self.claim.job_id, step=step.value, seconds=round(seconds, 3))

    def enter(self, step: Step) -> None:
        """Say that ``step`` begins. Raises LeaseLost."""
        self._tell(step)
        with self._lock:
            self.require(not self._is_lost)
            self._begun, self._write_at_s = step, time.monotonic() + self._lasts_s

    def ended(self) -> tuple[EndedStep, ...]:
        """The steps that are not written down yet: for whoever writes the end of the job, who calls ``forget`` then."""
        with self._lock:
            return tuple(self._ended)

    def forget(self) -> None:
        """Everything is written down."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._ended.clear()
        self._begun = None

    @staticmethod
    def require(is_ours: bool) -> None:
        """Raise LeaseLost unless the claim still holds."""
        if not is_ours:
            raise LeaseLost

    def event(
        self, action: AuditAction, outcome: AuditOutcome, details: Details, reason: ReasonCode | None = None
    ) -> AuditEvent:
        """What the audit trail is told of this job now."""
        return AuditEvent(
            at=datetime.now(UTC),
            actor=self._worker,
            action=action,
            outcome=outcome,
            study_uid=self.claim.study_uid,
            series_uid=self.claim.series_uid,
            job_id=self.claim.job_id,
            reason=reason,
            details=details,
        )

    def _end(self, step: EndedStep) -> None:
        with self._lock:
            self._ended.append(step)
            self._begun = None

    def _look_after(self) -> bool:
        """In the thread beside the work: heartbeats, and a step that lasts; whether the claim still holds."""
        now = time.monotonic()
        is_ours = True
        if now >= self._beat_at_s:
            self._beat_at_s = now + self._heartbeat_s
            is_ours = self._jobs.heartbeat(self.claim)
        is_ours = is_ours and self._write_what_lasts(now)
        if not is_ours:
            log.get().warning(log.LEASE_LOST, job_id=self.claim.job_id)
            with self._lock:
                self._is_lost = True
        return is_ours

    def _write_what_lasts(self, now: float) -> bool:
        with self._lock:
            if self._begun is None or now < self._write_at_s:
                return True
            self._write_at_s = now + _AGAIN_S  # unless it is written now
            is_ours = self._jobs.enter(self.claim, self._begun, *self._ended)
            self._forget()
        return is_ours
