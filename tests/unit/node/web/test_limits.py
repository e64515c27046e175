"""So many a minute, for each by itself."""

from node.web import limits
from node.web.limits import RateLimit


def test_a_bucket_empties_and_fills_again() -> None:
    """Sixty a minute is one a second."""
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.take("a") for _ in range(61)] == [True] * 60 + [False]
    assert limit.is_empty("a")
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
    assert limit.is_empty(str(limits._MOST_KEYS + 9))
