"""The worklist: a page of jobs with whom they are of, found and ordered so that a page costs the same however many are.

Pages follow each other by the last row that was shown (keyset): what comes in meanwhile moves nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, literal, select, tuple_, update

from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import JobId
from node.domain.lifecycle import JobState
from node.errors import UsageError
from node.store import audit
from node.store.findings import is_hidden
from node.store.session import Database
from node.store.tables import IS_URGENT, UtcDateTime, findings, jobs, series, verdicts
from node.store.tables import audit as audit_table

OPEN: Final = (JobState.COLLECTING, JobState.WAITING, JobState.RUNNING, JobState.DELIVERING)
"""States that something still follows without a person."""
_WITH_RESULT: Final = (JobState.DELIVERING, JobState.DONE, JobState.RETRACTED, JobState.SUPERSEDED)
_OF_NO_CASE: Final = tuple(
    action.value
    for action in (
        AuditAction.WORKLIST_VIEWED, AuditAction.CASE_VIEWED, AuditAction.OBJECT_FETCHED, AuditAction.CLINICAL_VIEWED,
        AuditAction.PATIENT_VIEWED, AuditAction.MONITORING_VIEWED, AuditAction.AUDIT_VIEWED,
        AuditAction.AUDIT_EXPORTED, AuditAction.VERDICTS_EXPORTED, AuditAction.CLINICAL_EXPORTED, AuditAction.SIGNED_IN,
        AuditAction.SIGN_IN_REFUSED, AuditAction.SIGNED_OUT, AuditAction.ACCESS_REFUSED, AuditAction.USER_ADDED,
        AuditAction.USER_DISABLED, AuditAction.TOKEN_ADDED, AuditAction.TOKENS_REVOKED, AuditAction.INSTANCE_RECEIVED,
        AuditAction.INSTANCE_REFUSED, AuditAction.ASSOCIATION_REFUSED,
    )
)  # fmt: skip
"""What changes no line of the list. An image of a series that was not here begins a case, which is there to be seen."""
MOST_URGENT: Final = 50
"""How many urgent open cases are shown above all others."""


class Order(StrEnum):
    """In what order cases are listed."""

    NEWEST = "newest"
    OLDEST = "oldest"
    """What has waited longest, first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases somebody looks for; what is empty does not count."""

    state: JobState | None = None
    """None: every state but superseded."""
    text: str = ""
    """A part of patient ID, accession number or name."""
    order: Order = Order.NEWEST
    after: tuple[datetime, str] | None = None
    """When the last row that was shown was made, and its job."""


@dataclass(frozen=True, slots=True)
class Line:
    """One case as the worklist shows it."""

    job_id: JobId
    version: int
    state: JobState
    step: str
    reason: str
    detail: str
    predictor: str
    summary: str
    """The answer in a few words, empty when there is none."""
    created_at: datetime
    completed_at: datetime | None
    finished_at: datetime | None
    study_uid: str
    series_uid: str
    modality: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    accession: str
    study_date: str
    description: str
    is_urgent: bool
    verdict: str
    """The last word of any reader, empty when there is none."""
    is_blinded: bool
    """Whether there is a result of silent mode that nobody has unblinded."""

    @property
    def shown_state(self) -> str:
        """The state with the running step."""
        return f"{self.state}:{self.step}" if self.state is JobState.RUNNING and self.step else self.state.value


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown at once."""

    urgent: tuple[Line, ...]
    """Urgent and not done, above all others of the first page."""
    lines: tuple[Line, ...]
    following: tuple[datetime, str] | None
    """Where the next page begins; None at the end."""


