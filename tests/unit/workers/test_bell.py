"""The bell: heard at once by a loop that waits, and not before by one that works."""

import threading
import time

from node.stopping import StopRequest
from workers.bell import Bell


def test_a_ring_ends_the_wait() -> None:
    """At once, not after the interval."""
    bell, stop = Bell(), StopRequest()
    threading.Timer(0.05, bell.ring).start()
    begun = time.monotonic()
    bell.wait(60, stop)
    assert time.monotonic() - begun < 10


def test_whoever_rings_is_kept_until_the_loop_has_heard() -> None:
    """A worker that is busy takes no second message away from the others."""
    bell, stop, was_heard = Bell(), StopRequest(), threading.Event()

    def ringer() -> None:
        bell.ring()
        was_heard.set()

    threading.Thread(target=ringer, daemon=True).start()
    assert not was_heard.wait(0.1)
    bell.wait(60, stop)
    assert was_heard.wait(10)


def test_a_stop_ends_the_wait_too() -> None:
    """A worker that is asked to stop does not wait for somebody to ring."""
    bell, stop = Bell(), StopRequest()
    threading.Timer(0.05, stop.set).start()
    begun = time.monotonic()
    bell.wait(60, stop)
    assert time.monotonic() - begun < 10
    assert stop.is_set()


def test_without_a_ring_the_wait_ends_with_its_time() -> None:
    """The loop looks for itself then."""
    begun = time.monotonic()
    Bell().wait(0.05, StopRequest())
    assert time.monotonic() - begun >= 0.045
