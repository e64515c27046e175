"""Group commit: what arrives together is committed together, and nobody answers for another's mistake."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from node.errors import Retryable
from node.store.group_commit import GroupCommit
from node.store.session import Database


@pytest.fixture
def commits(database: Database) -> GroupCommit:
    """Group commits into a table of their own."""
    with database.write() as connection:
        connection.execute(text("CREATE TABLE arrivals (number INTEGER PRIMARY KEY)"))
    return GroupCommit(database)


def arrival(number: int) -> Callable[[Connection], int]:
    """A part that writes one row and returns its number."""

    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO arrivals VALUES (:number)"), {"number": number})
        return number

    return work


def rows(database: Database) -> set[int]:
    """What is committed."""
    with database.read() as connection:
        return set(connection.scalars(text("SELECT number FROM arrivals")))


def count_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry a write transaction from now on."""
    begun: list[None] = []
    write = database.write

    def counted() -> object:
        begun.append(None)
        return write()

    monkeypatch.setattr(database, "write", counted)
    return begun


def test_a_part_is_durable_when_it_returns(database: Database, commits: GroupCommit) -> None:
    """Alone, it is a transaction of its own."""
    assert commits.run(arrival(7)) == 7
    assert rows(database) == {7}


def test_everybody_gets_the_answer_of_their_own_part(database: Database, commits: GroupCommit) -> None:
    """Forty parts of eight threads, each committed once."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: commits.run(arrival(number)), range(40)))
    assert answers == list(range(40))
    assert rows(database) == set(range(40))


def test_what_waits_is_committed_together(
    database: Database, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that come while a commit is under way share the next one."""
    begun = count_transactions(database, monkeypatch)
    entered, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> int:
        entered.set()
        go_on.wait(30)
        return arrival(0)(connection)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(commits.run, slow)
        entered.wait(30)
        others = [pool.submit(commits.run, arrival(number)) for number in range(1, 7)]
        while len(commits._waiting) < len(others):
            pass
        go_on.set()
        assert {future.result(30) for future in [first, *others]} == set(range(7))
    assert len(begun) == 2


def test_a_part_that_fails_spoils_nobody_elses(
    database: Database, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is taken apart: the others are committed, the one gets its own error."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> int:
        entered.set()
        go_on.wait(30)
        return arrival(0)(connection)

    def broken(_: Connection) -> int:
        raise ZeroDivisionError

    with ThreadPoolExecutor(8) as pool:
        pool.submit(commits.run, slow)
        entered.wait(30)
        bad = pool.submit(commits.run, broken)
        good = [pool.submit(commits.run, arrival(number)) for number in range(1, 4)]
        while len(commits._waiting) < 4:
            pass
        go_on.set()
        assert {future.result(30) for future in good} == {1, 2, 3}
        assert isinstance(bad.exception(30), ZeroDivisionError)
    assert rows(database) == {0, 1, 2, 3}


def test_nobody_is_told_success_when_the_database_is_gone(
    database: Database, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of a transaction that cannot be committed is answered with the reason."""

    def gone() -> object:
        raise Retryable("database: gone")

    monkeypatch.setattr(database, "write", gone)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(commits.run, arrival(number)) for number in range(8)]
    assert all(isinstance(future.exception(), Retryable) for future in futures)
    monkeypatch.undo()
    assert rows(database) == set()
