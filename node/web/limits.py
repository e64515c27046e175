"""Rate limits: so many requests a minute for each address or name, counted in memory of the one process that serves."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
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

    def is_empty(self, key: str) -> bool:
        """Whether nothing could be taken now."""
        with self._lock:
            return self._left(key) < 1

    def _left(self, key: str) -> float:
        left, at = self._buckets.get(key, (float(self._per_minute), self._now()))
        return min(float(self._per_minute), left + (self._now() - at) * self._per_minute / 60)

    def _keep(self, key: str, left: float) -> None:
        self._buckets[key] = (left, self._now())
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MOST_KEYS:
            self._buckets.popitem(last=False)
