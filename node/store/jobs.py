"""Jobs: the queue that workers claim from, fenced by tokens, and what people are shown of it."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, and_, exists, func, insert, or_, select, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId, SeriesUID, StudyUID
from node.domain.lifecycle import DeliveryState, JobState, Step
from node.domain.reasons import Reason, ReasonCode
from node.errors import UsageError
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.inbox import count_instances, insert_job, latest_job, reopened
from node.store.leases import Lease, LeaseWatch, any_of
from node.store.session import Database, pairs
from node.store.tables import annotation_references, instances, job_steps, jobs, outbox, results, series

LEASE: Final = timedelta(seconds=30)
"""How long a claim holds without a heartbeat."""
STRIKES: Final = 3
"""Claims that end in a dead worker before a job is quarantined."""

_AFTER_A_VERDICT: Final = (JobState.NOT_ANALYSED, JobState.QUARANTINED)
# States that a newer version takes over from once it has a verdict of its own.
_REPLACEABLE = (JobState.DELIVERING, JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to one job: everything it writes carries the token, and a stale token writes nothing."""

    job_id: JobId
    series_uid: SeriesUID
    study_uid: StudyUID
    version: int
    token: int
    manifest: str
    fixed_at: datetime
    supersedes: JobId | None
    """The version whose results this one replaces: the newest one before it that has any, or else just the last."""
    strikes: int = 0
    """Claims before this one that ended in a dead worker or a failing disk."""
    completed_at: datetime | None = None
    """Since when the series is complete."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step that ran."""

    step: Step
    started_at: datetime
    seconds: float
    outcome: AuditOutcome
    details: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as people see it."""

    job_id: JobId
    series_uid: SeriesUID
    study_uid: StudyUID
    patient_id: str
    modality: str
    version: int
    state: JobState
    step: str
    reason: str
    detail: str
    predictor: str
    supersedes: str | None
    created_at: datetime
    last_received_at: datetime
    completed_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    delivered_at: datetime | None

    @property
    def shown_state(self) -> str:
        """The state with the running step: what people see."""
        return f"{self.state}:{self.step}" if self.state is JobState.RUNNING and self.step else self.state.value


class JobStore:
    """The jobs of a database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        """The jobs in ``database``; ``now``: seconds on a clock that nobody can set, for leases."""
        self._database = database
        self._leases = LeaseWatch(now)

    def complete(self, series_uid: SeriesUID, evidence: str, count: int) -> bool:
        """Take a collecting series as complete.

        False when it was not collecting any more, or has not the ``count`` instances that the evidence is about.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            # Locked before it is counted: an instance is in the count, or finds the job waiting and takes it back.
            row = latest_job(connection, series_uid)
            if row is None or JobState(row["state"]) is not JobState.COLLECTING:
                return False
            if count_instances(connection, series_uid) != count:
                return False
            values = {"state": JobState.WAITING.value, "completed_at": now, "not_before": None}
            connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
            event = AuditEvent(
                at=now,
                actor="listener",
                action=AuditAction.SERIES_COMPLETED,
                outcome=AuditOutcome.SUCCESS,
                series_uid=series_uid,
                job_id=row["id"],
                details={"evidence": evidence, "count": count},
            )
            audit.append(connection, event)
        return True

    def claim(self, worker: str) -> Claim | None:
        """The oldest job that nobody works on, or None. Takes over from dead workers; three strikes quarantine."""
        with self._database.read() as connection:
            # Looking first leaves the write lock alone while there is nothing to do.
            if connection.execute(_claimable(datetime.now(UTC), self._abandoned(connection))).first() is None:
                return None
        claim = self._claim(worker)
        if claim is not None:
            hit(Failpoint.CLAIM_COMMITTED)
        return claim

    def _claim(self, worker: str) -> Claim | None:
        with self._database.write() as connection:
            # Only now: getting the write lock may have taken as long as a lease.
            now = datetime.now(UTC)
            free = _claimable(now, self._abandoned(connection)).with_for_update(skip_locked=True, of=jobs)
            while (row := connection.execute(free).mappings().first()) is not None:
                strikes = row["strikes"] + (JobState(row["state"]) is JobState.RUNNING)
                if strikes < STRIKES:
                    claim = _take(connection, row, worker, strikes, now)
                    self._leases.begin([(claim.job_id, claim.token, now + LEASE)])
                    return claim
                _strike_out(connection, row, now)
        return None

    def _abandoned(self, connection: Connection) -> tuple[Lease, ...]:
        """The leases of dead workers."""
        held = select(jobs.c.id, jobs.c.token, jobs.c.lease_expires_at).where(jobs.c.state == JobState.RUNNING.value)
        return self._leases.abandoned(((row[0], row[1], row[2]) for row in connection.execute(held)), LEASE)

    def heartbeat(self, claim: Claim) -> bool:
        """Hold the claim for another lease; False when it has been lost."""
        with self._database.write() as connection:
            expires = datetime.now(UTC) + LEASE
            result = connection.execute(update(jobs).where(_is_ours(claim)).values(lease_expires_at=expires))
            return result.rowcount == 1

    def enter(self, claim: Claim, step: Step) -> bool:
        """Say that ``step`` begins; False when the claim has been lost."""
        with self._database.write() as connection:
            result = connection.execute(update(jobs).where(_is_ours(claim)).values(step=step.value))
            return result.rowcount == 1

    def record_step(self, claim: Claim, record: StepRecord, *events: AuditEvent) -> None:
        """Add a finished step and what the audit trail says of it."""
        with self._database.write() as connection:
            insert_step(connection, claim, record)
            audit.append(connection, *events)

    def finish(self, claim: Claim, state: JobState, reason: Reason | None, event: AuditEvent) -> bool:
        """End a job that has no results: not analysed, quarantined or done. False when the claim has been lost."""
        with self._database.write() as connection:
            now = datetime.now(UTC)
            values = {"state": state.value, "finished_at": now, "lease_owner": "", "step": ""}
            values |= {"reason": reason.code.name, "detail": reason.detail} if reason else {}
            if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount != 1:
                return False
            audit.append(connection, event)
            if state is not JobState.QUARANTINED:
                supersede(connection, claim, now)
        return True

    def release(
        self, claim: Claim, delay: timedelta, event: AuditEvent, reason: Reason | None = None, *, strikes: int = 0
    ) -> bool:
        """Give a job back to be tried again after ``delay``; False when the claim has been lost.

        ``reason``: what people see while it waits; ``strikes``: how many more the job has.
        """
        with self._database.write() as connection:
            values = {
                "state": JobState.WAITING.value,
                "not_before": datetime.now(UTC) + delay,
                "lease_owner": "",
                "step": "",
                "strikes": claim.strikes + strikes,
            }
            values |= {"reason": reason.code.name, "detail": reason.detail} if reason else {}
            if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount != 1:
                return False
            audit.append(connection, event)
        return True

    def reopen_for_annotation(self, series_uid: SeriesUID) -> JobId | None:
        """Have a series analysed again if its last analysis did not know all contours that reference it now.

        Returns the job that will do it; None when there is no such series here or nothing new to know.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            row = latest_job(connection, series_uid)
            if row is None or JobState(row["state"]) in (JobState.COLLECTING, JobState.WAITING):
                return None
            if row["manifest"] == _manifest(connection, series_uid):
                return None
            if JobState(row["state"]) is not JobState.RUNNING:
                version = row["version"] + 1
                job_id = insert_job(connection, series_uid, version, JobState.WAITING, now, supersedes=row["id"])
            else:
                values = {"state": JobState.WAITING.value, "token": row["token"] + 1, "lease_owner": "", "step": ""}
                connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
                job_id = JobId(row["id"])
            audit.append(connection, reopened(series_uid, job_id, now, "a contour for it is here"))
            return job_id

    def retry(self, job_id: JobId) -> None:
        """Have a job run, or its failed deliveries sent, again.

        Raises:
            UsageError: there is no such job, or its state does not allow it.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).mappings().first()
            if row is None:
                raise UsageError(f"there is no job {job_id}")
            state = JobState(row["state"])
            if state is JobState.DELIVERING:
                _retry_deliveries(connection, job_id, now)
            elif state in _AFTER_A_VERDICT:
                _require_newest(connection, row)
                values = {"state": JobState.WAITING.value, "reason": "", "detail": "", "strikes": 0, "not_before": None}
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            else:
                raise UsageError(f"job {job_id} is {state}: it cannot be retried")
            event = AuditEvent(
                at=now,
                actor="operator",
                action=AuditAction.JOB_RETRIED,
                outcome=AuditOutcome.SUCCESS,
                series_uid=row["series_uid"],
                job_id=job_id,
            )
            audit.append(connection, event)

    def jobs(
        self, *, state: JobState | None = None, patient_id: str | None = None, since: datetime | None = None
    ) -> tuple[JobRecord, ...]:
        """The jobs, newest first, filtered."""
        query = _with_series().order_by(jobs.c.created_at.desc(), jobs.c.version.desc())
        if state is not None:
            query = query.where(jobs.c.state == state.value)
        if patient_id is not None:
            query = query.where(series.c.patient_id == patient_id)
        if since is not None:
            query = query.where(jobs.c.created_at >= since)
        with self._database.read() as connection:
            return tuple(_record(row) for row in connection.execute(query).mappings())

    def job(self, job_id: str) -> JobRecord | None:
        """One job, or None."""
        with self._database.read() as connection:
            row = connection.execute(_with_series().where(jobs.c.id == job_id)).mappings().first()
        return _record(row) if row else None

    def steps(self, job_id: str) -> tuple[StepRecord, ...]:
        """The steps that ran for a job, in order."""
        query = select(job_steps).where(job_steps.c.job_id == job_id).order_by(job_steps.c.id)
        with self._database.read() as connection:
            return tuple(
                StepRecord(Step(row.step), row.started_at, row.seconds, AuditOutcome(row.outcome), dict(row.details))
                for row in connection.execute(query)
            )

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._database.read() as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
        found = dict(pairs(rows))
        return {state: found.get(state.value, 0) for state in JobState}

    def oldest_waiting(self) -> datetime | None:
        """Since when the oldest waiting job waits."""
        with self._database.read() as connection:
            query = select(func.min(jobs.c.completed_at)).where(jobs.c.state == JobState.WAITING.value)
            moment: datetime | None = connection.scalar(query)
        return moment

    def last_received(self) -> datetime | None:
        """When the last instance came in."""
        with self._database.read() as connection:
            moment: datetime | None = connection.scalar(select(func.max(series.c.last_received_at)))
        return moment


def insert_step(connection: Connection, claim: Claim, record: StepRecord) -> None:
    """Add a finished step in the transaction of ``connection``."""
    connection.execute(
        insert(job_steps).values(
            job_id=claim.job_id,
            token=claim.token,
            step=record.step.value,
            started_at=record.started_at,
            seconds=record.seconds,
            outcome=record.outcome.value,
            details=record.details,
        )
    )


def supersede(connection: Connection, claim: Claim, now: datetime) -> None:
    """Mark every earlier version of the series of ``claim`` as superseded, and keep back what was not sent yet.

    Every one: the version just before may have ended without a verdict that replaced the one before it.
    """
    replaceable = [state.value for state in _REPLACEABLE]
    replaced = connection.scalars(
        update(jobs)
        .where(jobs.c.series_uid == claim.series_uid, jobs.c.version < claim.version, jobs.c.state.in_(replaceable))
        .values(state=JobState.SUPERSEDED.value)
        .returning(jobs.c.id)
    ).all()
    unsent = (DeliveryState.PENDING.value, DeliveryState.FAILED.value)
    connection.execute(
        update(outbox)
        .where(outbox.c.job_id.in_(replaced), outbox.c.state.in_(unsent))
        .values(state=DeliveryState.WITHDRAWN.value)
    )
    events = [
        AuditEvent(
            at=now,
            actor="node",
            action=AuditAction.JOB_SUPERSEDED,
            outcome=AuditOutcome.SUCCESS,
            series_uid=claim.series_uid,
            job_id=job_id,
            details={"by": claim.job_id},
        )
        for job_id in replaced
    ]
    audit.append(connection, *events)


def give_back_if_changed(connection: Connection, claim: Claim, now: datetime) -> bool:
    """Queue the job of ``claim`` again when a contour came while it was worked on; whether one did.

    The steps may have read that contour or not: only a claim whose manifest knows it can say what was analysed.
    """
    if _manifest(connection, claim.series_uid) == claim.manifest:
        return False
    values = {"state": JobState.WAITING.value, "token": claim.token + 1, "lease_owner": "", "step": ""}
    if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount:
        audit.append(connection, reopened(claim.series_uid, claim.job_id, now, "a contour came while it was analysed"))
    return True


def is_ours(claim: Claim) -> Any:
    """The condition that ``claim`` still holds: right token, still running, same input."""
    return and_(_is_ours(claim), jobs.c.manifest == claim.manifest)


def _is_ours(claim: Claim) -> Any:
    return and_(jobs.c.id == claim.job_id, jobs.c.token == claim.token, jobs.c.state == JobState.RUNNING.value)


def _claimable(now: datetime, leases: Sequence[Lease]) -> Select[Any]:
    # What was claimed later than now was claimed before the clock was set back: its waiting time says nothing.
    is_due = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now, jobs.c.claimed_at > now)
    waiting = and_(jobs.c.state == JobState.WAITING.value, is_due)
    of_the_dead = any_of(leases, jobs.c.id, jobs.c.token, jobs.c.lease_expires_at)
    abandoned = and_(jobs.c.state == JobState.RUNNING.value, of_the_dead)
    return (
        select(jobs, series.c.study_uid)
        .join(series, series.c.series_uid == jobs.c.series_uid)
        .where(or_(waiting, abandoned))
        .order_by(jobs.c.completed_at, jobs.c.id)
        .limit(1)
    )


def _take(connection: Connection, row: RowMapping, worker: str, strikes: int, now: datetime) -> Claim:
    series_uid = SeriesUID(row["series_uid"])
    manifest = _manifest(connection, series_uid)
    # The date inside the results is that of the first claim of this input, so that a re-run repeats it.
    fixed_at = row["fixed_at"] if row["fixed_at"] and row["manifest"] == manifest else now.replace(microsecond=0)
    token = row["token"] + 1
    values = {
        "state": JobState.RUNNING.value,
        "token": token,
        "strikes": strikes,
        "manifest": manifest,
        "fixed_at": fixed_at,
        "lease_owner": worker,
        "lease_expires_at": now + LEASE,
        "claimed_at": now,
        # Why it waited says nothing any more.
        "reason": "",
        "detail": "",
    }
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
    event = AuditEvent(
        at=now,
        actor=worker,
        action=AuditAction.JOB_CLAIMED,
        outcome=AuditOutcome.SUCCESS,
        study_uid=row["study_uid"],
        series_uid=series_uid,
        job_id=row["id"],
        details={"token": token, "strikes": strikes, "manifest": manifest},
    )
    audit.append(connection, event)
    return Claim(
        job_id=JobId(row["id"]),
        series_uid=series_uid,
        study_uid=StudyUID(row["study_uid"]),
        version=row["version"],
        token=token,
        manifest=manifest,
        fixed_at=fixed_at,
        completed_at=row["completed_at"],
        supersedes=_replaced(connection, row),
        strikes=strikes,
    )


def _replaced(connection: Connection, row: RowMapping) -> JobId | None:
    with_results = exists().where(results.c.job_id == jobs.c.id)
    earlier = select(jobs.c.id).where(jobs.c.series_uid == row["series_uid"], jobs.c.version < row["version"])
    found = connection.scalar(earlier.where(with_results).order_by(jobs.c.version.desc()).limit(1))
    job_id = found or row["supersedes"]
    return JobId(job_id) if job_id else None


def _strike_out(connection: Connection, row: RowMapping, now: datetime) -> None:
    reason = Reason(ReasonCode.STRUCK_OUT, f"last step: {row['step'] or 'none'}")
    values = {
        "state": JobState.QUARANTINED.value,
        "token": row["token"] + 1,
        "reason": reason.code.name,
        "detail": reason.detail,
        "finished_at": now,
        "lease_owner": "",
    }
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
    event = AuditEvent(
        at=now,
        actor="node",
        action=AuditAction.SERIES_QUARANTINED,
        outcome=AuditOutcome.FAILURE,
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        job_id=row["id"],
        reason=reason.code,
        details={"step": row["step"]},
    )
    audit.append(connection, event)


def _manifest(connection: Connection, series_uid: SeriesUID) -> str:
    """SHA-256 over UID and digest of every instance of a series and of every contour that references it."""
    references = select(annotation_references.c.sop_instance_uid).where(
        annotation_references.c.series_uid == series_uid
    )
    query = select(instances.c.sop_instance_uid, instances.c.sha256).where(
        or_(instances.c.series_uid == series_uid, instances.c.sop_instance_uid.in_(references))
    )
    lines = sorted(f"{uid} {sha}" for uid, sha in connection.execute(query))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _require_newest(connection: Connection, row: RowMapping) -> None:
    # Two versions at work on one series would give two results.
    newest = latest_job(connection, SeriesUID(row["series_uid"]))
    if newest is not None and newest["id"] != row["id"]:
        raise UsageError(f"job {row['id']} has a newer version: retry {newest['id']}")


def _retry_deliveries(connection: Connection, job_id: JobId, now: datetime) -> None:
    connection.execute(
        update(outbox)
        .where(outbox.c.job_id == job_id, outbox.c.state == DeliveryState.FAILED.value)
        .values(state=DeliveryState.PENDING.value, next_attempt_at=now, attempts=0)
    )


def _with_series() -> Any:
    columns = [column for column in jobs.c if column.name not in ("token", "strikes", "manifest")]
    return select(*columns, series.c.study_uid, series.c.patient_id, series.c.modality, series.c.last_received_at).join(
        series, series.c.series_uid == jobs.c.series_uid
    )


def _record(row: RowMapping) -> JobRecord:
    return JobRecord(
        job_id=JobId(row["id"]),
        series_uid=SeriesUID(row["series_uid"]),
        study_uid=StudyUID(row["study_uid"]),
        patient_id=row["patient_id"],
        modality=row["modality"],
        version=row["version"],
        state=JobState(row["state"]),
        step=row["step"],
        reason=row["reason"],
        detail=row["detail"],
        predictor=row["predictor"],
        supersedes=row["supersedes"],
        created_at=row["created_at"],
        last_received_at=row["last_received_at"],
        completed_at=row["completed_at"],
        claimed_at=row["claimed_at"],
        finished_at=row["finished_at"],
        delivered_at=row["delivered_at"],
    )
