"""The outbox: what is still to be delivered, leased to one deliverer at a time, tried again for as long as it takes."""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, case, func, or_, select, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import SAYS_WHY, WAITS_FOR_A_PERSON, DeliveryState, JobState
from node.domain.reporting import NOTICE_KINDS, Delivery, DeliveryOutcome
from node.errors import UsageError
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.blobs import BlobStore
from node.store.leases import Lease, LeaseWatch, any_of
from node.store.session import Database, pairs
from node.store.tables import jobs, outbox, results

LEASE: Final = timedelta(minutes=2)
"""How long a deliverer may be silent about the objects of one job."""
LONGEST_WAIT: Final = timedelta(minutes=15)
_FIRST_WAIT: Final = timedelta(seconds=1)
_ACTIONS: Final = {
    DeliveryState.STORED: (AuditAction.DELIVERED, AuditOutcome.SUCCESS),
    DeliveryState.FAILED: (AuditAction.DELIVERY_FAILED, AuditOutcome.FAILURE),
    DeliveryState.HELD: (AuditAction.DELIVERY_HELD, AuditOutcome.REFUSED),
    DeliveryState.WITHDRAWN: (AuditAction.DELIVERY_SPARED, AuditOutcome.SUCCESS),
}


@dataclass(frozen=True, slots=True)
class Attention:
    """Objects of one job that wait for a person, all for the same reason."""

    job_id: JobId
    destination: str
    state: DeliveryState
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One object and destination as people see them."""

    object_uid: InstanceUID
    destination: str
    state: DeliveryState
    detail: str
    """The destination's last word."""
    attempts: int
    next_attempt_at: datetime
    stored_at: datetime | None
    committed_at: datetime | None


