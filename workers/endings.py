"""How an attempt ends without a result: with a reason, put back, put off, given up, or left to whoever has it now."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from node import log
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import ReportObject
from node.errors import CeladonError, NoRoom, Quarantined, Refused, Retryable, StorageFailed, StoreAway, of_disk
from node.settings import Mode
from node.store.counters import Counted
from node.store.jobs import STRIKES, Claim, Sibling
from node.triage import contract
from node.triage.requests import wants_notice
from node.triage.selection import ABOUT_THE_PATIENT
from workers.attempt import Attempt, Details
from workers.bootstrap import Workshop
from workers.claims import LeaseLost
from workers.steps.locate_roi import usable
from workers.steps.say_why import say_why
from workers.stored import predecessors, series_as_filed

RETRY_AFTER: Final = timedelta(seconds=10)
PATIENCE: Final = 6
"""By how much longer the next attempt waits for a disk, and the first for room on it."""


class Awaiting(Exception):
    """Clinical values are missing, or other series of the study, and may still come."""

    def __init__(self, left: timedelta, reason: Reason) -> None:
        super().__init__(str(reason))
        self.left = left
        self.reason = reason


class StandsBack(Exception):
    """A better series of the study is analysed."""

    def __init__(self, instead: Sibling, reason: Reason) -> None:
        super().__init__(str(reason))
        self.instead = instead
        self.reason = reason


class Endings:
    """Brings attempts to an end that have none."""

    def __init__(self, workshop: Workshop) -> None:
        """For attempts in ``workshop``."""
        self._shop = workshop
        self._jobs = workshop.stores.jobs

    @contextmanager
    def of(self, attempt: Attempt) -> Iterator[None]:
        """Whatever the block raises is how ``attempt`` ends: a verdict, a reason, or back to the queue."""
        try:
            try:
                yield
            except BaseException:
                attempt.close()
                raise
        except LeaseLost:
            self._shop.stores.counters.add(Counted.LEASE_LOST)
            log.get().warning(log.JOB_FENCED, job_id=attempt.claim.job_id)
        except (Awaiting, StandsBack) as exc:
            self._step_aside(attempt, exc)
        except Refused as exc:
            self._finish(attempt, JobState.NOT_ANALYSED, exc.reason)
        except Quarantined as exc:
            self._finish(attempt, JobState.QUARANTINED, exc.reason)
        except Retryable as exc:
            self._put_back(attempt, exc)
        except Exception as exc:  # noqa: BLE001 — the worker must live, and the job must end in a state that is seen
            self._give_up(attempt, exc)

    def _give_up(self, attempt: Attempt, error: Exception) -> None:
        """End an attempt at something that nobody foresaw, unless it is a disk's and passes."""
        passing = of_disk(error, "a file cannot be used now") if isinstance(error, OSError) else None
        if passing is not None:
            self._put_back(attempt, passing)
        else:
            # Our own messages name settings and files, never a patient's data.
            what = str(error) if isinstance(error, CeladonError) else _where(error)
            self._finish(attempt, JobState.QUARANTINED, Reason(ReasonCode.INTERNAL, what))

    def _finish(self, attempt: Attempt, state: JobState, reason: Reason) -> None:
        refused = state is JobState.NOT_ANALYSED
        action = AuditAction.SERIES_REFUSED if refused else AuditAction.SERIES_QUARANTINED
        outcome = AuditOutcome.REFUSED if refused else AuditOutcome.FAILURE
        event = attempt.event(action, outcome, {"detail": reason.detail}, reason.code)
        message = log.JOB_REFUSED if refused else log.JOB_QUARANTINED
        try:
            notice, said = self._notice(attempt, state, reason)
            ended = self._shop.stores.results.conclude(
                attempt.claim,
                state,
                reason,
                notice,
                destinations=self._notified(),
                events=(event, *said),
                without=self._shop.settings.kinds_without,
                makes_way=reason.code not in ABOUT_THE_PATIENT,
            )
            if not ended:
                message = log.JOB_FENCED
        except (NoRoom, StoreAway) as exc:
            self._put_back(attempt, exc)
            return
        except Retryable as exc:
            self._leave(attempt.claim, exc)
            return
        log.get().warning(message, job_id=attempt.claim.job_id, reason=reason.code.name, detail=reason.detail)

    def _notice(
        self, attempt: Attempt, state: JobState, reason: Reason
    ) -> tuple[tuple[ReportObject, ...], tuple[AuditEvent, ...]]:
        """The notice that says why there is no result, where one is wanted, and what the audit trail says of it.

        A notice that cannot be written keeps no job from ending: the trail says so, and so does the worklist.

        Raises:
            StoreAway: what it cites cannot be had now, and will be.
        """
        try:
            objects = self._say_why(attempt.claim, state, reason)
        except StoreAway:
            raise
        except Exception as exc:  # noqa: BLE001 — the job must end in a state that is seen
            log.get().error(log.NOTICE_FAILED, job_id=attempt.claim.job_id, error=_where(exc))
            withheld = attempt.event(AuditAction.NOTICE_WITHHELD, AuditOutcome.FAILURE, {"detail": _where(exc)})
            return (), (withheld,)
        if not objects:
            return (), ()
        composed = attempt.event(AuditAction.NOTICE_COMPOSED, AuditOutcome.SUCCESS, {"objects": len(objects)})
        return objects, (composed,)

    def _say_why(self, claim: Claim, state: JobState, reason: Reason) -> tuple[ReportObject, ...]:
        inbox, settings = self._shop.stores.inbox, self._shop.settings
        if not self._notified() or not self._shop.notices:
            return ()
        if inbox.obstacle(claim.series_uid) is ReasonCode.PATIENT_CONFLICT:
            return ()  # whose notice it would be nobody knows
        series = series_as_filed(self._shop.stores, claim.series_uid)
        replaced = predecessors(self._shop.stores, claim)
        marked = contract.is_annotation(series) or bool(usable(inbox.annotations(series.uid), series))
        wanted = wants_notice(
            series,
            reason.code,
            settings.notices,
            tuple(rule for rule in settings.rules if settings.mode_of(rule) is not Mode.SILENT),
            is_marked=marked,
            was_reported=bool(replaced),
        )
        if not wanted:
            return ()
        self._shop.stores.blobs.bring(one.path for one in series.instances[:1] if one.path is not None)
        return say_why(
            claim,
            series,
            state,
            reason,
            correction=self._shop.stores.identities.of(claim.study_uid),
            predecessors=replaced,
            node_version=self._shop.node_version,
            writers=self._shop.notices,
        )

    def _notified(self) -> tuple[str, ...]:
        """Where notices go: to nobody while every rule is silent."""
        settings = self._shop.settings
        is_silent = all(settings.mode_of(rule) is Mode.SILENT for rule in settings.rules)
        return () if is_silent or settings.mode is Mode.SILENT else tuple(self._shop.destinations)

    def _step_aside(self, attempt: Attempt, exc: Awaiting | StandsBack) -> None:
        """Leave the way free: for what may still come, or for good."""
        if isinstance(exc, Awaiting):
            self._put_off(attempt, exc)
        else:
            self._stand_back(attempt, exc)

    def _stand_back(self, attempt: Attempt, exc: StandsBack) -> None:
        """End a series that another one of the study is analysed instead of; nothing is wrong with it."""
        reason = exc.reason
        details: Details = {"detail": reason.detail, "instead": exc.instead.job_id}
        event = attempt.event(AuditAction.SERIES_REFUSED, AuditOutcome.REFUSED, details, reason.code)
        try:
            if not self._jobs.stand_back(attempt.claim, exc.instead, reason, event):
                log.get().warning(log.JOB_FENCED, job_id=attempt.claim.job_id)
                return
        except Retryable as again:
            self._leave(attempt.claim, again)
            return
        log.get().info(log.JOB_REFUSED, job_id=attempt.claim.job_id, reason=reason.code.name, detail=reason.detail)

    def _put_back(self, attempt: Attempt, error: Retryable) -> None:
        """Have a job wait for what it needs: room and a database for as long as it takes, a failing disk thrice.

        An operator who makes room finds the work go on by itself. A disk that fails again and again is either gone
        for good or has lost this one file: then nothing but a person can mend it.
        """
        if isinstance(error, StorageFailed):
            reason = Reason(ReasonCode.STORAGE_FAILED, str(error))
            if attempt.claim.strikes + 1 >= STRIKES:
                self._finish(attempt, JobState.QUARANTINED, reason)
            else:
                self._release(attempt, reason, RETRY_AFTER * PATIENCE**attempt.claim.strikes, strikes=1)
        elif isinstance(error, NoRoom):
            # Not soon: the whole analysis will be done again.
            self._release(attempt, Reason(ReasonCode.NO_ROOM, str(error)), RETRY_AFTER * PATIENCE)
        else:
            self._release(attempt, Reason(ReasonCode.NOT_NOW, str(error)), RETRY_AFTER)

    def _release(self, attempt: Attempt, reason: Reason, delay: timedelta, *, strikes: int = 0) -> None:
        details: Details = {"detail": reason.detail}
        event = attempt.event(AuditAction.JOB_RELEASED, AuditOutcome.FAILURE, details, reason.code)
        if self._gave_back(attempt, delay, event, reason, strikes=strikes):
            log.get().warning(
                log.JOB_RELEASED, job_id=attempt.claim.job_id, reason=reason.code.name, error=reason.detail
            )

    def _put_off(self, attempt: Attempt, waiting: Awaiting) -> None:
        reason = waiting.reason
        event = attempt.event(AuditAction.JOB_RELEASED, AuditOutcome.SUCCESS, {"detail": reason.detail}, reason.code)
        if self._gave_back(attempt, waiting.left, event, reason):
            seconds = round(waiting.left.total_seconds())
            log.get().info(log.JOB_AWAITING, job_id=attempt.claim.job_id, detail=reason.detail, seconds=seconds)

    def _gave_back(
        self, attempt: Attempt, delay: timedelta, event: AuditEvent, reason: Reason, *, strikes: int = 0
    ) -> bool:
        """Have a job tried again after ``delay``; False, and said, when it has moved on or nothing can be written."""
        try:
            is_ours = self._jobs.release(attempt.claim, delay, event, reason, strikes=strikes)
        except Retryable as exc:
            self._leave(attempt.claim, exc)
            return False
        if not is_ours:
            log.get().warning(log.JOB_FENCED, job_id=attempt.claim.job_id)
        return is_ours

    @staticmethod
    def _leave(claim: Claim, error: Retryable) -> None:
        """Write nothing: the lease will run out and another claim take over; nothing is lost but half a minute."""
        log.get().error(log.POLL_FAILED, job_id=claim.job_id, error=str(error))


def _where(error: Exception) -> str:
    """The kind of an error and where it was raised; its message stays out, since it may quote a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return f"{type(error).__name__}{place}"
