"""Jobs: the queue that workers claim from, fenced by tokens, and what people are shown of it."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId, SeriesUID, StudyUID
from node.domain.lifecycle import WAITS_FOR_A_PERSON, DeliveryState, JobState, Queue, Step
from node.domain.reasons import Reason, ReasonCode
from node.errors import UsageError
from node.failpoints import Failpoint, hit
from node.store import audit, turns
from node.store.inbox import FIRST_VERSION, count_instances, insert_job, latest_job, reopened
from node.store.leases import Lease, LeaseWatch
from node.store.manifest import manifest_of
from node.store.outbox import once_more
from node.store.prepared import Prepared
from node.store.session import Database, pairs, ring
from node.store.tables import (
    job_steps,
    jobs,
    outbox,
    results,
    series,
)

LEASE: Final = timedelta(seconds=30)
"""How long a claim holds without a heartbeat."""
FIRST_TOKEN: Final = 1
"""Of the first claim of a job."""
STRIKES: Final = 3
"""Claims that end in a dead worker before a job is quarantined."""

_WITH_DELIVERIES: Final = (JobState.DELIVERING, JobState.RETRACTED)
_AFTER_A_VERDICT: Final = (JobState.NOT_ANALYSED, JobState.QUARANTINED)
_WITH_RESULTS = (JobState.DELIVERING, JobState.DONE)
# States that a newer version takes over from once it has a verdict of its own.
_REPLACEABLE = (JobState.DELIVERING, JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED)

# Aliases and joins are built once: that takes longer than the database does.
_NEWER: Final = jobs.alias("newer")
_MINE: Final = series.alias("mine")
_IS_NEWEST: Final = ~exists().where(_NEWER.c.series_uid == jobs.c.series_uid, _NEWER.c.version > jobs.c.version)
_SIBLINGS: Final = Prepared(
    select(jobs.c.id, jobs.c.series_uid, jobs.c.state, jobs.c.reason)
    .join(series, series.c.series_uid == jobs.c.series_uid)
    .join(
        _MINE,
        and_(
            series.c.study_uid == _MINE.c.study_uid,
            series.c.patient_id == _MINE.c.patient_id,
            series.c.issuer == _MINE.c.issuer,
            series.c.series_uid != _MINE.c.series_uid,
        ),
    )
    .where(
        _MINE.c.series_uid == bindparam("uid"),
        series.c.modality == bindparam("modality"),
        ~series.c.in_conflict,
        _IS_NEWEST,
    )
    .order_by(jobs.c.series_uid)
)

_HELD: Final = {"running": JobState.RUNNING.value}
_ENTER: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.token == bindparam("claimed"), jobs.c.state == bindparam("running"))
    .values(step=bindparam("begins"))
)
_TAKEN: Final = ("token", "strikes", "manifest", "fixed_at", "lease_owner", "lease_expires_at", "claimed_at")
_TAKE: Final = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        {name: bindparam(f"to_{name}", type_=jobs.c[name].type) for name in _TAKEN}
        # Why it waited says nothing any more.
        | {"state": JobState.RUNNING.value, "reason": "", "detail": ""}
    )
)
_INSERT_STEP: Final = Prepared(
    insert(job_steps).inline(), ["job_id", "token", "step", "started_at", "seconds", "outcome", "details"]
)


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
    last_step: str = ""
    """The step that the claim before this one was at."""
    last_error: str = ""
    """What the claim before this one ended in, where somebody saw it."""
    is_urgent: bool = False
    """Whether it overtakes others."""

    @property
    def is_struck_out(self) -> bool:
        """Whether nothing is to be tried any more, only to be said."""
        return self.strikes >= STRIKES


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step that ran."""

    step: Step
    started_at: datetime
    seconds: float
    outcome: AuditOutcome
    details: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndedStep:
    """A step that ran, and what the audit trail says of it."""

    record: StepRecord
    events: tuple[AuditEvent, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Sibling:
    """The newest job of another series of a study."""

    job_id: JobId
    series_uid: SeriesUID
    state: JobState
    reason: str


class JobStore:
    """The jobs of a database."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        """The jobs in ``database``; ``now``: seconds on a clock that nobody can set, for leases."""
        self._database = database
        self._leases = LeaseWatch(now)
        self._claims = 0

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
            values = {"completed_at": now, "not_before": None}
            connection.execute(
                update(jobs).where(jobs.c.id == row["id"]).values(_queued(connection, row["id"], values))
            )
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
            _wake(connection, series_uid, JobState.WAITING, ReasonCode.AWAITING_SERIES, now)
        return True

    def claim(self, worker: str, queues: Collection[Queue] = tuple(Queue), *, is_beside: bool = False) -> Claim | None:
        """The next job in ``queues`` that nobody works on, or None: urgent ones first, of those the oldest.

        Whatever has waited for long has its turn among the urgent ones with every fourth claim. Takes over from dead
        workers; three strikes quarantine. ``is_beside``: for whoever has others at hand already, which a job that has
        cost a worker before could take with it: none of those.
        """
        if self._database.is_locked_whole and not self._is_any_claimable(queues):
            return None
        claim = self._claim(worker, queues, is_beside=is_beside)
        if claim is not None:
            self._claims += 1
            hit(Failpoint.CLAIM_COMMITTED)
        return claim

    def _is_any_claimable(self, queues: Collection[Queue]) -> bool:
        """Looking first leaves the write lock alone while there is nothing to do."""
        with self._database.read() as connection:
            return turns.is_any(connection, datetime.now(UTC), self._abandoned(connection), queues)

    def _claim(self, worker: str, queues: Collection[Queue], *, is_beside: bool) -> Claim | None:
        by_age = self._claims % turns.TURN_OF_THE_AGED == turns.TURN_OF_THE_AGED - 1
        with self._database.write() as connection:
            # Only now: getting the write lock may have taken as long as a lease.
            now = datetime.now(UTC)
            left = () if is_beside else self._abandoned(connection)
            search = partial(turns.first, connection, now, left, queues, by_age=by_age, is_beside=is_beside)
            while (row := search()) is not None:
                strikes = row["strikes"] + (JobState(row["state"]) is JobState.RUNNING)
                # Once more than it is tried: for a worker that only says so, and dies of nothing that it reads.
                if strikes <= STRIKES:
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

    def enter(self, claim: Claim, step: Step, *ended: EndedStep) -> bool:
        """Say that ``step`` begins, and what ``ended`` before it; False when the claim has been lost."""
        with self._database.write() as connection:
            record_steps(connection, claim, ended)
            values = {"job": claim.job_id, "claimed": claim.token, "begins": step.value, **_HELD}
            return _ENTER.run(connection, values).rowcount == 1

    def record_steps(self, claim: Claim, *ended: EndedStep) -> None:
        """Add steps that have ended, where none begins, and what the audit trail says of them."""
        with self._database.write() as connection:
            record_steps(connection, claim, ended)

    def siblings(self, series_uid: SeriesUID, modality: str) -> tuple[Sibling, ...]:
        """The newest job of every other series of the same patient, study and modality, in the order of their UIDs.

        A series whose identity is in doubt is nobody's sibling.
        """
        with self._database.read() as connection:
            rows = _SIBLINGS.run(connection, {"uid": series_uid, "modality": modality}).fetchall()
        return tuple(Sibling(JobId(job), SeriesUID(uid), JobState(state), reason) for job, uid, state, reason in rows)

    def stand_back(self, claim: Claim, instead: Sibling, reason: Reason, event: AuditEvent) -> bool:
        """End a job because a better series is analysed; False when the claim has been lost.

        Where that series has moved on meanwhile, the job waits again, and is judged anew.
        """
        with self._database.write() as connection:
            # Locked first, as whoever ends that job locks it: one of the two sees what the other has written.
            row = latest_job(connection, instead.series_uid)
            if row is None or (row["id"], row["state"], row["reason"]) != (
                instead.job_id, instead.state.value, instead.reason
            ):  # fmt: skip
                values = _queued(connection, claim.job_id, {"lease_owner": "", "step": "", "not_before": None})
                return connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount == 1
            return conclude(connection, claim, JobState.NOT_ANALYSED, reason, event)

    def finish(
        self, claim: Claim, state: JobState, reason: Reason | None, event: AuditEvent, *, makes_way: bool = False
    ) -> bool:
        """End a job that has no results: not analysed, quarantined or done. False when the claim has been lost.

        ``makes_way``: the series that stood back for this one are judged anew.
        """
        with self._database.write() as connection:
            return conclude(connection, claim, state, reason, event, makes_way=makes_way)

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

    def hand_over(self, claim: Claim, queue: Queue) -> bool:
        """Give a job to the workers of another queue, who begin it anew; False when the claim has been lost."""
        with self._database.write() as connection:
            values = {"state": JobState.WAITING.value, "queue": queue.value, "lease_owner": "", "step": ""}
            if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount != 1:
                return False
            ring(connection, claim.job_id, queue)
        return True

    def strike(self, job_id: JobId, token: int, actor: str, why: str, *, step: str = "") -> bool:
        """Take a job back whose worker has ended at it, without waiting for the lease; False when it has moved on.

        ``why`` is what people see when it is held for them after three of these; ``actor``: who saw the worker end,
        and at which ``step``, if it knows better than the database.
        """
        held = and_(jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == JobState.RUNNING.value)
        with self._database.write() as connection:
            row = connection.execute(select(jobs).where(held).with_for_update()).mappings().first()
            if row is None:
                return False
            reason = Reason(ReasonCode.WORKER_ENDED, f"{step or row['step'] or 'no step'}: {why}")
            values = {
                "state": JobState.WAITING.value,
                "step": step or row["step"],
                "strikes": row["strikes"] + 1,
                "lease_owner": "",
                "not_before": None,
                "reason": reason.code.name,
                "detail": reason.detail,
            }
            connection.execute(update(jobs).where(held).values(values))
            event = AuditEvent(
                at=datetime.now(UTC),
                actor=actor,
                action=AuditAction.JOB_RELEASED,
                outcome=AuditOutcome.FAILURE,
                series_uid=row["series_uid"],
                job_id=job_id,
                reason=reason.code,
                details={"detail": reason.detail, "strikes": row["strikes"] + 1},
            )
            audit.append(connection, event)
            ring(connection, job_id, Queue(row["queue"]))
        return True

    def reopen_for_annotation(self, series_uid: SeriesUID) -> JobId | None:
        """Have a series analysed again if its last analysis did not know all contours that reference it now.

        Returns the job that will do it; None when there is no such series here or nothing new to know.
        """
        with self._database.write() as connection:
            return reopen(connection, series_uid, datetime.now(UTC), "a contour for it is here")

    def retry(self, job_id: JobId, by: str = "operator") -> None:
        """Have a job run, or its failed deliveries sent, again; ``by``: whom the audit trail names.

        Raises:
            UsageError: there is no such job, or its state does not allow it.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).mappings().first()
            if row is None:
                raise UsageError(f"there is no job {job_id}")
            state = JobState(row["state"])
            if state in _WITH_DELIVERIES:
                _retry_deliveries(connection, job_id, now)
            elif state in _AFTER_A_VERDICT:
                _require_newest(connection, row)
                # What its notice says is about to be judged anew.
                withdraw_unsent(connection, [job_id])
                values = {"reason": "", "detail": "", "strikes": 0, "not_before": None}
                values = _queued(connection, job_id, values)
                connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            else:
                raise UsageError(f"job {job_id} is {state}: it cannot be retried")
            event = AuditEvent(
                at=now,
                actor=by,
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
            return tuple(_job_record(row) for row in connection.execute(query).mappings())

    def job(self, job_id: str) -> JobRecord | None:
        """One job, or None."""
        with self._database.read() as connection:
            row = connection.execute(_with_series().where(jobs.c.id == job_id)).mappings().first()
        return _job_record(row) if row else None

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

    def depth(self) -> dict[Queue, int]:
        """How many jobs wait in each queue."""
        query = select(jobs.c.queue, func.count()).where(jobs.c.state == JobState.WAITING.value).group_by(jobs.c.queue)
        with self._database.read() as connection:
            found = dict(pairs(connection.execute(query).all()))
        return {queue: found.get(queue.value, 0) for queue in Queue}

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


def reopen(connection: Connection, series_uid: SeriesUID, now: datetime, why: str) -> JobId | None:
    """Have a series analysed again if more is known of it now than when it was analysed.

    Returns the job that will do it; None when there is no such series here or nothing new to know.
    """
    row = latest_job(connection, series_uid)
    if row is None or JobState(row["state"]) in (JobState.COLLECTING, JobState.WAITING):
        return None
    if row["manifest"] == manifest_of(connection, series_uid):
        return None
    if JobState(row["state"]) is not JobState.RUNNING:
        version = row["version"] + 1
        job_id = insert_job(connection, series_uid, version, JobState.WAITING, now, supersedes=row["id"])
    else:
        job_id = JobId(row["id"])
        values = _queued(connection, job_id, {"token": row["token"] + 1, "lease_owner": "", "step": ""})
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
    audit.append(connection, reopened(series_uid, job_id, now, why))
    return job_id


def _wake(connection: Connection, series_uid: SeriesUID, state: JobState, reason: ReasonCode, now: datetime) -> None:
    """Have the series of the same study judged anew whose newest job is in ``state`` for ``reason``."""
    study = select(series.c.study_uid).where(series.c.series_uid == series_uid).scalar_subquery()
    of_the_study = select(series.c.series_uid).where(series.c.study_uid == study, series.c.series_uid != series_uid)
    values = {
        "state": JobState.WAITING.value, "queue": Queue.CPU.value, "not_before": None, "reason": "", "detail": "",
    }  # fmt: skip
    woken = connection.execute(
        update(jobs)
        .where(
            jobs.c.series_uid.in_(of_the_study), jobs.c.state == state.value, jobs.c.reason == reason.name, _IS_NEWEST
        )
        .values(values)
        .returning(jobs.c.id, jobs.c.series_uid)
    ).all()
    for row in woken:
        ring(connection, row.id, Queue.CPU)
    why = "the other series of the study has ended" if state is JobState.NOT_ANALYSED else "the other series is here"
    audit.append(connection, *(reopened(row.series_uid, row.id, now, why) for row in woken))


def record_steps(connection: Connection, claim: Claim, ended: Sequence[EndedStep]) -> None:
    """Add finished steps, and what the audit trail says of them, in the transaction of ``connection``."""
    rows = [
        {
            "job_id": claim.job_id,
            "token": claim.token,
            "step": one.record.step.value,
            "started_at": one.record.started_at,
            "seconds": one.record.seconds,
            "outcome": one.record.outcome.value,
            "details": one.record.details,
        }
        for one in ended
    ]
    _INSERT_STEP.run_all(connection, rows)
    audit.append(connection, *(event for one in ended for event in one.events))


def supersede(connection: Connection, claim: Claim, now: datetime, replaces: Collection[JobId] = ()) -> None:
    """Mark every earlier version of the series of ``claim`` as superseded, and keep back what was not sent yet.

    Every one: the version just before may have ended without a verdict that replaced the one before it. So are the jobs
    of other series in ``replaces`` that have results.
    """
    if claim.version == FIRST_VERSION and not replaces:
        return
    replaceable = [state.value for state in _REPLACEABLE]
    earlier = and_(jobs.c.series_uid == claim.series_uid, jobs.c.version < claim.version, jobs.c.state.in_(replaceable))
    of_others = and_(jobs.c.id.in_(list(replaces)), jobs.c.state.in_([state.value for state in _WITH_RESULTS]))
    rows = connection.execute(
        update(jobs)
        .where(or_(earlier, of_others))
        .values(state=JobState.SUPERSEDED.value)
        .returning(jobs.c.id, jobs.c.series_uid)
    ).all()
    replaced = [row.id for row in rows]
    withdraw_unsent(connection, replaced)
    events = [
        AuditEvent(
            at=now,
            actor="node",
            action=AuditAction.JOB_SUPERSEDED,
            outcome=AuditOutcome.SUCCESS,
            series_uid=row.series_uid,
            job_id=row.id,
            details={"by": claim.job_id},
        )
        for row in rows
    ]
    audit.append(connection, *events)


def conclude(
    connection: Connection,
    claim: Claim,
    state: JobState,
    reason: Reason | None,
    event: AuditEvent,
    *,
    makes_way: bool = False,
) -> bool:
    """End the job of ``claim`` without results in the transaction of ``connection``; False when it has been lost.

    ``makes_way``: the series that stood back for this one are judged anew.
    """
    now = datetime.now(UTC)
    values = {"state": state.value, "finished_at": now, "lease_owner": "", "step": ""}
    values |= {"reason": reason.code.name, "detail": reason.detail} if reason else {}
    if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount != 1:
        return False
    audit.append(connection, event)
    if makes_way:
        _wake(connection, claim.series_uid, JobState.NOT_ANALYSED, ReasonCode.BETTER_SERIES, now)
    if state is not JobState.QUARANTINED:
        supersede(connection, claim, now)
    return True


def withdraw_unsent(connection: Connection, job_ids: Sequence[str]) -> None:
    """Keep back what was not sent of ``job_ids``, and wait for no commitment to what was."""
    if not job_ids:
        return
    unsent = (DeliveryState.PENDING.value, DeliveryState.FAILED.value, DeliveryState.HELD.value)
    connection.execute(
        update(outbox)
        .where(outbox.c.job_id.in_(job_ids), outbox.c.state.in_(unsent))
        .values(state=DeliveryState.WITHDRAWN.value)
    )
    # What is stored is: nobody waits any more for an archive to commit to what is not meant any more.
    stored = (DeliveryState.STORED.value, DeliveryState.COMMITMENT_REQUESTED.value)
    connection.execute(
        update(outbox)
        .where(outbox.c.job_id.in_(job_ids), outbox.c.state.in_(stored))
        .values(state=DeliveryState.STORED.value, awaits_commitment=False)
    )


def give_back_if_changed(connection: Connection, claim: Claim, now: datetime) -> bool:
    """Queue the job of ``claim`` again when a contour came while it was worked on; whether one did.

    The steps may have read that contour or not: only a claim whose manifest knows it can say what was analysed.
    """
    if manifest_of(connection, claim.series_uid) == claim.manifest:
        return False
    values = {"token": claim.token + 1, "lease_owner": "", "step": ""}
    values = _queued(connection, claim.job_id, values)
    if connection.execute(update(jobs).where(_is_ours(claim)).values(values)).rowcount:
        audit.append(connection, reopened(claim.series_uid, claim.job_id, now, "a contour came while it was analysed"))
    return True


def is_ours(claim: Claim) -> Any:
    """The condition that ``claim`` still holds: right token, still running, same input."""
    return and_(_is_ours(claim), jobs.c.manifest == claim.manifest)


def _is_ours(claim: Claim) -> Any:
    return and_(jobs.c.id == claim.job_id, jobs.c.token == claim.token, jobs.c.state == JobState.RUNNING.value)


def _queued(connection: Connection, job_id: JobId, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` for a job that waits to be begun anew, and the bell for it."""
    ring(connection, job_id, Queue.CPU)
    return {"state": JobState.WAITING.value, "queue": Queue.CPU.value, **values}


def _take(connection: Connection, row: RowMapping, worker: str, strikes: int, now: datetime) -> Claim:
    series_uid = SeriesUID(row["series_uid"])
    manifest = manifest_of(connection, series_uid)
    # The date inside the results is that of the first claim of this input, so that a re-run repeats it.
    fixed_at = row["fixed_at"] if row["fixed_at"] and row["manifest"] == manifest else now.replace(microsecond=0)
    token = row["token"] + 1
    values = {
        "job": row["id"],
        "to_token": token,
        "to_strikes": strikes,
        "to_manifest": manifest,
        "to_fixed_at": fixed_at,
        "to_lease_owner": worker,
        "to_lease_expires_at": now + LEASE,
        "to_claimed_at": now,
    }
    _TAKE.run(connection, values)
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
        last_step=row["step"],
        last_error=row["detail"] if row["reason"] == ReasonCode.WORKER_ENDED.name else "",
        is_urgent=row["urgency"] > 0,
    )


def _replaced(connection: Connection, row: RowMapping) -> JobId | None:
    if row["version"] == FIRST_VERSION:
        return None
    with_results = exists().where(results.c.job_id == jobs.c.id)
    earlier = select(jobs.c.id).where(jobs.c.series_uid == row["series_uid"], jobs.c.version < row["version"])
    found = connection.scalar(earlier.where(with_results).order_by(jobs.c.version.desc()).limit(1))
    job_id = found or row["supersedes"]
    return JobId(job_id) if job_id else None


def struck_out(last_step: str, last_error: str) -> Reason:
    """Why a job that has ended three workers is held."""
    return Reason(ReasonCode.STRUCK_OUT, f"last step: {last_error or last_step or 'none'}")


def _strike_out(connection: Connection, row: RowMapping, now: datetime) -> None:
    reason = struck_out(row["step"], row["detail"] if row["reason"] == ReasonCode.WORKER_ENDED.name else "")
    values = {
        "state": JobState.QUARANTINED.value,
        "token": row["token"] + 1,
        "reason": reason.code.name,
        "detail": reason.detail,
        "finished_at": now,
        "lease_owner": "",
    }
    connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(values))
    _wake(connection, SeriesUID(row["series_uid"]), JobState.NOT_ANALYSED, ReasonCode.BETTER_SERIES, now)
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


def _require_newest(connection: Connection, row: RowMapping) -> None:
    # Two versions at work on one series would give two results.
    newest = latest_job(connection, SeriesUID(row["series_uid"]))
    if newest is not None and newest["id"] != row["id"]:
        raise UsageError(f"job {row['id']} has a newer version: retry {newest['id']}")


def _retry_deliveries(connection: Connection, job_id: JobId, now: datetime) -> None:
    connection.execute(
        update(outbox)
        .where(outbox.c.job_id == job_id, outbox.c.state.in_([state.value for state in WAITS_FOR_A_PERSON]))
        .values(once_more(now))
    )


def _with_series() -> Any:
    columns = [column for column in jobs.c if column.name not in ("token", "strikes", "manifest")]
    return select(*columns, series.c.study_uid, series.c.patient_id, series.c.modality, series.c.last_received_at).join(
        series, series.c.series_uid == jobs.c.series_uid
    )


def _job_record(row: RowMapping) -> JobRecord:
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
