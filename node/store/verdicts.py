"""Verdicts: rows are added and never changed; the newest of a reader about a job is what they think."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Row, insert, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId
from node.domain.verdict import Verdict, VerdictKind
from node.store import audit
from node.store.session import Database
from node.store.tables import jobs, verdicts

_AT_ONCE: Final = 1000


class VerdictStore:
    """The verdicts of a database."""

    def __init__(self, database: Database) -> None:
        """The verdicts in ``database``."""
        self._database = database

    def add(self, verdict: Verdict) -> int:
        """Add a verdict, with a row of the audit trail; gives its number. That of a document is added once."""
        row = {
            "job_id": verdict.job_id,
            "at": verdict.at,
            "reader": verdict.reader,
            "kind": verdict.kind.value,
            "own_class": verdict.own_class,
            "reason": verdict.reason.replace("\x00", ""),
            "predictor": verdict.predictor,
            "digest": verdict.digest,
            "conclusion": verdict.conclusion,
            "source_uid": verdict.source_uid,
        }
        with self._database.write() as connection:
            if verdict.source_uid:
                known = select(verdicts.c.id).where(verdicts.c.source_uid == verdict.source_uid)
                if (before := connection.scalar(known)) is not None:
                    return int(before)
            added = connection.execute(insert(verdicts).values(row)).inserted_primary_key
            number = int(added[0]) if added else 0
            series_uid = connection.scalar(select(jobs.c.series_uid).where(jobs.c.id == verdict.job_id)) or ""
            details: dict[str, str | int | float] = {
                "verdict": number, "kind": verdict.kind.value, "digest": verdict.digest, "own_class": verdict.own_class,
            }  # fmt: skip
            event = AuditEvent(
                at=verdict.at,
                actor=f"person {verdict.reader}",
                action=AuditAction.VERDICT_GIVEN,
                outcome=AuditOutcome.SUCCESS,
                series_uid=series_uid,
                job_id=verdict.job_id,
                details=details,
            )
            audit.append(connection, event)
        return number

    def of(self, job_id: str) -> tuple[Verdict, ...]:
        """Every word about a job in the order in which it was said."""
        query = select(verdicts).where(verdicts.c.job_id == job_id).order_by(verdicts.c.id)
        with self._database.read() as connection:
            return tuple(_verdict(row) for row in connection.execute(query))

    def all(self) -> Iterator[Verdict]:
        """Every word about anything in the order in which it was said, read as it is asked for."""
        after = 0
        while True:
            query = select(verdicts).where(verdicts.c.id > after).order_by(verdicts.c.id).limit(_AT_ONCE)
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            yield from (_verdict(row) for row in rows)
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].id


def standing(words: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Of all that was said about a result, what each reader thinks now."""
    newest = {(word.job_id, word.digest, word.reader): word for word in words}
    return tuple(newest.values())


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(
        job_id=JobId(row.job_id),
        at=row.at,
        reader=row.reader,
        kind=VerdictKind(row.kind),
        own_class=row.own_class,
        reason=row.reason,
        predictor=row.predictor,
        digest=row.digest,
        conclusion=row.conclusion,
        source_uid=row.source_uid,
        id=row.id,
    )
