"""So many a minute, for each by itself; and so many at once."""

import threading

import pytest

from node.web import limits
from node.web.limits import Crowded, Gate, RateLimit


def test_a_bucket_empties_and_fills_again() -> None:
    """Sixty a minute is one a second."""
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.take("a") for _ in range(61)] == [True] * 60 + [False]
    now[0] = 2.0
    assert [limit.take("a") for _ in range(3)] == [True, True, False]


def test_one_does_not_pay_for_the_other() -> None:
    """Each key has its own."""
    limit = RateLimit(1, lambda: 0.0)
    assert limit.take("a")
    assert not limit.take("a")
    assert limit.take("b")


def test_many_keys_do_not_fill_the_memory() -> None:
    """Those that came last are remembered."""
    limit = RateLimit(1, lambda: 0.0)
    for number in range(limits._MOST_KEYS + 10):
        limit.take(str(number))
    assert len(limit._buckets) == limits._MOST_KEYS
    assert not limit.take(str(limits._MOST_KEYS + 9))


def test_what_is_given_back_was_not_taken() -> None:
    """And no bucket runs over."""
    limit = RateLimit(2, lambda: 0.0)
    limit.take("a")
    limit.give_back("a")
    limit.give_back("a")
    assert [limit.take("a") for _ in range(3)] == [True, True, False]


def test_a_gate_lets_some_in_has_some_wait_and_turns_the_rest_away() -> None:
    """Whoever waits comes in when somebody has left."""
    gate, leave, inside = Gate(1, 1), threading.Event(), threading.Barrier(2)
    entered: list[str] = []

    def first() -> None:
        with gate.enter():
            inside.wait()
            leave.wait()
            entered.append("first")

    def second() -> None:
        with gate.enter():
            entered.append("second")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    inside.wait()
    two.start()
    while gate._here._value:
        two.join(0.01)
    with pytest.raises(Crowded), gate.enter():
        pass
    leave.set()
    one.join()
    two.join()
    assert entered == ["first", "second"]
    with gate.enter():
        pass
