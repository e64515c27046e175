"""Leases: a right to work on something, which its holder renews; one that nobody renews any more may be taken over.

Whoever would take over watches, on a clock that nobody can set: a lease that stays as it is for its whole length
has no holder that lives. The moment that a holder wrote is only compared with itself, never with this machine's time,
so that a clock that is set, or that of another machine, neither ends a lease early nor makes it last.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, and_, or_

Lease = tuple[str | int, int, datetime]
"""The row, the number of its lease, and what its holder wrote when it took or renewed it."""


class LeaseWatch:
    """How long this process has seen each lease unchanged; used by any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds on a clock that nobody can set."""
        self._now = now
        self._since: dict[Lease, float] = {}
        self._lock = threading.Lock()

    def begin(self, leases: Iterable[Lease]) -> None:
        """These were taken just now."""
        with self._lock:
            self._since |= dict.fromkeys(leases, self._now())

    def abandoned(self, held: Iterable[Lease], length: timedelta) -> tuple[Lease, ...]:
        """Those of ``held``, which are all that there are, that have not changed for ``length``."""
        with self._lock:
            now = self._now()
            self._since = {lease: self._since.get(lease, now) for lease in held}
            return tuple(lease for lease, since in self._since.items() if now - since > length.total_seconds())


def any_of(
    leases: Iterable[Lease], row: Column[str] | Column[int], number: Column[int], expires: Column[datetime]
) -> ColumnElement[bool]:
    """The condition that a row still has one of ``leases``: its holder may have renewed it a moment ago."""
    return or_(
        False,  # noqa: FBT003 — SQL's word for none
        *(and_(row == lease[0], number == lease[1], expires == lease[2]) for lease in leases),
    )
