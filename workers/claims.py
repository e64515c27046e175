"""What keeps a right to a job or to deliveries alive while somebody works, and notices when it is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from node import log
from node.domain.identifiers import JobId
from node.errors import CeladonError, Retryable

HEARTBEAT_S: Final = 10.0


class LeaseLost(CeladonError):
    """The job has moved on: a late slice came, or another worker took over. What was computed is discarded."""


@contextmanager
def renewed(renew: Callable[[], bool], interval_s: float, name: str, job_id: JobId) -> Iterator[None]:
    """Call ``renew`` every ``interval_s`` seconds, in a thread called ``name``, until the block ends or it says no.

    One that cannot reach the database is tried again: a lease outlives some missed renewals; where it does not, its
    number decides.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(interval_s):
            try:
                if not renew():
                    return
            except Retryable as exc:
                log.get().warning(log.POLL_FAILED, job_id=job_id, error=str(exc))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
