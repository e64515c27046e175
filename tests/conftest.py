"""What every test leaves as it found it, and what no test need look at again."""

import gc
from collections.abc import Iterator

import pytest
import structlog


def pytest_collection_finish() -> None:
    """What was imported stays: a million objects that no collection of garbage need go through again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _the_log_is_nobodys() -> Iterator[None]:
    """A command that a test runs sends the log to that test's stderr, which is closed when the next one writes."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