class Outbox:
    """The outbox of a database and a blob store."""

    def __init__(self, database: Database, blobs: BlobStore, now: Callable[[], float] = time.monotonic) -> None:
        """The deliveries in ``database``, the bytes in ``blobs``; ``now``: seconds on a clock that nobody can set."""
        self._database = database
        self._blobs = blobs
        self._leases = LeaseWatch(now)

    def lease(self, deliverer: str, only: str | None = None, besides: Collection[str] = ()) -> tuple[Delivery, ...]:
        """All objects of one job that are due at one destination, leased; empty when nothing is due.

        ``only``: at this destination; ``besides``: at none of these.
        """
        place = _at(only, besides)
        with self._database.read() as connection:
            # Looking first leaves the write lock alone while there is nothing to do.
            due = _due(datetime.now(UTC), self._abandoned(connection)).where(place)
            if connection.execute(due.limit(1)).first() is None:
                return ()
        with self._database.write() as connection:
            now, abandoned = datetime.now(UTC), self._abandoned(connection)
            _withdraw_abandoned(connection, abandoned)
            rows = _lock_group(connection, now, abandoned, place)
            expires = now + LEASE
            connection.execute(
                update(outbox)
                .where(outbox.c.id.in_([row["id"] for row in rows]))
                .values(
                    state=DeliveryState.SENDING.value,
                    attempts=outbox.c.attempts + 1,
                    lease_owner=deliverer,
                    lease_expires_at=expires,
                )
            )
        self._leases.begin((row["id"], row["attempts"] + 1, expires) for row in rows)
        hit(Failpoint.OUTBOX_LEASED)
        return tuple(self._delivery(row) for row in rows)

    def hold(self, deliverer: str, deliveries: Sequence[Delivery]) -> bool:
        """Say that ``deliverer`` still works on these: its lease begins anew; False when all have moved on."""
        expires = datetime.now(UTC) + LEASE
        with self._database.write() as connection:
            changed = connection.execute(
                update(outbox)
                .where(outbox.c.id.in_([one.id for one in deliveries]), outbox.c.lease_owner == deliverer)
                .where(outbox.c.state == DeliveryState.SENDING.value)
                .values(lease_expires_at=expires)
            )
        return bool(changed.rowcount)

    def record(
        self,
        deliverer: str,
        deliveries: Sequence[Delivery],
        outcomes: Sequence[DeliveryOutcome],
        *,
        awaits_commitment: bool = False,
    ) -> bool:
        """Write down what the destination answered; the job is done when everything of it is delivered.

        ``awaits_commitment``: what is stored is only delivered when the destination has committed to it.

        Returns whether the job is done now.
        """
        by_uid = {outcome.object_uid: outcome for outcome in outcomes}
        with self._database.write() as connection:
            now = datetime.now(UTC)
            # One moment for all: objects that are due together go over one association.
            due = now + wait_after(max(one.attempts for one in deliveries))
            # Locked first: of two deliverers that end a job together, the second sees what the first has stored.
            connection.execute(select(jobs.c.id).where(jobs.c.id == deliveries[0].job_id).with_for_update())
            still_wanted = set(connection.scalars(wanted([delivery.id for delivery in deliveries])))
            for delivery in deliveries:
                outcome = by_uid[delivery.object_uid]
                changed = connection.execute(
                    update(outbox)
                    .where(outbox.c.id == delivery.id, outbox.c.lease_owner == deliverer)
                    .where(outbox.c.state == DeliveryState.SENDING.value)
                    .values(
                        _answer(
                            outcome,
                            now,
                            due,
                            is_wanted=delivery.id in still_wanted,
                            awaits_commitment=awaits_commitment,
                        )
                        | _spared(outcome, delivery)
                    )
                )
                if changed.rowcount and outcome.state is not DeliveryState.PENDING:
                    audit.append(connection, _event(deliverer, delivery, outcome, now))
            is_done = finish_job(connection, deliveries[0].job_id, now)
        hit(Failpoint.OUTBOX_RECORDED)
        return is_done

    def retry(self, job_id: str | None = None, destination: str | None = None, object_uid: str | None = None) -> int:
        """Have what waits for a person sent again at once: everything, or what is named; how many objects that is.

        Raises:
            UsageError: nothing that is named waits for a person.
        """
        meant: list[ColumnElement[bool]] = [outbox.c.state.in_([state.value for state in WAITS_FOR_A_PERSON])]
        named = (
            (outbox.c.job_id, job_id),
            (outbox.c.destination, destination),
            (outbox.c.sop_instance_uid, object_uid),
        )
        meant += [column == value for column, value in named if value is not None]
        with self._database.write() as connection:
            now = datetime.now(UTC)
            waiting = connection.scalars(select(outbox.c.id).where(*meant)).all()
            again = connection.scalars(
                update(outbox)
                .where(*meant, outbox.c.id.in_(wanted(waiting)))
                .values(once_more(now))
                .returning(outbox.c.job_id)
            ).all()
            if not again:
                raise UsageError("no delivery of that kind waits for a person")
            audit.append(connection, *(_retried(JobId(one), again.count(one), now) for one in dict.fromkeys(again)))
        return len(again)

    def attention(self) -> tuple[Attention, ...]:
        """What waits for a person, by job, destination and reason; the longest waiting first."""
        columns = (outbox.c.job_id, outbox.c.destination, outbox.c.state, outbox.c.detail)
        query = (
            select(*columns, func.count())
            .where(outbox.c.state.in_([state.value for state in WAITS_FOR_A_PERSON]))
            .group_by(*columns)
            .order_by(func.min(outbox.c.next_attempt_at), outbox.c.job_id)
        )
        with self._database.read() as connection:
            return tuple(
                Attention(JobId(row[0]), row[1], DeliveryState(row[2]), row[3], row[4])
                for row in connection.execute(query)
            )

    def counts(self) -> dict[DeliveryState, int]:
        """How many deliveries are in each state."""
        with self._database.read() as connection:
            rows = connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state)).all()
        found = dict(pairs(rows))
        return {state: found.get(state.value, 0) for state in DeliveryState}

    def of(self, job_id: JobId | str) -> tuple[tuple[InstanceUID, str, DeliveryState, str], ...]:
        """Object, destination, state and the destination's last word for everything of a job."""
        return tuple((one.object_uid, one.destination, one.state, one.detail) for one in self.rows(job_id))

    def rows(self, job_id: JobId | str) -> tuple[DeliveryRecord, ...]:
        """Everything of a job, object by object and destination by destination."""
        query = select(outbox).where(outbox.c.job_id == job_id).order_by(outbox.c.id)
        with self._database.read() as connection:
            return tuple(
                DeliveryRecord(
                    InstanceUID(row.sop_instance_uid),
                    row.destination,
                    DeliveryState(row.state),
                    row.detail,
                    row.attempts,
                    row.next_attempt_at,
                    row.stored_at,
                    row.committed_at,
                )
                for row in connection.execute(query)
            )

    def _abandoned(self, connection: Connection) -> tuple[Lease, ...]:
        """The leases of dead deliverers."""
        held = select(outbox.c.id, outbox.c.attempts, outbox.c.lease_expires_at).where(
            outbox.c.state == DeliveryState.SENDING.value
        )
        return self._leases.abandoned(((row[0], row[1], row[2]) for row in connection.execute(held)), LEASE)

    def _delivery(self, row: RowMapping) -> Delivery:
        return Delivery(
            id=row["id"],
            job_id=JobId(row["job_id"]),
            object_uid=InstanceUID(row["sop_instance_uid"]),
            sop_class_uid=row["sop_class_uid"],
            destination=row["destination"],
            path=self._blobs.path_of(row["sha256"]),
            attempts=row["attempts"] + 1,
            state=DeliveryState.SENDING,
        )


