"""The embedded doorbell: look for work again and again until told to stop, or until our parent process is gone."""

import os
from collections.abc import Callable

from node import log
from node.errors import Retryable
from node.stopping import StopRequest


def poll(work: Callable[[], bool], *, interval_s: float, stop: StopRequest) -> None:
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
            stop.wait(interval_s)
