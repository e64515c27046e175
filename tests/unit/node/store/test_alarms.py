"""Alarms in the database: raised once, told by one, forgotten when they are over and that was said."""

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime

from node.store.alarms import LEASE, AlarmKind, AlarmStore
from node.store.session import Database, add_new
from node.store.tables import alarms
from tests.unit.node.store.conftest import Clock

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
    (before,) = store.take_untold()
    store.set({})
    store.set(RAISED)
    (alarm,) = store.take_untold()
    assert not alarm.is_over
    assert alarm.since > before.since


def test_what_was_taken_and_never_said_is_taken_by_another(database: Database) -> None:
    """Its process was killed, or could not write; not before it can have said it."""
    clock = Clock()
    store, other = AlarmStore(database), AlarmStore(database, clock)
    store.set(RAISED)
    (lost,) = store.take_untold()
    assert other.take_untold() == ()
    clock.now_s += LEASE.total_seconds() + 1
    (alarm,) = other.take_untold()
    store.told(lost)
    other.put_back(alarm)
    assert store.take_untold() == (alarm,)


def test_where_it_was_heard_is_known_to_whoever_tries_again(database: Database) -> None:
    """And its end is said, because somebody has heard of it."""
    store, other = AlarmStore(database), AlarmStore(database)
    store.set(RAISED)
    (alarm,) = store.take_untold()
    store.put_back(alarm, {"mail", "log"})
    (again,) = other.take_untold()
    assert again.heard == {"mail", "log"}
    other.put_back(again)
    other.set({})
    (over,) = store.take_untold()
    assert (over.is_over, over.heard) == (True, frozenset())


def test_what_has_changed_while_it_was_said_is_said_again(database: Database) -> None:
    """That it was raised is told; that it is over is not yet."""
    store, other = AlarmStore(database), AlarmStore(database)
    store.set(RAISED)
    (raised,) = store.take_untold()
    other.set({})
    store.told(raised)
    (over,) = other.take_untold()
    assert over.is_over
    other.set(RAISED)
    other.told(over)
    assert [one.is_over for one in store.take_untold()] == [False]


def test_two_may_raise_the_same_alarm_at_once(database: Database) -> None:
    """The one that comes later finds it there."""
    row = {"kind": AlarmKind.NO_TRAFFIC.value, "since": datetime.now(UTC), "detail": "", "is_over": False}
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            add_new(connection, alarms, row | {"is_told": False})
            late = pool.submit(AlarmStore(database).set, RAISED)
            assert not wait([late], 0.3).done
        late.result()
    assert len(AlarmStore(database).raised()) == 1
