"""The loop of a worker: look for work again and again, sooner when the bell rings, until told to stop."""

import os
from collections.abc import Callable

from node import log
from node.errors import Retryable
from node.stopping import StopRequest
from workers.bell import Bell


def poll(work: Callable[[], bool], *, interval_s: float, stop: StopRequest, bell: Bell | None = None) -> None:
    """Call ``work`` as long as it finds something, then every ``interval_s`` seconds; ends when ``stop`` is set.

    ``bell``: ends the wait when somebody rings. Also ends when the parent process dies, so that a killed supervisor
    leaves no orphans behind.
    """
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        try:
            found = work()
        except Retryable as exc:
            log.get().warning(log.POLL_FAILED, error=str(exc))
            found = False
        if found:
            continue
        if bell is None:
            stop.wait(interval_s)
        else:
            bell.wait(interval_s, stop)
