"""Claims: what keeps them alive goes on while the work does, and ends with it."""

import threading
from collections.abc import Callable

import pytest

from node.domain.identifiers import JobId
from node.errors import Retryable
from tests.fakes import Answers
from workers.claims import renewed

JOB = JobId("a")
HELD, LOST = True, False
OFTEN_S = 0.005
SELDOM_S = 60.0


def threads() -> list[str]:
    """Those of the test that run now."""
    return [thread.name for thread in threading.enumerate() if thread.name == "renewal"]


def test_it_is_renewed_while_the_block_runs() -> None:
    """Again and again, also when the database could not be reached once; nothing is left running."""
    renew = Answers(Retryable("locked"), HELD)
    with renewed(renew, OFTEN_S, "renewal", JOB):
        assert renew.wait_for(3)
        assert threads() == ["renewal"]
    assert threads() == []


def test_what_is_lost_is_not_renewed_any_longer() -> None:
    """The first no is the last question."""
    renew = Answers(HELD, LOST)
    with renewed(renew, OFTEN_S, "renewal", JOB):
        assert renew.wait_for(2)
        assert not renew.heard.acquire(timeout=0.1)


@pytest.mark.parametrize("end", [lambda: None, lambda: 1 / 0], ids=["its end", "an error"])
def test_it_ends_with_the_block(end: Callable[[], object]) -> None:
    """At once, whatever ended it; an error goes on as it is."""
    renew = Answers(HELD)
    try:
        with renewed(renew, SELDOM_S, "renewal", JOB):
            end()
    except ZeroDivisionError:
        pass
    assert threads() == []
    assert not renew.heard.acquire(blocking=False)
