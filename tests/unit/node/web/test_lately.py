"""What was told lately: once, and again when it is long ago or could not be told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from node.errors import Retryable
from node.web.lately import AGAIN_AFTER_S, Lately


class Clock:
    """A clock that a test winds on."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


def test_the_same_is_told_once_in_a_while() -> None:
    """Something else at once; the same again after its time."""
    clock, told = Clock(), []
    lately = Lately(clock)
    for key in ("a", "a", "b", "a"):
        lately.once(key, lambda key=key: told.append(key))  # type: ignore[misc]  # a lambda of its own each
    assert told == ["a", "b"]
    clock.now_s += AGAIN_AFTER_S
    lately.once("a", lambda: told.append("a"))
    assert told == ["a", "b", "a"]
    assert len(lately._told) == 1


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    """A database that was locked for a moment hides nobody's look at a case."""
    lately, told = Lately(), []

    def fail() -> None:
        raise Retryable("database: locked")

    with pytest.raises(Retryable):
        lately.once("a", fail)
    lately.once("a", lambda: told.append("a"))
    assert told == ["a"]


def test_many_may_ask_at_the_same_time() -> None:
    """Each of many cases is told, whoever asks meanwhile."""
    lately, told = Lately(), []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: lately.once(key, lambda: told.append(key)), range(500)))
    assert sorted(told) == list(range(500))
