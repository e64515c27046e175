"""Waiting for a node to come to a verdict."""

import time
from collections.abc import Callable
from typing import TypeVar

from node.domain.lifecycle import JobState
from node.store.jobs import JobRecord
from node.stores import Stores

T = TypeVar("T")

ENDED = frozenset({JobState.DONE, JobState.NOT_ANALYSED, JobState.QUARANTINED, JobState.SUPERSEDED})


def wait_until(look: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """What ``look`` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def wait_ended(stores: Stores, series_uid: str, version: int = 1, seconds: float = 60.0) -> JobRecord:
    """The job of a version of a series, once it has ended."""

    def look() -> JobRecord | None:
        mine = [job for job in stores.jobs.jobs() if job.series_uid == series_uid and job.version == version]
        return mine[0] if mine and mine[0].state in ENDED else None

    return wait_until(look, f"version {version} of series {series_uid} has ended", seconds)