class Worklist:
    """The jobs of a database as people look at them."""

    def __init__(self, database: Database) -> None:
        """The jobs in ``database``."""
        self._database = database
        self._seen: tuple[int | None, int] = (None, 0)
        """Up to which row the trail was read for a fingerprint, and the last one there that was about a case."""

    def page(self, wanted: Wanted, limit: int = 50) -> Page:
        """A page of cases."""
        oldest = wanted.order is Order.OLDEST
        key = tuple_(jobs.c.created_at, jobs.c.id)
        moment, last_id = wanted.after or (None, "")
        query = _lines().where(*_conditions(wanted))
        if wanted.after is not None:
            last = tuple_(literal(moment, UtcDateTime), literal(last_id))
            query = query.where(key > last if oldest else key < last)
        by = (jobs.c.created_at, jobs.c.id) if oldest else (jobs.c.created_at.desc(), jobs.c.id.desc())
        query = query.order_by(*by).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            urgent = [] if wanted.after else connection.execute(_urgent(wanted)).all()
        lines = tuple(_line(row) for row in rows[:limit])
        following = (lines[-1].created_at, lines[-1].job_id) if len(rows) > limit else None
        return Page(tuple(_line(row) for row in urgent), lines, following)

    def line(self, job_id: str) -> Line | None:
        """One case, or None."""
        with self._database.read() as connection:
            row = connection.execute(_lines().where(jobs.c.id == job_id)).first()
        return _line(row) if row else None

    def versions(self, series_uid: str) -> tuple[tuple[JobId, int, JobState], ...]:
        """Every analysis of a series, the newest first."""
        query = select(jobs.c.id, jobs.c.version, jobs.c.state).where(jobs.c.series_uid == series_uid)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(jobs.c.version.desc())).all()
        return tuple((JobId(row.id), row.version, JobState(row.state)) for row in rows)

    def fingerprint(self) -> tuple[object, ...]:
        """Something that is another whenever the worklist may look otherwise: not when somebody only looks at it.

        Of the trail, rows of what has happened to cases; it is read on from where it was read the last time. Of cases,
        those that come and those at work: of each image, and of each step, there may be no such row.
        """
        moving = (JobState.COLLECTING.value, JobState.RUNNING.value)
        at_work = select(jobs.c.id, jobs.c.state, jobs.c.step).where(jobs.c.state.in_(moving)).order_by(jobs.c.id)
        seen, last = self._seen
        newest = select(audit_table.c.id).order_by(audit_table.c.id.desc()).limit(1)
        with self._database.read() as connection:
            until = connection.scalar(newest) or 0
            if until != seen:
                since = audit_table.c.id > seen if seen is not None else audit_table.c.id == until
                about_cases = newest.where(since, audit_table.c.action.not_in(_OF_NO_CASE))
                last = connection.scalar(about_cases) or last
                self._seen = until, last
            return (last, *(tuple(row) for row in connection.execute(at_work)))

    def set_urgent(self, job_id: str, *, urgent: bool, by: str) -> None:
        """Put a case before others, or no longer.

        Raises:
            UsageError: there is no such job.
        """
        with self._database.write() as connection:
            uid = connection.scalar(select(jobs.c.series_uid).where(jobs.c.id == job_id))
            if uid is None:
                raise UsageError(f"there is no job {job_id}")
            connection.execute(update(series).where(series.c.series_uid == uid).values(urgency=int(urgent)))
            event = AuditEvent(
                at=datetime.now(UTC),
                actor=by,
                action=AuditAction.JOB_PRIORITISED,
                outcome=AuditOutcome.SUCCESS,
                series_uid=uid,
                job_id=job_id,
                details={"urgent": int(urgent)},
            )
            audit.append(connection, event)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        jobs.c.state == wanted.state.value if wanted.state else jobs.c.state != JobState.SUPERSEDED.value
    ]
    if words := wanted.text.strip().lower():
        matching = select(series.c.series_uid).where(series.c.search.contains(words, autoescape=True))
        found.append(jobs.c.series_uid.in_(matching))
    return found


def _urgent(wanted: Wanted) -> Select[Any]:
    is_open = jobs.c.state.in_([state.value for state in OPEN])
    query = _lines().where(*_conditions(wanted), and_(IS_URGENT, is_open))
    return query.order_by(jobs.c.created_at, jobs.c.id).limit(MOST_URGENT)


@cache
def _lines() -> Select[Any]:
    """What is read of a case; built once, which took as long as reading a page of them."""
    last_word = (
        select(verdicts.c.kind)
        .where(verdicts.c.job_id == jobs.c.id)
        .order_by(verdicts.c.id.desc())
        .limit(1)
        .correlate(jobs)
        .scalar_subquery()
    )
    own = (
        jobs.c.id, jobs.c.version, jobs.c.state, jobs.c.step, jobs.c.reason, jobs.c.detail, jobs.c.predictor,
        jobs.c.created_at, jobs.c.completed_at, jobs.c.finished_at,
    )  # fmt: skip
    whose = (
        series.c.study_uid, series.c.series_uid, series.c.modality, series.c.patient_id, series.c.patient_name,
        series.c.birth_date, series.c.sex, series.c.accession, series.c.study_date, series.c.description,
        series.c.urgency,
    )  # fmt: skip
    counts = and_(findings.c.job_id == jobs.c.id, findings.c.token == jobs.c.token)
    answered = jobs.c.state.in_([state.value for state in _WITH_RESULT])
    hidden = and_(answered, findings.c.job_id.is_not(None), is_hidden())
    summary = case((hidden, ""), (answered, func.coalesce(findings.c.summary, "")), else_="")
    return (
        select(*own, *whose, summary.label("summary"), last_word.label("verdict"), hidden.label("is_blinded"))
        .join(series, series.c.series_uid == jobs.c.series_uid)
        .outerjoin(findings, counts)
    )


def _line(row: Row[Any]) -> Line:
    values = dict(row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for it
    job_id, state, urgency = JobId(values.pop("id")), JobState(values.pop("state")), values.pop("urgency")
    verdict, hidden = values.pop("verdict") or "", bool(values.pop("is_blinded"))
    return Line(job_id=job_id, state=state, is_urgent=urgency > 0, verdict=verdict, is_blinded=hidden, **values)
