"""The embedded doorbell: look for work again and again until told to stop, or until our parent process is gone."""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from node import log
from node.errors import Retryable

_TICK_S: Final = 0.1


def poll(work: Callable[[], bool], *, interval_s: float, stop: threading.Event) -> None:
    """Call ``work`` as long as it finds something, then every ``interval_s`` seconds; ends when ``stop`` is set.

    Also ends when the parent process dies, so that a killed supervisor leaves no orphans behind.
    """
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        try:
            found = work()
        except Retryable as exc:
            log.get().warning(log.POLL_FAILED, error=str(exc))
            found = False
        if not found:
            _pause(interval_s, stop)


def _pause(seconds: float, stop: threading.Event) -> None:
    # Not stop.wait(): the handler of a signal runs in this thread, and its stop.set() would wait for ever for the
    # lock that an interrupted wait() holds.
    deadline = time.monotonic() + seconds
    while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _TICK_S))
