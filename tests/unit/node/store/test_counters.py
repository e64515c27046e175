"""Counters: what several processes count adds up, and what cannot be written now is kept."""

import pytest

from node.errors import Retryable
from node.store.counters import Counted, Counters
from node.store.session import Database


def test_what_several_count_adds_up(database: Database) -> None:
    """By name and label, over all processes and restarts."""
    for _ in range(2):
        one = Counters(database)
        one.add(Counted.ASSOCIATION, "accepted")
        one.add(Counted.ASSOCIATION, "accepted")
        one.add(Counted.LEASE_LOST)
        one.write()
        one.write()
    assert Counters(database).read() == {("association", "accepted"): 4, ("lease-lost", ""): 2}


def test_what_cannot_be_written_now_is_written_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away costs no count."""
    one = Counters(database)
    one.add(Counted.REFUSED_AT_DOOR, "NOT_PARSEABLE")

    def away() -> None:
        raise Retryable("gone")

    with monkeypatch.context() as gone:
        gone.setattr(database, "write", away)
        with pytest.raises(Retryable):
            one.write()
    one.write()
    assert one.read() == {("refused-at-door", "NOT_PARSEABLE"): 1}