def once_more(now: datetime) -> dict[str, Any]:
    """Values for what waits for a person and is sent again at once, its attempts counted anew.

    Not from nothing, unless it was held at its first: what has been tried may have arrived, and whoever withdraws the
    result says so there.
    """
    never_sent = and_(outbox.c.state == DeliveryState.HELD.value, outbox.c.attempts <= 1)
    return {
        "state": DeliveryState.PENDING.value, "next_attempt_at": now, "attempts": case((never_sent, 0), else_=1),
    }  # fmt: skip


def wait_after(attempts: int) -> timedelta:
    """How long to wait after that many attempts: doubling with jitter, never more than a quarter of an hour."""
    longest: timedelta = min(_FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 — jitter, not a secret


def _due(now: datetime, leases: Sequence[Lease]) -> Select[Any]:
    # What was never tried is due. What was leased later than now was leased before the clock was set back.
    is_due = or_(outbox.c.next_attempt_at <= now, outbox.c.attempts == 0, outbox.c.lease_expires_at > now + LEASE)
    pending = and_(outbox.c.state == DeliveryState.PENDING.value, is_due)
    abandoned = _is_abandoned(leases)
    return (
        select(outbox, results.c.sha256, results.c.sop_class_uid)
        .join(results, results.c.sop_instance_uid == outbox.c.sop_instance_uid)
        .join(jobs, jobs.c.id == outbox.c.job_id)
        .where(or_(pending, abandoned), is_wanted())
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
    )


def is_wanted() -> ColumnElement[bool]:
    """The condition that an object is still to be sent: a result of its job, or the notice of one without a result."""
    is_notice = results.c.kind.in_([kind.name for kind in NOTICE_KINDS])
    says_why = jobs.c.state.in_([state.value for state in SAYS_WHY])
    return or_(jobs.c.state == JobState.DELIVERING.value, and_(is_notice, says_why))


def wanted(deliveries: Sequence[int]) -> Select[Any]:
    """Which of ``deliveries`` are still to be sent."""
    return (
        select(outbox.c.id)
        .join(results, results.c.sop_instance_uid == outbox.c.sop_instance_uid)
        .join(jobs, jobs.c.id == outbox.c.job_id)
        .where(outbox.c.id.in_(deliveries), is_wanted())
    )


def _is_abandoned(leases: Sequence[Lease]) -> ColumnElement[bool]:
    """The condition that a dead deliverer holds a delivery."""
    of_the_dead = any_of(leases, outbox.c.id, outbox.c.attempts, outbox.c.lease_expires_at)
    return and_(outbox.c.state == DeliveryState.SENDING.value, of_the_dead)


def _withdraw_abandoned(connection: Connection, leases: Sequence[Lease]) -> None:
    """Let go of what a dead deliverer left half-way of a job that a newer version has replaced since."""
    held = connection.scalars(select(outbox.c.id).where(_is_abandoned(leases))).all()
    unwanted = set(held) - set(connection.scalars(wanted(held)))
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_(unwanted), _is_abandoned(leases))
        .values(state=DeliveryState.WITHDRAWN.value, lease_owner="")
    )


