"""The audit trail: rows are added in the transaction of what they tell about, and never changed."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, insert, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.reasons import ReasonCode
from node.store.prepared import Prepared
from node.store.session import Database
from node.store.tables import audit

_INSERT: Final = Prepared(insert(audit).inline(), [column.name for column in audit.c if column is not audit.c.id])


def append(connection: Connection, *events: AuditEvent) -> None:
    """Add ``events`` in the transaction of ``connection``."""
    if events:
        _INSERT.run_all(connection, [_to_row(event) for event in events])


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
            return tuple(_from_row(row) for row in connection.execute(query).mappings())


def _to_row(event: AuditEvent) -> dict[str, object]:
    return {
        "at": event.at,
        "actor": event.actor,
        "action": event.action.value,
        "outcome": event.outcome.value,
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "instance_uid": event.instance_uid,
        "job_id": event.job_id,
        "reason": event.reason.name if event.reason else "",
        "details": event.details,
    }


def _from_row(values: RowMapping) -> AuditEvent:
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
