"""Alarms in the database: raised once, told by one, forgotten when they are over and that was said."""

from node.store.alarms import AlarmKind, AlarmStore
from node.store.session import Database

RAISED = {AlarmKind.NO_TRAFFIC: "since noon"}


def test_an_alarm_is_taken_by_one_teller(database: Database) -> None:
    """And only once while it lasts; its detail may change."""
    store, other = AlarmStore(database), AlarmStore(database)
    store.set(RAISED)
    other.set({AlarmKind.NO_TRAFFIC: "since one"})
    (alarm,) = store.take_untold()
    assert (alarm.kind, alarm.detail, alarm.is_over) == (AlarmKind.NO_TRAFFIC, "since one", False)
    assert other.take_untold() == ()
    assert [one.kind for one in store.raised()] == [AlarmKind.NO_TRAFFIC]


def test_the_end_is_told_and_then_forgotten(database: Database) -> None:
    """Whoever was told that something is wrong is told that it is not any more."""
    store = AlarmStore(database)
    store.set(RAISED)
    store.take_untold()
    store.set({})
    (over,) = store.take_untold()
    assert over.is_over
    assert store.raised() == ()
    store.told(over)
    store.set(RAISED)
    (again,) = store.take_untold()
    assert not again.is_over


def test_the_end_of_what_nobody_was_told_is_not_told(database: Database) -> None:
    """It came and went between two looks."""
    store = AlarmStore(database)
    store.set(RAISED)
    store.set({})
    assert store.take_untold() == ()


def test_what_could_not_be_said_is_given_back(database: Database) -> None:
    """Somebody tries again."""
    store = AlarmStore(database)
    store.set(RAISED)
    (alarm,) = store.take_untold()
    store.put_back(alarm)
    assert store.take_untold() == (alarm,)


def test_one_that_is_raised_again_before_its_end_was_said_is_said_again(database: Database) -> None:
    """Nobody is left with the news that it is over."""
    store = AlarmStore(database)
    store.set(RAISED)
    store.take_untold()
    store.set({})
    store.set(RAISED)
    (alarm,) = store.take_untold()
    assert not alarm.is_over
