"""Outcomes: rows are added and never changed; the newest of a study and question counts."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Row, insert, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.outcome import Outcome
from node.store import audit
from node.store.session import Database
from node.store.tables import outcomes, series

_AT_ONCE: Final = 500


class OutcomeStore:
    """The outcomes of a database."""

    def __init__(self, database: Database) -> None:
        """The outcomes in ``database``."""
        self._database = database

    def add(self, entered: Sequence[Outcome]) -> None:
        """Add outcomes, all in one transaction, with a row of the audit trail for each study."""
        with self._database.write() as connection:
            for one in entered:
                connection.execute(insert(outcomes).values(_to_row(one)))
                event = AuditEvent(
                    at=datetime.now(UTC),
                    actor=f"person {one.entered_by}",
                    action=AuditAction.OUTCOMES_ENTERED,
                    outcome=AuditOutcome.SUCCESS,
                    study_uid=one.study_uid,
                    details={"question": one.question.value},
                )
                audit.append(connection, event)

    def of(self, study_uid: str) -> tuple[Outcome, ...]:
        """Everything that was entered about a study, in order: the last of each question counts."""
        query = select(outcomes).where(outcomes.c.study_uid == study_uid).order_by(outcomes.c.id)
        with self._database.read() as connection:
            return tuple(_from_row(row) for row in connection.execute(query))

    def studies(self, column: str, values: Sequence[str]) -> dict[str, set[str]]:
        """For each accession number or Study Instance UID the studies here that have it.

        ``column``: ``accession`` or ``study_uid``.
        """
        found: dict[str, set[str]] = {}
        wanted = series.c[column]
        with self._database.read() as connection:
            for start in range(0, len(values), _AT_ONCE):
                query = select(wanted, series.c.study_uid).where(wanted.in_(values[start : start + _AT_ONCE]))
                for value, study in connection.execute(query.distinct()):
                    found.setdefault(value, set()).add(study)
        return found


def standing(entered: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Of everything that was entered about a study, what counts."""
    return tuple({one.question: one for one in entered}.values())


def _to_row(one: Outcome) -> dict[str, object]:
    return {
        "study_uid": one.study_uid,
        "question": one.question.value,
        "answer": one.answer,
        "determined_at": one.determined_on.isoformat() if one.determined_on else "",
        "source": one.source,
        "entered_by": one.entered_by,
        "at": one.at,
    }


def _from_row(row: Row[Any]) -> Outcome:
    return Outcome(
        study_uid=row.study_uid,
        answer=row.answer,
        entered_by=row.entered_by,
        at=row.at,
        determined_on=date.fromisoformat(row.determined_at) if row.determined_at else None,
        source=row.source,
    )
