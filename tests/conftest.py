"""What every test leaves as it found it."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _the_log_is_nobodys() -> Iterator[None]:
    """A command that a test runs sends the log to that test's stderr, which is closed when the next one writes."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
