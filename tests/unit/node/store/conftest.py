"""One store over each database that Celadon runs on: a fresh SQLite file, and a fresh database in a real PostgreSQL."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CompoundSelect, Select, create_engine, select, text, update

from node.dicom.reading import same_content
from node.domain.identifiers import JobId, SeriesUID
from node.domain.intake import ReceivedInstance
from node.store import jobs, outbox, tables
from node.store.audit import AuditTrail
from node.store.folder_blobs import FolderBlobs
from node.store.inbox import SqlInbox
from node.store.jobs import Claim, JobStore
from node.store.outbox import Outbox
from node.store.results import ResultStore
from node.store.retention import Retention
from node.store.session import Database
from tests import factories
from tests.servers import private_postgresql

ENGINES = ("sqlite", "postgresql")
LONG_AGO = "2020-01-01 00:00:00.000000"


@dataclass
class Clock:
    """A clock that nobody can set, but that a test may wind on."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


@dataclass(frozen=True)
class Store:
    """Every room of the store over one database, and what tests do with them again and again."""

    database: Database
    blobs: FolderBlobs
    inbox: SqlInbox
    jobs: JobStore
    results: ResultStore
    outbox: Outbox
    audit: AuditTrail
    retention: Retention
    clock: Clock
    """What leases are measured with."""

    def receive(self, count: int = 4, series: str = factories.SERIES) -> None:
        """Take in ``count`` slices of a series."""
        for dataset in factories.ct_slices(count, series=series):
            self.inbox.accept(factories.received(dataset))

    def receive_late(self, index: int = 90, series: str = factories.SERIES) -> None:
        """Take in one more slice of a series."""
        self.inbox.accept(factories.received(factories.ct_slice(index, series=series)))

    def complete(self, series: str = factories.SERIES) -> bool:
        """Take a series as complete with what is here of it."""
        uid = SeriesUID(series)
        return self.jobs.complete(uid, "test", len(self.inbox.series(uid).instances))

    def waiting_since(self, series: str, since: datetime, *, urgent: bool = False) -> None:
        """Take in a complete series of its own study that has waited since then."""
        self.receive(1, series)
        assert self.complete(series)
        job_id = JobId.of(SeriesUID(series), 1)
        self.change("UPDATE series SET urgency = :urgent WHERE series_uid = :uid", urgent=int(urgent), uid=series)
        moment = since if "postgresql" in self.database.url else f"{since:%Y-%m-%d %H:%M:%S.%f}"
        self.change("UPDATE jobs SET completed_at = :since WHERE id = :id", since=moment, id=job_id)

    def plan_of(self, asked: Select[Any] | CompoundSelect[Any]) -> str:
        """How the database would find what is asked, its parameters in the statement, were its tables large."""
        with self.database.view() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            if not is_sqlite:
                connection.execute(text("SET LOCAL enable_seqscan = off"))  # which a few rows would be read by
            made = asked.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
            rows = connection.execute(text(f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {made}")).all()
        return "\n".join(str(row[-1]) for row in rows)

    def claim(self, worker: str = "worker 1") -> Claim:
        """Claim the next job, which there must be."""
        claim = self.jobs.claim(worker)
        assert claim is not None
        return claim

    def claimed(self, count: int = 4, series: str = factories.SERIES) -> Claim:
        """Take in a whole series, complete it and claim its job."""
        self.receive(count, series)
        assert self.complete(series)
        return self.claim()

    def state(self, claim: Claim) -> str:
        """The state of a claim's job."""
        return self.job_state(claim.job_id)

    def job_state(self, job_id: str) -> str:
        """The state of a job."""
        record = self.jobs.job(job_id)
        assert record is not None
        return record.state.value

    def change(self, statement: str, **values: object) -> None:
        """Change the database behind the store's back: time passes, a worker dies."""
        with self.database.write() as connection:
            connection.execute(text(statement), values)

    def forget_leases(self) -> None:
        """Let every lease of a job and a delivery be over, as if its holder had been silent for too long."""
        self.clock.now_s += max(jobs.LEASE, outbox.LEASE).total_seconds() + 1

    def set_clock_back(self, by: timedelta) -> None:
        """Let everything have been written before somebody set the clock back."""
        with self.database.write() as connection:
            for table in (tables.jobs, tables.outbox):
                moments = [column for column in table.c if isinstance(column.type, tables.UtcDateTime)]
                for row in connection.execute(select(table.c.id, *moments)).mappings().all():
                    later = {one.name: row[one.name] + by for one in moments if row[one.name] is not None}
                    connection.execute(update(table).where(table.c.id == row["id"]).values(later))

    def make_due(self) -> None:
        """Let every waiting time of jobs and deliveries be over."""
        self.change("UPDATE jobs SET not_before = :past WHERE not_before IS NOT NULL", past=LONG_AGO)
        self.change("UPDATE outbox SET next_attempt_at = :past", past=LONG_AGO)

    def grow_old(self) -> None:
        """Let everything that is here have been here for years."""
        self.change("UPDATE series SET last_received_at = :past", past=LONG_AGO)
        self.change("UPDATE set_aside SET received_at = :past", past=LONG_AGO)
        for moment in ("created_at", "finished_at", "delivered_at"):
            self.change(f"UPDATE jobs SET {moment} = :past WHERE {moment} IS NOT NULL", past=LONG_AGO)  # noqa: S608
        for found in self.blobs.files():
            os.utime(found.path, (0, 0))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.database.read() as connection:
            return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[str], str]]:
    """A running PostgreSQL: gives the URL of a fresh copy of the named database."""
    with private_postgresql() as url:
        numbers = itertools.count()
        admin = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE migrated"))
        database = Database(url.format("migrated"))
        database.upgrade()
        database.close()

        def fresh(template: str = "migrated") -> str:
            name = f"test_{next(numbers)}"
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
            return url.format(name)

        yield fresh
        admin.dispose()


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql")("migrated"))
    return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated'), tmp_path / 'celadon.db')}"


@pytest.fixture(params=ENGINES)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database without any table."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql")("template0"))
    return f"sqlite:///{tmp_path / 'bare.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    """A fresh store."""
    blobs, clock = FolderBlobs(tmp_path / "blobs"), Clock()
    return Store(
        database,
        blobs,
        SqlInbox(database, blobs, same_content),
        JobStore(database, clock),
        ResultStore(database, blobs),
        Outbox(database, blobs, clock),
        AuditTrail(database),
        Retention(database, blobs),
        clock,
    )


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a parameter after a received object's UID rather than its place."""
    return val.instance.uid if isinstance(val, ReceivedInstance) else None
