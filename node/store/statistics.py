"""Statistics: counts and times over all jobs, without anything of a patient."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Float, case, cast, extract, func, select
from sqlalchemy.sql.elements import ColumnElement

from node.domain.lifecycle import JobState, Step
from node.store.session import Database, pairs
from node.store.tables import instances, job_steps, jobs, verdicts

TURNAROUND_BUCKETS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds, upper edges."""
STEP_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)
"""The same."""

_WITHOUT_RESULT: Final = (JobState.NOT_ANALYSED.value, JobState.QUARANTINED.value)


class Statistics:
    """The numbers of a database."""

    def __init__(self, database: Database) -> None:
        """Of everything in ``database``."""
        self._database = database

    def refusals(self) -> dict[str, int]:
        """How many analyses ended without a result, by reason."""
        query = select(jobs.c.reason, func.count()).where(jobs.c.state.in_(_WITHOUT_RESULT)).group_by(jobs.c.reason)
        with self._database.read() as connection:
            return dict(pairs(connection.execute(query).all()))

    def instances(self) -> int:
        """How many instances were ever stored."""
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(instances)) or 0

    def bytes_received(self) -> int:
        """How many bytes the instances have that were ever stored."""
        with self._database.read() as connection:
            return int(connection.scalar(select(func.sum(instances.c.size_bytes))) or 0)

    def steps(self) -> dict[str, tuple[list[int], float]]:
        """For each step that ran: counts up to each edge and of all, and the sum in seconds."""
        sums = [func.sum(case((job_steps.c.seconds <= edge, 1), else_=0)) for edge in STEP_BUCKETS_S]
        query = select(job_steps.c.step, *sums, func.count(), func.sum(job_steps.c.seconds)).group_by(job_steps.c.step)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row[0]: ([int(count) for count in row[1:-1]], float(row[-1])) for row in rows}

    def digests(self) -> dict[tuple[str, str], datetime]:
        """Predictor and digest of the bundles that have predicted, and when each did last."""
        # Grouped by their labels: PostgreSQL takes two bound keys for two different expressions.
        name = job_steps.c.details["predictor"].as_string().label("used_predictor")
        digest = job_steps.c.details["digest"].as_string().label("used_digest")
        query = (
            select(name, digest, func.max(job_steps.c.started_at))
            .where(job_steps.c.step == Step.PREDICT.value, digest.is_not(None))
            .group_by("used_predictor", "used_digest")
        )
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def verdicts(self) -> dict[tuple[str, str], int]:
        """How many verdicts were given, by predictor and kind."""
        query = select(verdicts.c.predictor, verdicts.c.kind, func.count()).group_by(
            verdicts.c.predictor, verdicts.c.kind
        )
        with self._database.read() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def turnaround(self) -> dict[str, tuple[list[int], float]]:
        """From complete to committed, for each predictor: counts up to each edge and of all, and the sum in seconds."""
        with self._database.read() as connection:
            seconds = _seconds_between(connection.dialect.name, jobs.c.completed_at, jobs.c.finished_at)
            sums = [func.sum(case((seconds <= edge, 1), else_=0)) for edge in TURNAROUND_BUCKETS_S]
            query = (
                select(jobs.c.predictor, *sums, func.count(), func.sum(seconds))
                .where(jobs.c.predictor != "", jobs.c.completed_at.is_not(None), jobs.c.finished_at.is_not(None))
                .group_by(jobs.c.predictor)
            )
            rows = connection.execute(query).all()
        return {row[0]: ([int(count) for count in row[1:-1]], float(row[-1])) for row in rows}


def _seconds_between(dialect: str, start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
    if dialect == "postgresql":
        return cast(extract("epoch", end - start), Float)
    days = func.julianday(end, type_=Float) - func.julianday(start, type_=Float)
    found: ColumnElement[float] = days * 86400.0
    return found
