"""The way to the database: engines, short transactions, migrations."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import alembic.command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Dialect, Engine, Row, Table, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InvalidatePoolError, OperationalError, TimeoutError  # noqa: A004 — SQLAlchemy's, of the connection pool

import migrations
from node.domain.identifiers import JobId
from node.domain.lifecycle import Queue
from node.errors import Fatal, NoRoom, Retryable
from node.store.chain import AUDIT_KEY, PENDING, flush

_NOTICES_A_CUT_LINK: Final = {
    "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}  # fmt: skip
"""Of libpq, in seconds, the last in milliseconds: a link that swallows packets counts as cut after about ten seconds,
where the system's own limits are a quarter of an hour for what was sent and two hours for what is waited for.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES"""
_BUSY_TIMEOUT_S: Final = 30
# A disk that is full also shows when SQLite's index of its log cannot grow.
_SQLITE_IS_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_POSTGRESQL_IS_FULL: Final = "53100"
"""SQLSTATE disk_full (PostgreSQL, appendix A)."""
_RINGS: Final = "celadon_rings"
_LEFT_AT: Final = "celadon_left_at"
_TRUSTED_S: Final = 1.0
"""For so long after its last use a connection counts as open."""

Bell = Callable[[Queue, JobId], None]
"""Told of each job that waits for a worker, once that is true; returns at once and raises nothing."""


def silence(_queue: Queue, _job_id: JobId) -> None:
    """The bell of a node whose workers look for themselves."""


