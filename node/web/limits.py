"""Limits: so many requests a minute for each address or name, and so many at once of what is costly.

Counted in memory of the one process that serves.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_MOST_KEYS: Final = 10_000
"""Of so many that came last something is remembered: an attacker with many addresses must not fill the memory."""


class RateLimit:
    """A bucket for each key, which fills by ``per_minute`` in a minute and holds as many."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._per_minute = per_minute
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> bool:
        """Take one from the bucket of ``key``; False when it is empty."""
        with self._lock:
            left = self._left(key)
            if left < 1:
                return False
            self._keep(key, left - 1)
            return True

    def give_back(self, key: str) -> None:
        """Put back what was taken: it does not count after all."""
        with self._lock:
            self._keep(key, min(float(self._per_minute), self._left(key) + 1))

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (float(self._per_minute), self._now()))
        return min(float(self._per_minute), left + (self._now() - at) * self._per_minute / 60)

    def _keep(self, key: str, left: float) -> None:
        self._buckets[key] = (left, self._now())
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MOST_KEYS:
            self._buckets.popitem(last=False)


class Crowded(Exception):
    """So many are inside, and so many wait, that nobody else may wait."""


class Gate:
    """Lets so many in at once, and so many wait; a thread that waits serves nobody else meanwhile."""

    def __init__(self, at_once: int, waiting: int) -> None:
        """``at_once``: inside; ``waiting``: before it."""
        self._inside = threading.BoundedSemaphore(at_once)
        self._here = threading.BoundedSemaphore(at_once + waiting)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Wait for a place, and have it until the end.

        Raises:
            Crowded: too many wait already.
        """
        if not self._here.acquire(blocking=False):
            raise Crowded
        try:
            with self._inside:
                yield
        finally:
            self._here.release()
