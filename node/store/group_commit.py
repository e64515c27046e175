"""Group commit: transactions of threads that arrive together become one, since a commit costs the same for one or ten.

Whoever comes first does the work of all who came while the transaction before was being committed. A thread that is
alone waits for nobody; one whose work was done by another is woken once, and keeps nobody from the next transaction.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Connection

from node.store.session import Database

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    """One thread's part of a transaction, and what came of it."""

    work: Callable[[Connection], T]
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held until its thread has something to do: to take the outcome, or to commit what waits."""
    is_done: bool = False
    results: list[T] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.turn.acquire()

    def outcome(self) -> T:
        """What the work returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.results[0]


class GroupCommit:
    """Runs the parts of many threads in few transactions of one database."""

    def __init__(self, database: Database) -> None:
        """Transactions in ``database``."""
        self._database = database
        self._lock = threading.Lock()
        self._is_busy = False
        """Whether somebody commits."""
        self._waiting: list[_Entry[object]] = []

    def run(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, once the transaction that it was part of is durable.

        Raises:
            Retryable: the database cannot be written now; nothing of this part was.
        """
        entry = _Entry(work)
        with self._lock:
            self._waiting.append(entry)  # type: ignore[arg-type]  # each entry is read by its own thread alone
            must_wait, self._is_busy = self._is_busy, True
        if must_wait:
            entry.turn.acquire()
        if not entry.is_done:
            self._commit_all()
        return entry.outcome()

    def _commit_all(self) -> None:
        """Commit everything that waits, wake its threads, and have the first of those that came meanwhile go on."""
        with self._lock:
            entries, self._waiting = self._waiting, []
        try:
            if not self._commit(entries):
                # One part spoils the transaction of all: each is judged by itself.
                for entry in entries:
                    self._commit([entry])
        finally:
            self._pass_on(entries)

    def _pass_on(self, entries: list[_Entry[object]]) -> None:
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._is_busy = successor is not None
        for entry in (*entries, successor):
            if entry is not None:
                entry.turn.release()

    def _commit(self, entries: list[_Entry[object]]) -> bool:
        """Commit ``entries`` together; False when they failed together and must be tried one by one."""
        try:
            with self._database.write() as connection:
                results = [entry.work(connection) for entry in entries]
        except Exception as exc:  # noqa: BLE001 — raised again in the thread whose part it was
            if len(entries) > 1:
                return False
            entries[0].error, entries[0].is_done = exc, True
            return True
        for entry, result in zip(entries, results, strict=True):
            entry.results.append(result)
            entry.is_done = True
        return True
