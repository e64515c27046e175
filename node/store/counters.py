"""Counters: how often something has happened that leaves no row of its own, over all processes and restarts.

A process counts in memory, and a thread adds what it has counted to the database every few seconds: what a process that
is killed has not written down is lost, which is what a counter may do and nothing else here does.
"""

import threading
from collections import Counter
from enum import StrEnum
from typing import Final

from sqlalchemy import insert, select, update

from node import log
from node.errors import Retryable
from node.store.session import Database
from node.store.tables import counters

WRITTEN_EVERY_S: Final = 10.0


class Counted(StrEnum):
    """What is counted; the label of each says of what kind."""

    ASSOCIATION = "association"
    """Label: ``accepted`` or ``refused``."""
    REFUSED_AT_DOOR = "refused-at-door"
    """Label: the reason's code."""
    LEASE_LOST = "lease-lost"
    """No label."""
    WORKER_ENDED = "worker-ended"
    """No label: a process that died at a job, or was ended."""


class Counters:
    """The counters of a database."""

    def __init__(self, database: Database) -> None:
        """Nothing is written before something is counted."""
        self._database = database
        self._lock = threading.Lock()
        self._counted: Counter[tuple[Counted, str]] = Counter()
        self._thread: threading.Thread | None = None

    def add(self, what: Counted, label: str = "") -> None:
        """Count one; never waits for the database."""
        with self._lock:
            self._counted[what, label] += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="counters", daemon=True)
                self._thread.start()

    def write(self) -> None:
        """Add what was counted to the database.

        Raises:
            Retryable: it cannot be written now; it is kept for the next time.
        """
        with self._lock:
            counted, self._counted = self._counted, Counter()
        if not counted:
            return
        try:
            # In one order everywhere: two processes never wait for each other.
            with self._database.write() as connection:
                for (what, label), count in sorted(counted.items()):
                    mine = (counters.c.name == what.value) & (counters.c.label == label)
                    more = update(counters).where(mine).values(value=counters.c.value + count)
                    if not connection.execute(more).rowcount:
                        connection.execute(insert(counters).values(name=what.value, label=label, value=count))
        except Exception:
            with self._lock:
                self._counted.update(counted)
            raise

    def read(self) -> dict[tuple[str, str], int]:
        """Every counter by name and label, as it was last written."""
        with self._database.read() as connection:
            rows = connection.execute(select(counters.c.name, counters.c.label, counters.c.value))
            return {(row[0], row[1]): int(row[2]) for row in rows}

    def _run(self) -> None:
        pause, is_told = threading.Event(), False
        while True:
            pause.wait(WRITTEN_EVERY_S)
            try:
                self.write()
                is_told = False
            except Exception as exc:  # noqa: BLE001 — two that begin one counter together: the next time it is there
                if not is_told:
                    words = str(exc) if isinstance(exc, Retryable) else type(exc).__name__
                    log.get().warning(log.POLL_FAILED, error=words)
                is_told = True
