"""The outbox: what is still to be delivered, leased to one deliverer at a time, tried again for as long as it takes."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, or_, select, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import Delivery, DeliveryOutcome
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.blobs import BlobStore
from node.store.leases import Lease, LeaseWatch, any_of
from node.store.session import Database, pairs
from node.store.tables import jobs, outbox, results

LEASE: Final = timedelta(minutes=2)
"""How long a deliverer may take for the objects of one job."""
LONGEST_WAIT: Final = timedelta(minutes=15)
_FIRST_WAIT: Final = timedelta(seconds=1)


class Outbox:
    """The outbox of a database and a blob store."""

    def __init__(self, database: Database, blobs: BlobStore, now: Callable[[], float] = time.monotonic) -> None:
        """The deliveries in ``database``, the bytes in ``blobs``; ``now``: seconds on a clock that nobody can set."""
        self._database = database
        self._blobs = blobs
        self._leases = LeaseWatch(now)

    def lease(self, deliverer: str) -> tuple[Delivery, ...]:
        """All objects of one job that are due at one destination, leased; empty when nothing is due."""
        with self._database.read() as connection:
            # Looking first leaves the write lock alone while there is nothing to do.
            if connection.execute(_due(datetime.now(UTC), self._abandoned(connection)).limit(1)).first() is None:
                return ()
        with self._database.write() as connection:
            now, abandoned = datetime.now(UTC), self._abandoned(connection)
            _withdraw_abandoned(connection, abandoned)
            rows = _lock_group(connection, now, abandoned)
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

    def record(self, deliverer: str, deliveries: Sequence[Delivery], outcomes: Sequence[DeliveryOutcome]) -> bool:
        """Write down what the destination answered; the job is done when everything of it is stored.

        Returns whether the job is done now.
        """
        by_uid = {outcome.object_uid: outcome for outcome in outcomes}
        with self._database.write() as connection:
            now = datetime.now(UTC)
            # Locked first: of two deliverers that end a job together, the second sees what the first has stored.
            job = select(jobs.c.state).where(jobs.c.id == deliveries[0].job_id).with_for_update()
            is_wanted = connection.scalar(job) == JobState.DELIVERING.value
            for delivery in deliveries:
                outcome = by_uid[delivery.object_uid]
                changed = connection.execute(
                    update(outbox)
                    .where(outbox.c.id == delivery.id, outbox.c.lease_owner == deliverer)
                    .where(outbox.c.state == DeliveryState.SENDING.value)
                    .values(_answer(outcome, delivery.attempts, now, is_wanted=is_wanted))
                )
                if changed.rowcount and outcome.state is not DeliveryState.PENDING:
                    audit.append(connection, _event(deliverer, delivery, outcome, now))
            is_done = _finish_job(connection, deliveries[0].job_id, now)
        hit(Failpoint.OUTBOX_RECORDED)
        return is_done

    def counts(self) -> dict[DeliveryState, int]:
        """How many deliveries are in each state."""
        with self._database.read() as connection:
            rows = connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state)).all()
        found = dict(pairs(rows))
        return {state: found.get(state.value, 0) for state in DeliveryState}

    def of(self, job_id: JobId | str) -> tuple[tuple[InstanceUID, str, DeliveryState, str], ...]:
        """Object, destination, state and the destination's last word for everything of a job."""
        query = select(outbox).where(outbox.c.job_id == job_id).order_by(outbox.c.id)
        with self._database.read() as connection:
            return tuple(
                (InstanceUID(row.sop_instance_uid), row.destination, DeliveryState(row.state), row.detail)
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
        .where(or_(pending, abandoned), jobs.c.state == JobState.DELIVERING.value)
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
    )


def _is_abandoned(leases: Sequence[Lease]) -> ColumnElement[bool]:
    """The condition that a dead deliverer holds a delivery."""
    of_the_dead = any_of(leases, outbox.c.id, outbox.c.attempts, outbox.c.lease_expires_at)
    return and_(outbox.c.state == DeliveryState.SENDING.value, of_the_dead)


def _withdraw_abandoned(connection: Connection, leases: Sequence[Lease]) -> None:
    """Let go of what a dead deliverer left half-way of a job that a newer version has replaced since."""
    unwanted = select(jobs.c.id).where(jobs.c.id == outbox.c.job_id, jobs.c.state != JobState.DELIVERING.value)
    connection.execute(
        update(outbox)
        .where(_is_abandoned(leases))
        .where(unwanted.exists())
        .values(state=DeliveryState.WITHDRAWN.value, lease_owner="")
    )


def _lock_group(connection: Connection, now: datetime, leases: Sequence[Lease]) -> Sequence[RowMapping]:
    """Everything that is due of the job and destination that have waited longest; empty when nothing is due."""
    while (first := connection.execute(_due(now, leases).limit(1)).mappings().first()) is not None:
        same = and_(outbox.c.job_id == first["job_id"], outbox.c.destination == first["destination"])
        # Waits for another deliverer that leases the same objects, and then finds them taken: never half a job each.
        rows = connection.execute(_due(now, leases).where(same).with_for_update(of=outbox)).mappings().all()
        if rows:
            return rows
    return ()


def _answer(outcome: DeliveryOutcome, attempts: int, now: datetime, *, is_wanted: bool) -> dict[str, object]:
    stored = outcome.state is DeliveryState.STORED
    return {
        "state": outcome.state.value if stored or is_wanted else DeliveryState.WITHDRAWN.value,
        "detail": outcome.detail,
        "stored_at": now if stored else None,
        "next_attempt_at": now + wait_after(attempts),
        "lease_owner": "",
    }


def _finish_job(connection: Connection, job_id: JobId, now: datetime) -> bool:
    open_states = [state.value for state in DeliveryState if state is not DeliveryState.STORED]
    query = select(func.count()).where(outbox.c.job_id == job_id, outbox.c.state.in_(open_states))
    if connection.scalar(query):
        return False
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.DELIVERING.value)
        .values(state=JobState.DONE.value, delivered_at=now)
    )
    return changed.rowcount == 1


def _event(deliverer: str, delivery: Delivery, outcome: DeliveryOutcome, now: datetime) -> AuditEvent:
    stored = outcome.state is DeliveryState.STORED
    return AuditEvent(
        at=now,
        actor=deliverer,
        action=AuditAction.DELIVERED if stored else AuditAction.DELIVERY_FAILED,
        outcome=AuditOutcome.SUCCESS if stored else AuditOutcome.FAILURE,
        instance_uid=delivery.object_uid,
        job_id=delivery.job_id,
        details={"destination": delivery.destination, "detail": outcome.detail, "attempts": delivery.attempts},
    )
