"""What was told lately: the audit trail names each case that somebody looks at, not each slice of it."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

AGAIN_AFTER_S: Final = 900.0


class Lately:
    """What the pages of one process have told, and when."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._now = now
        self._told: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def once(self, key: Hashable, tell: Callable[[], None]) -> None:
        """Tell, unless the same was told in the last quarter of an hour; what could not be told was not told.

        Two that come at the same moment may both tell: one row too many, and none too few.
        """
        now = self._now()
        with self._lock:
            if now - self._told.get(key, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
                return
        tell()
        with self._lock:
            self._told = {one: at for one, at in self._told.items() if now - at < AGAIN_AFTER_S} | {key: now}
