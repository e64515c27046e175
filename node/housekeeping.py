"""Housekeeping: pruning and sweeping beside the work of a process, in a thread that never ends it."""

import threading
from datetime import timedelta

from node import log
from node.errors import Retryable
from node.store.retention import Retention


def tidy(retention: Retention, keep_days: int | None) -> None:
    """One round: prune what is older than ``keep_days`` (None: nothing), then sweep. What fails is tried next time."""
    try:
        if keep_days is not None:
            pruned = retention.prune(timedelta(days=keep_days))
            if pruned.objects or pruned.set_aside:
                log.get().info(log.PRUNED, count=pruned.objects + pruned.set_aside, bytes=pruned.size_bytes)
        swept = retention.sweep()
    except Exception as exc:  # noqa: BLE001 — a process does not stop working because it cannot tidy up
        log.get().error(log.TIDYING_FAILED, error=str(exc) if isinstance(exc, Retryable) else type(exc).__name__)
        return
    if not swept.is_ours:
        log.get().error(log.BLOBS_OF_ANOTHER_DATABASE)
    elif swept.parts or swept.orphans:
        log.get().info(log.SWEPT, count=swept.parts + swept.orphans, bytes=swept.size_bytes)


def tidy_in_background(
    retention: Retention,
    *,
    keep_days: int | None = None,
    interval_s: float | None = None,
    stop: threading.Event | None = None,
) -> threading.Thread:
    """Tidy now and then every ``interval_s`` seconds until ``stop`` is set; once, when that is None.

    The thread ends with its process, wherever it is: what it does may be cut anywhere, and is taken up again.
    """
    ended = stop or threading.Event()

    def run() -> None:
        tidy(retention, keep_days)
        while interval_s is not None and not ended.wait(interval_s):
            tidy(retention, keep_days)

    thread = threading.Thread(target=run, name="housekeeping", daemon=True)
    thread.start()
    return thread
