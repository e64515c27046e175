"""Storage commitment: requests that are written down before they are sent, and what archives report of them.

PS3.4 annex J. An archive may answer at once, late, twice or never; whatever it does, each object ends as committed, or
is sent again, or waits for a person.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, insert, or_, select, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import InstanceUID, JobId, Uid
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Commitment, CommitmentReport, ReportVerdict
from node.failpoints import Failpoint, hit
from node.store import audit
from node.store.outbox import finish_job, is_wanted, wait_after, wanted
from node.store.session import Database
from node.store.tables import commitments, jobs, outbox, results

REQUESTED, STORED, COMMITTED = DeliveryState.COMMITMENT_REQUESTED, DeliveryState.STORED, DeliveryState.COMMITTED
PENDING, FAILED = DeliveryState.PENDING, DeliveryState.FAILED

# Failure Reason (0008,1197), PS3.3 section C.14.1.1: what follows, and the sentence that people read.
_REASONS: Final[dict[int, tuple[DeliveryState, str]]] = {
    0x0110: (STORED, "the archive could not process the request for commitment"),
    0x0112: (PENDING, "the archive has not got it: it is sent again"),
    0x0119: (FAILED, "stored, but the archive holds it under another SOP class"),
    0x0122: (FAILED, "stored, but the archive does not commit to objects of this SOP class"),
    0x0131: (STORED, "the archive knew the Transaction UID already"),
    0x0213: (STORED, "the archive is at a resource limit"),
}


@dataclass(frozen=True, slots=True)
class _Change:
    """What a report makes of one object."""

    state: DeliveryState
    detail: str


class Commitments:
    """The requests for storage commitment of a database."""

    def __init__(self, database: Database) -> None:
        """The requests in ``database``."""
        self._database = database

    def begin(self, deliverer: str, destination: str, within: timedelta) -> Commitment | None:
        """A request for everything of one job that is due at ``destination``, written down; None when nothing is due.

        ``within``: how long a report is waited for before it is asked anew, under another Transaction UID.
        """
        with self._database.read() as connection:
            if connection.execute(_due(destination, datetime.now(UTC), within).limit(1)).first() is None:
                return None
        with self._database.write() as connection:
            now = datetime.now(UTC)
            due = _due(destination, now, within)
            first = connection.execute(due.limit(1)).mappings().first()
            if first is None:
                return None
            same = due.where(outbox.c.job_id == first["job_id"]).with_for_update(of=outbox)
            rows = connection.execute(same).mappings().all()
            if not rows:
                return None
            found = _begin(connection, destination, rows, now)
            audit.append(connection, _requested(deliverer, found, now))
        hit(Failpoint.COMMITMENT_WRITTEN)
        return found

    def not_taken(self, commitment: Commitment, detail: str) -> None:
        """The archive did not take the request: it is asked again later, under another Transaction UID."""
        with self._database.write() as connection:
            now = datetime.now(UTC)
            wait = wait_after(_asked(connection, commitment.job_id, commitment.destination))
            connection.execute(
                update(outbox)
                .where(outbox.c.transaction_uid == commitment.transaction_uid, outbox.c.state == REQUESTED.value)
                .values(state=STORED.value, detail=detail, next_attempt_at=now + wait)
            )

    def report(self, report: CommitmentReport, destinations: Collection[str], reporter: str) -> ReportVerdict:
        """Write down what an archive reports; committed before this returns.

        ``destinations``: those that the sender may speak for; ``reporter``: what the audit trail calls it. A report
        of a transaction that is not known, or is another archive's, changes nothing.
        """
        with self._database.write() as connection:
            now = datetime.now(UTC)
            query = select(commitments).where(commitments.c.transaction_uid == report.transaction_uid).with_for_update()
            request = connection.execute(query).mappings().first()
            if request is None or request["destination"] not in destinations:
                audit.append(connection, _refused(report, reporter, now))
                return ReportVerdict.UNKNOWN
            # Locked first, as a deliverer does: of two that end a job together, the second sees what the first did.
            connection.execute(select(jobs.c.id).where(jobs.c.id == request["job_id"]).with_for_update())
            changed = _apply(connection, report, request, reporter, now)
            values = {"reported_at": now}
            mine = commitments.c.transaction_uid == report.transaction_uid
            connection.execute(update(commitments).where(mine).values(values))
            finish_job(connection, request["job_id"], now)
            hit(Failpoint.REPORT_BEFORE_COMMIT)
        hit(Failpoint.REPORT_COMMITTED)
        return ReportVerdict.TAKEN if changed or request["reported_at"] is None else ReportVerdict.KNOWN

    def forgo(self, wanting: Collection[str]) -> int:
        """Wait for the commitment of nobody but ``wanting``: the settings have changed. How many objects that is."""
        with self._database.write() as connection:
            now = datetime.now(UTC)
            waiting = outbox.c.awaits_commitment.is_(True), outbox.c.destination.not_in(wanting)
            job_ids = connection.scalars(
                update(outbox)
                .where(*waiting, outbox.c.state.in_((STORED.value, REQUESTED.value)))
                .values(state=STORED.value, awaits_commitment=False)
                .returning(outbox.c.job_id)
            ).all()
            for job_id in dict.fromkeys(job_ids):
                finish_job(connection, job_id, now)
        return len(job_ids)


def _due(destination: str, now: datetime, within: timedelta) -> Select[Any]:
    # What was asked later than now was asked before the clock was set back.
    unanswered = or_(outbox.c.requested_at <= now - within, outbox.c.requested_at > now)
    stored = and_(outbox.c.state == STORED.value, or_(outbox.c.next_attempt_at <= now, outbox.c.stored_at > now))
    overdue = and_(outbox.c.state == REQUESTED.value, unanswered)
    return (
        select(outbox, results.c.sop_class_uid)
        .join(results, results.c.sop_instance_uid == outbox.c.sop_instance_uid)
        .join(jobs, jobs.c.id == outbox.c.job_id)
        .where(outbox.c.destination == destination, outbox.c.awaits_commitment.is_(True), or_(stored, overdue))
        .where(is_wanted(), ~_is_under_way())
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
    )


def _is_under_way() -> ColumnElement[bool]:
    """The condition that another object of the same job and destination is being sent: one request is for all."""
    other = outbox.alias()
    return (
        select(other.c.id)
        .where(other.c.job_id == outbox.c.job_id, other.c.destination == outbox.c.destination)
        .where(other.c.state == DeliveryState.SENDING.value)
        .exists()
    )


def _begin(connection: Connection, destination: str, rows: Sequence[RowMapping], now: datetime) -> Commitment:
    references = tuple((str(row["sop_class_uid"]), InstanceUID(row["sop_instance_uid"])) for row in rows)
    # Random: after a crash the archive may know the last one already (0x0131).
    found = Commitment(Uid(f"2.25.{uuid4().int}"), JobId(rows[0]["job_id"]), destination, references)
    connection.execute(
        insert(commitments).values(
            transaction_uid=found.transaction_uid,
            job_id=found.job_id,
            destination=destination,
            requested_at=now,
            instances=[uid for _, uid in references],
        )
    )
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_([row["id"] for row in rows]))
        .values(state=REQUESTED.value, transaction_uid=found.transaction_uid, requested_at=now)
    )
    return found


def _apply(
    connection: Connection,
    report: CommitmentReport,
    request: RowMapping,
    reporter: str,
    now: datetime,
) -> int:
    """Change what the report speaks of; how many objects changed."""
    told = dict.fromkeys(report.committed, _Change(COMMITTED, ""))
    # What an archive both commits to and disowns, it has not committed to.
    told |= {uid: _failure(reason) for uid, reason in report.failed}
    rows = (
        connection.execute(
            select(outbox.c.id, outbox.c.sop_instance_uid, outbox.c.state, outbox.c.transaction_uid)
            .where(outbox.c.destination == request["destination"])
            .where(outbox.c.sop_instance_uid.in_([uid for uid in request["instances"] if uid in told]))
            .with_for_update()
        )
        .mappings()
        .all()
    )
    still_wanted = set(connection.scalars(wanted([row["id"] for row in rows])))
    due = now + wait_after(_asked(connection, request["job_id"], request["destination"]))
    changed = 0
    for row in rows:
        change = told[InstanceUID(row["sop_instance_uid"])]
        if _counts(change, row, request):
            values = _values(change, now, due, is_wanted=row["id"] in still_wanted)
            connection.execute(update(outbox).where(outbox.c.id == row["id"]).values(values))
            audit.append(connection, _told(row, request, change, reporter, now))
            changed += 1
    return changed


def _counts(change: _Change, row: RowMapping, request: RowMapping) -> bool:
    """Whether a report still says something of an object.

    That it is safe counts whenever it is said; that it is not, counts only from the newest transaction: it may have
    been sent again since.
    """
    if change.state is COMMITTED:
        return row["state"] in (STORED.value, REQUESTED.value)
    return bool(row["state"] == REQUESTED.value and row["transaction_uid"] == request["transaction_uid"])


def _values(change: _Change, now: datetime, due: datetime, *, is_wanted: bool) -> dict[str, object]:
    if change.state is COMMITTED:
        return {"state": COMMITTED.value, "committed_at": now, "awaits_commitment": False}
    state = change.state
    if state is PENDING and not is_wanted:
        state = DeliveryState.WITHDRAWN
    return {
        "state": state.value,
        "detail": change.detail,
        "next_attempt_at": due,
        "stored_at": None if state is PENDING else now,
    }


def _asked(connection: Connection, job_id: str, destination: str) -> int:
    """How often an archive has been asked to commit to objects of a job."""
    mine = commitments.c.job_id == job_id, commitments.c.destination == destination
    return connection.scalar(select(func.count()).where(*mine)) or 1


def _failure(reason: int) -> _Change:
    unknown = (FAILED, f"stored, but the archive does not commit to it, for the reason 0x{reason:04X}")
    return _Change(*_REASONS.get(reason, unknown))


def _requested(deliverer: str, commitment: Commitment, now: datetime) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor=deliverer,
        action=AuditAction.COMMITMENT_REQUESTED,
        outcome=AuditOutcome.SUCCESS,
        job_id=commitment.job_id,
        details={
            "destination": commitment.destination,
            "transaction": commitment.transaction_uid,
            "objects": len(commitment.references),
        },
    )


def _told(row: RowMapping, request: RowMapping, change: _Change, reporter: str, now: datetime) -> AuditEvent:
    is_safe = change.state is COMMITTED
    return AuditEvent(
        at=now,
        actor=reporter,
        action=AuditAction.COMMITTED if is_safe else AuditAction.NOT_COMMITTED,
        outcome=AuditOutcome.SUCCESS if is_safe else AuditOutcome.FAILURE,
        instance_uid=row["sop_instance_uid"],
        job_id=request["job_id"],
        details={
            "destination": request["destination"],
            "transaction": request["transaction_uid"],
            "detail": change.detail,
        },
    )


def _refused(report: CommitmentReport, reporter: str, now: datetime) -> AuditEvent:
    details: dict[str, str | int | float] = {"transaction": report.transaction_uid}
    return AuditEvent(now, reporter, AuditAction.REPORT_REFUSED, AuditOutcome.REFUSED, details=details)
