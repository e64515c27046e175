"""Claims: a worker's right to a job, kept alive while it works and noticed when it is lost."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from node import log
from node.errors import CeladonError, Retryable
from node.store.jobs import Claim, JobStore

HEARTBEAT_S: Final = 10.0


class LeaseLost(CeladonError):
    """The job has moved on: a late slice came, or another worker took over. What was computed is discarded."""


@contextmanager
def held(claim: Claim, jobs: JobStore, interval_s: float = HEARTBEAT_S) -> Iterator[None]:
    """Send heartbeats for ``claim`` in a thread of their own until the block ends or the claim is lost."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(claim, jobs, interval_s, stop), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(claim: Claim, jobs: JobStore, interval_s: float, stop: threading.Event) -> None:
    while not stop.wait(interval_s):
        try:
            if not jobs.heartbeat(claim):
                log.get().warning(log.LEASE_LOST, job_id=claim.job_id)
                return
        except Retryable as exc:
            # The lease outlives some missed beats; if it does not, the fencing token decides.
            log.get().warning(log.POLL_FAILED, job_id=claim.job_id, error=str(exc))