def _at(only: str | None, besides: Collection[str]) -> ColumnElement[bool]:
    """The condition that a delivery is to a place that is meant."""
    return outbox.c.destination == only if only is not None else outbox.c.destination.not_in(besides)


def _lock_group(
    connection: Connection, now: datetime, leases: Sequence[Lease], place: ColumnElement[bool]
) -> Sequence[RowMapping]:
    """Everything that is due of the job and destination that have waited longest; empty when nothing is due."""
    while (first := connection.execute(_due(now, leases).where(place).limit(1)).mappings().first()) is not None:
        same = and_(outbox.c.job_id == first["job_id"], outbox.c.destination == first["destination"])
        # Waits for another deliverer that leases the same objects, and then finds them taken: never half a job each.
        rows = connection.execute(_due(now, leases).where(same).with_for_update(of=outbox)).mappings().all()
        if rows:
            return rows
    return ()


def _answer(
    outcome: DeliveryOutcome, now: datetime, due: datetime, *, is_wanted: bool, awaits_commitment: bool
) -> dict[str, object]:
    stored = outcome.state is DeliveryState.STORED
    return {
        "state": outcome.state.value if stored or is_wanted else DeliveryState.WITHDRAWN.value,
        "detail": outcome.detail,
        "stored_at": now if stored else None,
        # Commitment is asked for at once.
        "next_attempt_at": now if stored else due,
        "awaits_commitment": stored and is_wanted and awaits_commitment,
        "lease_owner": "",
    }


def _spared(outcome: DeliveryOutcome, delivery: Delivery) -> dict[str, object]:
    """What a destination took in another form at the first attempt has never been there: no attempt counts."""
    is_spared = outcome.state is DeliveryState.WITHDRAWN and delivery.attempts == 1
    return {"attempts": 0} if is_spared else {}


def finish_job(connection: Connection, job_id: str, now: datetime) -> bool:
    """Have a job done when nothing of it is left to deliver; whether it is done now."""
    over = [state.value for state in (DeliveryState.COMMITTED, DeliveryState.WITHDRAWN)]
    is_over = or_(
        outbox.c.state.in_(over),
        and_(outbox.c.state == DeliveryState.STORED.value, outbox.c.awaits_commitment.is_(False)),
    )
    if connection.scalar(select(func.count()).where(outbox.c.job_id == job_id, ~is_over)):
        return False
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.DELIVERING.value)
        .values(state=JobState.DONE.value, delivered_at=now)
    )
    return changed.rowcount == 1


def _event(deliverer: str, delivery: Delivery, outcome: DeliveryOutcome, now: datetime) -> AuditEvent:
    action, ended = _ACTIONS[outcome.state]
    return AuditEvent(
        at=now,
        actor=deliverer,
        action=action,
        outcome=ended,
        instance_uid=delivery.object_uid,
        job_id=delivery.job_id,
        details={"destination": delivery.destination, "detail": outcome.detail, "attempts": delivery.attempts},
    )


def _retried(job_id: JobId, count: int, now: datetime) -> AuditEvent:
    details: dict[str, str | int | float] = {"deliveries": count}
    return AuditEvent(now, "operator", AuditAction.JOB_RETRIED, AuditOutcome.SUCCESS, job_id=job_id, details=details)
