"""Forwarding: how far the audit trail was sent on to each repository; the trail itself is the outbox.

Rows are only ever added, and become visible in the order of their numbers: their writers take turns at the chain's
head. So one number says what has been sent, and nothing between can be missed.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, select, update

from node.domain.audit import CLINICAL_VALUE, AuditAction, AuditEvent
from node.store.audit import from_row
from node.store.leases import LeaseWatch
from node.store.session import Database, add_new
from node.store.tables import audit, audit_forwarding, clinical_values, instances, jobs, series

LEASE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class About:
    """Whom and what a row of the trail is about."""

    study_uid: str
    patient_id: str
    issuer: str
    patient_name: str
    calling_ae: str
    address: str
    accession: str
    contents: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be sent, and up to which row the trail is dealt with once they are."""

    after_id: int
    until_id: int
    rows: tuple[tuple[int, AuditEvent], ...]


class Forwarding:
    """How far the trail of a database was sent."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._database = database
        self._leases = LeaseWatch(now)

    def begin(self, destination: str) -> None:
        """Have everything sent to a repository that is written from now on; nothing where that was said before."""
        with self._database.write() as connection:
            if _row(connection, destination) is None:
                last = connection.scalar(select(func.max(audit.c.id))) or 0
                # Several processes may begin at once: one of them says where.
                row = {"destination": destination, "last_id": last, "attempts": 0, "detail": ""}
                add_new(connection, audit_forwarding, row)

    def waiting(self, destination: str) -> int:
        """How many rows of the trail have not been dealt with."""
        with self._database.read() as connection:
            row = _row(connection, destination)
            last = connection.scalar(select(func.max(audit.c.id))) or 0
        return max(0, last - row["last_id"]) if row else 0

    def take(self, destination: str, owner: str, actions: Collection[AuditAction], limit: int) -> Batch | None:
        """The next rows whose action is one of ``actions``; None while there is nothing new, or another sends."""
        with self._database.read() as connection:
            row = _row(connection, destination)
            newest = connection.scalar(select(func.max(audit.c.id))) or 0
            if row is None or newest <= row["last_id"] or not self._is_free(row, owner):
                return None
        if not self._lease(destination, owner, row):
            return None
        wanted = (
            select(audit)
            .where(audit.c.id > row["last_id"], audit.c.id <= newest)
            .where(audit.c.action.in_([action.value for action in actions]))
            .order_by(audit.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = tuple((one["id"], from_row(one)) for one in connection.execute(wanted).mappings())
        return Batch(row["last_id"], rows[-1][0] if len(rows) == limit else newest, rows)

    def sent(self, destination: str, owner: str, batch: Batch) -> bool:
        """Say that a batch has arrived; False where another has gone on meanwhile."""
        values = {"last_id": batch.until_id, "attempts": 0, "detail": "", "sent_at": datetime.now(UTC)}
        with self._database.write() as connection:
            change = (
                update(audit_forwarding)
                .where(audit_forwarding.c.destination == destination, audit_forwarding.c.lease_owner == owner)
                .where(audit_forwarding.c.last_id == batch.after_id)
                .values(values)
            )
            return connection.execute(change).rowcount == 1

    def failed(self, destination: str, owner: str, detail: str) -> int:
        """Say that a batch may not have arrived; how often in a row that was so."""
        table = audit_forwarding
        with self._database.write() as connection:
            mine = (table.c.destination == destination, table.c.lease_owner == owner)
            connection.execute(update(table).where(*mine).values(attempts=table.c.attempts + 1, detail=detail))
            return connection.scalar(select(table.c.attempts).where(*mine)) or 0

    def give_back(self, destination: str, owner: str) -> None:
        """Let another send from now on."""
        with self._database.write() as connection:
            connection.execute(
                update(audit_forwarding)
                .where(audit_forwarding.c.destination == destination, audit_forwarding.c.lease_owner == owner)
                .values(lease_owner="", lease_expires_at=None)
            )

    def about(self, events: Sequence[AuditEvent]) -> tuple[About | None, ...]:
        """Whom and what each of some rows is about; None for one that is about nobody, or about what is not here."""
        ways = [_way(event) for event in events]
        with self._database.read() as connection:
            found = {way: way[0](connection, way[1]) for way in set(ways) if way is not None}
        return tuple(found[way] if way is not None else None for way in ways)

    def _is_free(self, row: RowMapping, owner: str) -> bool:
        if row["lease_owner"] in ("", owner):
            return True
        held = (row["destination"], row["token"], row["lease_expires_at"])
        return held in self._leases.abandoned([held], LEASE)

    def _lease(self, destination: str, owner: str, before: RowMapping) -> bool:
        table = audit_forwarding
        with self._database.write() as connection:
            change = (
                update(table)
                .where(table.c.destination == destination, table.c.token == before["token"])
                .values(lease_owner=owner, lease_expires_at=datetime.now(UTC) + LEASE, token=table.c.token + 1)
            )
            return connection.execute(change).rowcount == 1


def _row(connection: Connection, destination: str) -> RowMapping | None:
    query = select(audit_forwarding).where(audit_forwarding.c.destination == destination)
    return connection.execute(query).mappings().first()


_Way = tuple[Callable[[Connection, Any], About | None], Any]


def _way(event: AuditEvent) -> _Way | None:
    """From what a row holds, the nearest way to whom it is about."""
    if event.series_uid:
        return _of_series, event.series_uid
    if event.job_id:
        return _of_job, event.job_id
    if CLINICAL_VALUE in event.details:
        return _of_value, event.details[CLINICAL_VALUE]
    return (_of_study, event.study_uid) if event.study_uid else None


def _of_job(connection: Connection, job_id: str) -> About | None:
    found = connection.scalar(select(jobs.c.series_uid).where(jobs.c.id == job_id))
    return _of_series(connection, found) if found else None


def _of_study(connection: Connection, study_uid: str) -> About | None:
    """Of a study as a whole: what one of its series holds says nothing of it."""
    found = connection.scalar(select(series.c.series_uid).where(series.c.study_uid == study_uid).limit(1))
    about = _of_series(connection, found) if found else None
    return replace(about, contents=()) if about else None


def _of_value(connection: Connection, value_id: int) -> About | None:
    row: Any = connection.execute(select(clinical_values).where(clinical_values.c.id == value_id)).first()
    if row is None:
        return None
    same = (series.c.patient_id == row.patient_id, series.c.issuer == row.issuer)
    # Laboratories send numbers without names: the images have them.
    name = row.name or connection.scalar(select(series.c.patient_name).where(*same).limit(1)) or ""
    return About("", row.patient_id, row.issuer, name, "", "", "", ())


def _of_series(connection: Connection, series_uid: str) -> About | None:
    row: Any = connection.execute(select(series).where(series.c.series_uid == series_uid)).first()
    if row is None:
        return None
    kinds = (
        select(instances.c.sop_class_uid, func.count().label("count"))
        .where(instances.c.series_uid == series_uid)
        .group_by(instances.c.sop_class_uid)
        .order_by(instances.c.sop_class_uid)
    )
    contents = tuple((one.sop_class_uid, int(one[1])) for one in connection.execute(kinds))
    address = connection.scalar(
        select(instances.c.address)
        .where(instances.c.series_uid == series_uid)
        .order_by(instances.c.received_at)
        .limit(1)
    )
    return About(
        row.study_uid,
        row.patient_id,
        row.issuer,
        row.patient_name,
        row.calling_ae,
        address or "",
        row.accession,
        contents,
    )
