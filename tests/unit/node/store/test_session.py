"""The way to the database: migrations that fit the tables, and errors in our words."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import ProgrammingError

from node.errors import Fatal, NoRoom, Retryable
from node.store import session
from node.store.session import Database
from node.store.tables import audit, metadata
from tests import factories
from tests.unit.node.store.conftest import Store

_WHO = text("SELECT pg_backend_pid()")


def test_upgrading_twice_is_upgrading_once(bare_url: str) -> None:
    """A bare database becomes current, and a second upgrade changes nothing."""
    database = Database(bare_url)
    database.upgrade()
    database.upgrade()
    database.require_current()
    with database.read() as connection:
        assert set(metadata.tables) < set(inspect(connection).get_table_names())
    database.close()


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    """Alembic finds nothing that the migrations left out or made otherwise."""
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_downgrade_takes_everything_away_and_an_upgrade_brings_it_back(database: Database) -> None:
    """Nothing is left in the way of another upgrade."""
    config = session._alembic()
    with database.write() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    database.upgrade()
    database.require_current()


def test_an_old_database_says_what_to_run(bare_url: str) -> None:
    """Nobody works on a schema that does not fit, and the message has the mend."""
    database = Database(bare_url)
    with pytest.raises(Fatal, match="run celadon db upgrade"):
        database.require_current()
    database.close()


def test_a_database_of_a_newer_program_is_left_alone(store: Store) -> None:
    """An upgrade to a schema that this program does not know is refused in one line."""
    store.change("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Fatal, match="cannot be upgraded by this program"):
        store.database.upgrade()


def test_several_processes_may_upgrade_at_once(bare_url: str) -> None:
    """Processes that start together on a bare database all find it current."""
    code = "import sys; from node.store.session import Database; Database(sys.argv[1]).upgrade()"
    processes = [subprocess.Popen([sys.executable, "-c", code, bare_url]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    database = Database(bare_url)
    database.require_current()
    database.close()


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    """What was written before an error is taken back."""
    with suppress(RuntimeError), store.database.write() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        raise RuntimeError
    store.database.require_current()


def test_a_view_shows_one_state_and_a_read_what_is_committed(store: Store) -> None:
    """The head of the audit trail and its rows must be of one moment; a list of cases need not."""

    def count(connection: Connection) -> int:
        return connection.scalar(select(func.count()).select_from(audit)) or 0

    with store.database.view() as view:
        before = count(view)
        store.audit.record(factories.event())
        assert count(view) == before
    with store.database.read() as read:
        assert count(read) == before + 1


def test_a_connection_that_was_ended_while_it_was_idle_is_replaced(
    postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who comes after a restart of the server hears of it; in use, a connection is not tried again and again."""
    monkeypatch.setattr(session, "_TRUSTED_S", 0.0)
    url = postgresql()
    one, other = Database(url), Database(url)
    with one.read() as connection:
        first = connection.scalar(_WHO)
    with other.write() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    with one.read() as connection:
        assert connection.scalar(_WHO) != first
    one.close()
    other.close()


def test_a_locked_database_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write lock that another process holds for too long is the surroundings' fault."""
    monkeypatch.setattr(session, "_BUSY_TIMEOUT_S", 0.05)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    first, second = Database(url), Database(url)
    first.upgrade()
    with first.write(), pytest.raises(Retryable, match="database is locked"), second.write():
        pass
    first.close()
    second.close()


def _fill_up(connection: Connection) -> None:
    connection.execute(text("PRAGMA max_page_count = 2"))
    for number in range(20):
        connection.execute(text(f"CREATE TABLE t{number} (a TEXT)"))


def test_a_full_sqlite_file_has_no_room(tmp_path: Path) -> None:
    """That is another matter than a lock: the sender is told so, and the worker waits."""
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(NoRoom, match="full"), database.write() as connection:
        _fill_up(connection)
    database.close()


@pytest.mark.parametrize(("state", "kind"), [("53100", NoRoom), ("53300", Retryable), ("57P01", Retryable)])
def test_what_postgresql_says_is_told_by_its_code(postgresql: Callable[[], str], state: str, kind: type) -> None:
    """disk_full (53100) is no room; other trouble of the server is just that."""
    database = Database(postgresql())
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'no more' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(Retryable) as fault, database.write() as connection:
        connection.execute(text(raised))
    assert type(fault.value) is kind
    database.close()


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    """A PostgreSQL that does not answer is the surroundings' fault."""
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(Retryable, match="database: "), database.read():
        pass


def test_errors_of_the_database_quote_no_patient(store: Store) -> None:
    """A statement that fails is shown without its values, also where the error came from."""
    statement = text("INSERT INTO no_such_table (name) VALUES (:name)")
    with pytest.raises((ProgrammingError, Retryable)) as fault, store.database.write() as connection:
        connection.execute(statement, {"name": "Made^Up"})
    assert "Made^Up" not in "".join(traceback.format_exception(fault.value)).replace('{"name": "Made^Up"}', "")


def test_sqlite_commits_durably_and_holds_foreign_keys(tmp_path: Path) -> None:
    """WAL with full synchronisation: what was committed survives a power cut."""
    database = Database(f"sqlite:///{tmp_path / 'made' / 'a.db'}")
    with database.read() as connection:
        found = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert found == ["wal", 2, 1]
    database.close()


def test_a_cut_link_to_postgresql_is_noticed_on_both_sides(postgresql: Callable[[], str]) -> None:
    """Within seconds, where the system's own limits are hours; who names others in the URL has those."""
    for more, idle in (("", "5"), ("&keepalives_idle=60", "60")):
        database = Database(postgresql() + more)
        with database.read() as connection:
            told = connection.connection.driver_connection.info.get_parameters()
            assert (told["keepalives_idle"], told["tcp_user_timeout"], told["connect_timeout"]) == (idle, "10000", "5")
            # Of a Unix socket the server has none to keep, and says 0; that it was told without complaint is seen here.
            assert connection.scalar(text("SHOW tcp_keepalives_idle")) == "0"
        database.close()
