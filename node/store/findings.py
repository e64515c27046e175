"""Findings: what the page shows of a result, kept beside the objects that were made of it, and who has unblinded it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, insert, or_, select

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId
from node.domain.lifecycle import JobState
from node.errors import UsageError
from node.store import audit
from node.store.jobs import Claim
from node.store.session import Database
from node.store.tables import findings, jobs, observations, unblindings

Document = dict[str, Any]

LONGEST_SUMMARY: Final = 128
LONGEST_REASON: Final = 400
_COMMITTED: Final = tuple(
    state.value for state in (JobState.DELIVERING, JobState.DONE, JobState.RETRACTED, JobState.SUPERSEDED)
)


@dataclass(frozen=True, slots=True)
class Found:
    """What the page shows of a result."""

    document: Document
    """``summary`` is what a list shows of it, ``observed`` what is watched over time."""
    is_blinded: bool = False
    """Nobody is shown it before somebody has unblinded it."""


@dataclass(frozen=True, slots=True)
class Unblinding:
    """Who looked at a result of silent mode, when and why."""

    job_id: JobId
    at: datetime
    by: str
    reason: str


class FindingStore:
    """The findings of a database."""

    def __init__(self, database: Database) -> None:
        """The findings in ``database``."""
        self._database = database

    def of(self, job_id: str) -> Document | None:
        """What was found for a job; None where there is nothing, nothing that was committed, or it is blinded."""
        query = _counting(findings.c.document).where(jobs.c.id == job_id, ~is_hidden())
        with self._database.read() as connection:
            found: Document | None = connection.scalar(query)
        return found

    def recorded(self, job_id: str) -> Document | None:
        """As ``of``, blinded or not: for figures of a whole cohort, in which nobody sees a patient's result."""
        query = _counting(findings.c.document).where(jobs.c.id == job_id)
        with self._database.read() as connection:
            found: Document | None = connection.scalar(query)
        return found

    def is_blinded(self, job_id: str) -> bool:
        """Whether there is a result of silent mode that nobody has unblinded."""
        with self._database.read() as connection:
            return connection.scalar(_hidden(job_id)) is not None

    def unblindings(self, job_id: str) -> tuple[Unblinding, ...]:
        """Who has unblinded a result."""
        query = select(unblindings).where(unblindings.c.job_id == job_id).order_by(unblindings.c.id)
        with self._database.read() as connection:
            return tuple(Unblinding(JobId(row.job_id), row.at, row.by, row.reason) for row in connection.execute(query))

    def unblind(self, job_id: str, by: str, reason: str) -> None:
        """Have a result shown from now on.

        Raises:
            UsageError: it is not blinded, or nobody says who or why.
        """
        who, words = _checked(by, reason)
        with self._database.write() as connection:
            if connection.scalar(_hidden(job_id)) is None:
                raise UsageError(f"job {job_id} has no blinded result")
            _unblind(connection, job_id, who, words)

    def unblind_all(self, predictor: str, by: str, reason: str) -> int:
        """Have every result of ``predictor`` shown from now on, as at the end of a silent trial; how many there were.

        Raises:
            UsageError: nobody says who or why.
        """
        who, words = _checked(by, reason)
        query = _counting(jobs.c.id).where(jobs.c.predictor == predictor, is_hidden())
        with self._database.write() as connection:
            found = connection.scalars(query).all()
            for job_id in found:
                _unblind(connection, job_id, who, words)
        return len(found)


def keep(connection: Connection, claim: Claim, found: Found) -> None:
    """Keep what a claim has found in the transaction of ``connection``, which commits its results."""
    key = {"job_id": claim.job_id, "token": claim.token}
    row = key | {"document": found.document, "is_blinded": found.is_blinded}
    row["summary"] = str(found.document["summary"])[:LONGEST_SUMMARY]
    connection.execute(insert(findings), row)
    if (watched := found.document.get("observed")) is not None:
        connection.execute(insert(observations), key | watched | {"at": datetime.now(UTC)})


def is_hidden() -> ColumnElement[bool]:
    """Of a query that has ``findings``: whether the result may not be shown."""
    seen = exists().where(unblindings.c.job_id == findings.c.job_id).correlate(findings)
    return and_(findings.c.is_blinded, ~seen)


def is_shown() -> ColumnElement[bool]:
    """Of a query with ``findings`` joined from outside: whether there is nothing that may not be shown."""
    return or_(findings.c.job_id.is_(None), ~is_hidden())


def _counting(column: Any) -> Select[Any]:
    counts = and_(findings.c.job_id == jobs.c.id, findings.c.token == jobs.c.token)
    return select(column).join_from(jobs, findings, counts).where(jobs.c.state.in_(_COMMITTED))


def _hidden(job_id: str) -> Select[Any]:
    return _counting(jobs.c.id).where(jobs.c.id == job_id, is_hidden())


def _checked(by: str, reason: str) -> tuple[str, str]:
    who, words = by.strip(), " ".join(reason.replace("\x00", "").split())
    if not who:
        raise UsageError("a result is unblinded by somebody with a name")
    if not words:
        raise UsageError("whoever unblinds a result says why")
    if len(words) > LONGEST_REASON:
        raise UsageError(f"the reason has at most {LONGEST_REASON} characters, this has {len(words)}")
    return who, words


def _unblind(connection: Connection, job_id: str, by: str, reason: str) -> None:
    now = datetime.now(UTC)
    connection.execute(insert(unblindings).values(job_id=job_id, at=now, by=by, reason=reason))
    event = AuditEvent(
        at=now,
        actor=f"person {by}",
        action=AuditAction.RESULT_UNBLINDED,
        outcome=AuditOutcome.SUCCESS,
        series_uid=connection.scalar(select(jobs.c.series_uid).where(jobs.c.id == job_id)) or "",
        job_id=job_id,
        details={"why": reason},
    )
    audit.append(connection, event)
