"""The audit trail: rows are added in the transaction of what they tell about, and never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, or_, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.reasons import ReasonCode
from node.store import chain
from node.store.session import Database
from node.store.tables import audit

_AT_ONCE: Final = 1000


def append(connection: Connection, *events: AuditEvent) -> None:
    """Add ``events`` in the transaction of ``connection``: they are linked to the chain when it commits."""
    for event in events:
        chain.add(connection, event.as_row())


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows of the trail somebody looks for; what is empty does not count."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    """As it begins."""
    action: str = ""
    """As it begins: ``person`` or ``person:case:view``."""
    subject: str = ""
    """A study, series, instance or job, whole."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row with its number."""

    id: int
    event: AuditEvent


class AuditTrail:
    """The audit trail of a database, for what happens outside other transactions and for reading."""

    def __init__(self, database: Database) -> None:
        """The trail in ``database``."""
        self._database = database

    def record(self, *events: AuditEvent) -> None:
        """Add ``events`` in a transaction of their own."""
        with self._database.write() as connection:
            append(connection, *events)

    def events(self, *, job_id: str | None = None, since: datetime | None = None) -> tuple[AuditEvent, ...]:
        """The events in order, all or those of one job, from a moment on."""
        query = select(audit).order_by(audit.c.id)
        if job_id is not None:
            query = query.where(audit.c.job_id == job_id)
        if since is not None:
            query = query.where(audit.c.at >= since)
        with self._database.read() as connection:
            return tuple(from_row(row) for row in connection.execute(query).mappings())

    def page(self, wanted: AuditFilter, *, before: int | None = None, limit: int = 100) -> tuple[AuditRow, ...]:
        """The newest rows that match, before the row ``before``."""
        query = _matching(wanted).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.read() as connection:
            return tuple(AuditRow(row["id"], from_row(row)) for row in connection.execute(query).mappings())

    def matching(self, wanted: AuditFilter) -> Iterator[AuditRow]:
        """All rows that match, oldest first, read as they are asked for."""
        after = 0
        while True:
            query = _matching(wanted).where(audit.c.id > after).order_by(audit.c.id).limit(_AT_ONCE)
            with self._database.read() as connection:
                rows = connection.execute(query).mappings().all()
            for row in rows:
                yield AuditRow(row["id"], from_row(row))
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1]["id"]


def _matching(wanted: AuditFilter) -> Select[Any]:
    query = select(audit)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until)
    if wanted.actor:
        query = query.where(audit.c.actor.startswith(wanted.actor, autoescape=True))
    if wanted.action:
        query = query.where(audit.c.action.startswith(wanted.action, autoescape=True))
    if wanted.subject:
        subjects = (audit.c.study_uid, audit.c.series_uid, audit.c.instance_uid, audit.c.job_id)
        query = query.where(or_(*(column == wanted.subject for column in subjects)))
    return query


def from_row(values: RowMapping) -> AuditEvent:
    """The event that a row of the table is."""
    return AuditEvent(
        at=values["at"],
        actor=values["actor"],
        action=AuditAction(values["action"]),
        outcome=AuditOutcome(values["outcome"]),
        study_uid=values["study_uid"],
        series_uid=values["series_uid"],
        instance_uid=values["instance_uid"],
        job_id=values["job_id"],
        reason=ReasonCode[values["reason"]] if values["reason"] else None,
        details=values["details"],
    )
