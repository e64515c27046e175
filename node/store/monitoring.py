"""Monitoring: what a period has brought, as numbers that charts and alarms are made of; nothing of a patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, select

from node.domain.lifecycle import JobState
from node.store.findings import is_hidden, is_shown
from node.store.session import Database
from node.store.tables import findings, jobs, observations, outcomes, series, verdicts

MOST: Final = 5000
"""Of the newest results, verdicts and times that are looked at."""
_WITH_RESULT: Final = tuple(state.value for state in (JobState.DELIVERING, JobState.DONE))
_KEPT: Final = (*_WITH_RESULT, JobState.SUPERSEDED.value, JobState.RETRACTED.value)
_WITHOUT_RESULT: Final = (JobState.NOT_ANALYSED.value, JobState.QUARANTINED.value)


@dataclass(frozen=True, slots=True)
class Volume:
    """The analyses of one day."""

    day: str
    """ISO, UTC."""
    analysed: int
    refused: int
    other: int
    """Still on their way, retracted or superseded."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.analysed + self.refused + self.other


@dataclass(frozen=True, slots=True)
class Turnaround:
    """How long one analysis took."""

    at: datetime
    predictor: str
    result_s: float
    """From the complete series to the committed result."""
    delivered_s: float | None
    """To the last delivery."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is watched of one result."""

    at: datetime
    predictor: str
    digest: str
    scores: dict[str, float]
    inputs: dict[str, float]
    scanner: str
    kernel: str
    centre: str
    """As the images name their institution; empty where they name none."""
    used: int
    imputed: int
    is_blinded: bool


@dataclass(frozen=True, slots=True)
class Word:
    """What a reader thinks of one result now."""

    at: datetime
    predictor: str
    kind: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A result and an outcome of its study."""

    predictor: str
    digest: str
    scores: dict[str, float]
    answer: str


class Monitoring:
    """The numbers of a database."""

    def __init__(self, database: Database) -> None:
        """Of everything in ``database``."""
        self._database = database

    def volume(self, since: datetime) -> tuple[Volume, ...]:
        """The analyses of each day on which there were any."""
        days: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            day = _day(connection.dialect.name, jobs.c.created_at)
            counts = select(day, jobs.c.state, func.count())
            rows = connection.execute(counts.where(jobs.c.created_at >= since).group_by(day, jobs.c.state)).all()
        for of_day, state, count in rows:
            days.setdefault(str(of_day), {})[state] = count
        return tuple(_volume(one, days[one]) for one in sorted(days))

    def refusals(self, since: datetime) -> dict[str, int]:
        """Of the analyses that ended without a result, how many for which reason."""
        query = (
            select(jobs.c.reason, func.count().label("count"))
            .where(jobs.c.created_at >= since, jobs.c.state.in_(_WITHOUT_RESULT))
            .group_by(jobs.c.reason)
        )
        return {row.reason: row.count for row in self._rows(query)}

    def turnaround(self, since: datetime) -> tuple[Turnaround, ...]:
        """How long the newest analyses took."""
        query = (
            select(jobs.c.predictor, jobs.c.completed_at, jobs.c.finished_at, jobs.c.delivered_at)
            .where(jobs.c.created_at >= since, jobs.c.predictor != "")
            .where(jobs.c.completed_at.is_not(None), jobs.c.finished_at.is_not(None))
            .order_by(jobs.c.created_at.desc())
            .limit(MOST)
        )
        return tuple(_turnaround(row) for row in self._rows(query))

    def observations(self, since: datetime, until: datetime) -> tuple[Observation, ...]:
        """What is watched of the newest results of a period, blinded ones among them and marked."""
        query = (
            _observed(
                observations.c.at,
                observations.c.inputs,
                observations.c.scanner,
                observations.c.kernel,
                observations.c.centre,
                observations.c.used,
                observations.c.imputed,
                is_hidden().label("is_blinded"),
            )
            .where(observations.c.at >= since, observations.c.at < until, jobs.c.state.in_(_KEPT))
            .order_by(observations.c.at.desc())
            .limit(MOST)
        )
        return tuple(Observation(**{**row._mapping, "is_blinded": bool(row.is_blinded)}) for row in self._rows(query))  # noqa: SLF001 — SQLAlchemy's public name for it

    def words(self, since: datetime) -> tuple[Word, ...]:
        """What readers think now, of those who have spoken since."""
        newest = select(func.max(verdicts.c.id)).group_by(verdicts.c.job_id, verdicts.c.digest, verdicts.c.reader)
        query = (
            select(verdicts.c.at, verdicts.c.predictor, verdicts.c.kind)
            .where(verdicts.c.id.in_(newest), verdicts.c.at >= since)
            .order_by(verdicts.c.at.desc())
            .limit(MOST)
        )
        return tuple(Word(row.at, row.predictor, row.kind) for row in self._rows(query))

    def judged(self) -> tuple[Judged, ...]:
        """The newest results whose outcome is known, and that anybody may see."""
        newest = select(func.max(outcomes.c.id)).group_by(outcomes.c.study_uid, outcomes.c.question)
        query = (
            _observed(outcomes.c.answer)
            .join(series, series.c.series_uid == jobs.c.series_uid)
            .join(outcomes, and_(outcomes.c.study_uid == series.c.study_uid, outcomes.c.id.in_(newest)))
            .where(jobs.c.state.in_(_WITH_RESULT), is_shown())
            .order_by(outcomes.c.id.desc())
            .limit(MOST)
        )
        return tuple(Judged(row.predictor, row.digest, row.scores, row.answer) for row in self._rows(query))

    def _rows(self, query: Select[Any]) -> Sequence[Any]:
        with self._database.read() as connection:
            return connection.execute(query).all()


def _day(dialect: str, moment: ColumnElement[datetime]) -> ColumnElement[Any]:
    """The day of a moment in UTC: PostgreSQL would take the zone of the connection."""
    return func.date(func.timezone(literal_column("'UTC'"), moment)) if dialect == "postgresql" else func.date(moment)


def _observed(*columns: Any) -> Select[Any]:
    """A query over results that count."""
    counts = and_(observations.c.job_id == jobs.c.id, observations.c.token == jobs.c.token)
    found = and_(findings.c.job_id == jobs.c.id, findings.c.token == jobs.c.token)
    own = (jobs.c.predictor, observations.c.digest, observations.c.scores)
    return select(*own, *columns).select_from(observations).join(jobs, counts).outerjoin(findings, found)


def _volume(day: str, counts: dict[str, int]) -> Volume:
    analysed = sum(counts.get(state, 0) for state in _WITH_RESULT)
    refused = sum(counts.get(state, 0) for state in _WITHOUT_RESULT)
    return Volume(day, analysed, refused, sum(counts.values()) - analysed - refused)


def _turnaround(row: Any) -> Turnaround:
    delivered = (row.delivered_at - row.completed_at).total_seconds() if row.delivered_at else None
    result = (row.finished_at - row.completed_at).total_seconds()
    return Turnaround(row.finished_at, row.predictor, result, delivered)
