"""Housekeeping: a round prunes and sweeps, says what it did, and never ends the process that it helps."""

import threading
from datetime import timedelta

import pytest
import structlog
import structlog.testing

from node import log
from node.errors import Retryable
from node.housekeeping import tidy, tidy_in_background
from node.store.retention import Pruned, Swept
from tests.waiting import wait_until

NOTHING, CLEAN = Pruned(), Swept()


@pytest.fixture(autouse=True)
def _whole_log() -> None:
    """What another test has set of the log would hide what is said here."""
    structlog.reset_defaults()


class FakeRetention:
    """Remembers what it was asked to do; finds what it is told to find."""

    def __init__(self, pruned: Pruned = NOTHING, swept: Swept = CLEAN, error: Exception | None = None) -> None:
        """Nothing was asked yet."""
        self.pruned, self.swept, self.error = pruned, swept, error
        self.asked: list[object] = []

    def prune(self, keep: timedelta) -> Pruned:
        """What it was told."""
        self.asked.append(keep)
        if self.error is not None:
            raise self.error
        return self.pruned

    def sweep(self) -> Swept:
        """What it was told."""
        self.asked.append("sweep")
        return self.swept


def round_of(retention: FakeRetention, days: int | None) -> list[tuple[str, object]]:
    """The events, and what each of them counted or complained of, that one round writes to the log."""
    with structlog.testing.capture_logs() as events:
        tidy(retention, days)  # type: ignore[arg-type]
    return [(event["event"], event.get("count", event.get("error"))) for event in events]


def test_a_round_prunes_what_is_older_and_then_sweeps() -> None:
    """And says how much it found."""
    retention = FakeRetention(Pruned(1, 5, 1, 100), Swept(1, 2, 30))
    assert round_of(retention, 30) == [(log.PRUNED, 6), (log.SWEPT, 3)]
    assert retention.asked == [timedelta(days=30), "sweep"]


def test_without_days_nothing_is_pruned() -> None:
    """What killed processes left is swept up all the same; a round that finds nothing says nothing."""
    retention = FakeRetention()
    assert round_of(retention, None) == []
    assert retention.asked == ["sweep"]


def test_blobs_of_another_database_are_an_error_in_the_log() -> None:
    """A person should look at where the data folder points."""
    assert round_of(FakeRetention(swept=Swept(is_ours=False)), None) == [(log.BLOBS_OF_ANOTHER_DATABASE, None)]


@pytest.mark.parametrize(
    ("error", "said"), [(Retryable("database: locked"), "database: locked"), (OSError(5, "x"), "OSError")], ids=str
)
def test_a_round_that_fails_is_an_error_in_the_log(error: Exception, said: str) -> None:
    """It is tried again; only our own errors are quoted."""
    assert round_of(FakeRetention(error=error), 1) == [(log.TIDYING_FAILED, said)]


def test_rounds_go_on_beside_the_process() -> None:
    """Every interval, also after one that failed; without an interval there is one."""
    again, once = FakeRetention(error=OSError(5, "x")), FakeRetention()
    stop = threading.Event()
    rounds = tidy_in_background(again, keep_days=1, interval_s=0.01, stop=stop)  # type: ignore[arg-type]
    tidy_in_background(once).join(30)  # type: ignore[arg-type]
    wait_until(lambda: len(again.asked) > 2 or None, "several rounds")
    assert once.asked == ["sweep"]
    stop.set()
    rounds.join(30)
    assert not rounds.is_alive()