class Database:
    """One engine; every use is a short transaction."""

    def __init__(self, url: str, audit_key: bytes | None = None, bell: Bell = silence) -> None:
        """Open ``url`` (any SQLAlchemy URL); nothing connects until the first transaction.

        ``audit_key``: what the audit trail is chained with; None: rows stand outside of the chain, and show so.
        ``bell``: rung after the commit for every job that the transaction has waiting.
        """
        self._bell = bell
        self._engine = _engine(url)
        # Deferred transactions of SQLite that write later fail at once with SQLITE_BUSY; immediate ones wait.
        self._writer = self._engine.execution_options(celadon_begin="BEGIN IMMEDIATE", **{AUDIT_KEY: audit_key})
        # SQLite's transactions see one state from beginning to end; PostgreSQL's only when they are told to, and for a
        # statement that sees one anyway it takes two more round trips to begin and end one.
        is_sqlite = self._engine.dialect.name == "sqlite"
        levels = (None, None) if is_sqlite else ("AUTOCOMMIT", "REPEATABLE READ")
        self._reader, self._viewer = (
            self._engine.execution_options(isolation_level=level) if level else self._engine for level in levels
        )
        self.url = url
        self.is_locked_whole = is_sqlite
        """Whether a transaction that writes keeps all others from writing."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that takes the write lock at once and commits durably at the end.

        Raises:
            NoRoom: the disk of the database is full; nothing was written.
            Retryable: the database is locked or gone; nothing was written.
        """
        with _foreign_errors(), self._writer.begin() as connection:
            connection.info.pop(PENDING, None)
            rings: dict[JobId, Queue] = {}
            connection.info[_RINGS] = rings
            yield connection
            # Last of all: whoever holds the end of the chain waits for nobody else.
            flush(connection)
        # Only now: whoever comes running finds what they were called for.
        for job_id, queue in rings.items():
            self._bell(queue, job_id)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Statements that look: each sees what is committed when it begins.

        Raises:
            Retryable: the database is locked or gone.
        """
        with _foreign_errors(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def view(self) -> Iterator[Connection]:
        """Statements that look at one state of the database, whatever is written meanwhile; raises as ``read``."""
        with _foreign_errors(), self._viewer.connect() as connection, connection.begin():
            yield connection

    def upgrade(self) -> None:
        """Bring the schema to the newest version; safe to repeat, and safe for several processes at once.

        Raises:
            Fatal: a newer program has been here; this one does not know the schema.
        """
        config = _alembic()
        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7370616)"))
            config.attributes["connection"] = connection
            try:
                alembic.command.upgrade(config, "head")
            except CommandError as exc:
                raise Fatal(f"the database cannot be upgraded by this program: {exc}") from exc

    def require_current(self) -> None:
        """Check that the schema is the newest.

        Raises:
            Fatal: it is not; the message says what to run.
        """
        with self.read() as connection:
            known = inspect(connection).has_table("alembic_version")
            version = connection.scalar(text("SELECT version_num FROM alembic_version")) if known else None
        head = ScriptDirectory.from_config(_alembic()).get_current_head()
        if version != head:
            raise Fatal(f"the database is at version {version}, this program needs {head}: run celadon db upgrade")

    def now(self) -> datetime:
        """What time it is where the database is."""
        with self.read() as connection:
            if connection.dialect.name == "postgresql":
                theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
                return theirs.astimezone(UTC)
        return datetime.now(UTC)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def ring(connection: Connection, job_id: JobId, queue: Queue) -> None:
    """Have the bell rung for a job when the transaction of ``connection`` has been committed, and only then."""
    connection.info[_RINGS][job_id] = queue


def add_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Add a row unless another with its key is there, also one that somebody else adds at this moment."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).values(**row).on_conflict_do_nothing())


def pairs(rows: Iterable[Row[str, int]]) -> Iterator[tuple[str, int]]:
    """Rows of a key and a count as plain pairs."""
    return ((row[0], row[1]) for row in rows)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config


def _engine(url: str) -> Engine:
    made = make_url(url)
    if made.get_backend_name() != "sqlite":
        told = {name: value for name, value in _NOTICES_A_CUT_LINK.items() if name not in made.query}
        args = told if made.get_driver_name() == "psycopg" else {}
        engine = create_engine(url, hide_parameters=True, connect_args=args)
        event.listen(engine, "checkin", _left)
        event.listen(engine, "checkout", partial(_look_alive, engine.dialect))
        if args:
            event.listen(engine, "connect", _prepare_postgresql)
        return engine
    if (file := made.database) and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    # The connection that was used last is used next: the others' pages in memory are of an older database.
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S}, hide_parameters=True, pool_use_lifo=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _left(_connection: Any, record: Any) -> None:
    """Remember when a connection was last used."""
    record.info[_LEFT_AT] = time.monotonic()


def _look_alive(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """Try a connection that has been idle before it is used; one that is gone has the pool open another.

    Not each time, as ``pool_pre_ping`` does: a case is dozens of transactions in a row, and a server that goes between
    two of them may as well go within one.
    """
    left_at = record.info.get(_LEFT_AT)
    if left_at is None or time.monotonic() - left_at < _TRUSTED_S:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        # The others of the pool were opened before it went.
        raise InvalidatePoolError(str(error)) from error


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """The server's side of the same: a worker that was cut off in a transaction must not hold its locks for hours."""
    with connection.cursor() as cursor:
        for name, seconds in (("idle", 5), ("interval", 2), ("count", 3)):
            cursor.execute(f"SET tcp_keepalives_{name} = {seconds}")
    connection.commit()


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # We begin transactions ourselves: sqlite3 would begin them late, and lose the choice of the lock.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute(connection.get_execution_options().get("celadon_begin", "BEGIN"))


@contextmanager
def _foreign_errors() -> Iterator[None]:
    """What the driver and SQLAlchemy say when a database cannot be used now, in our words.

    The statement and its parameters may hold patient data: only the driver's own words go on.
    """
    try:
        yield
    except OperationalError as exc:
        raise _translated(exc.orig) from exc
    except (sqlite3.OperationalError, TimeoutError) as exc:
        # From the preparation of a new connection, and from the wait for a free one.
        raise _translated(exc) from exc


def _translated(error: BaseException | None) -> Retryable:
    is_full = (
        getattr(error, "sqlite_errorcode", None) in _SQLITE_IS_FULL
        or getattr(error, "sqlstate", None) == _POSTGRESQL_IS_FULL
    )
    return (NoRoom if is_full else Retryable)(f"database: {error}")
