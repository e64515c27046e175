"""A sample of the fuzzing: whatever is sent, the listener lives on, serves others, and keeps what it should."""

import pytest

from tests.faults.fuzz import fuzz

SEED = 20240506


@pytest.mark.parametrize(("kind", "cases"), [("protocol", 600), ("files", 240)])
def test_hostile_bytes_harm_nothing(kind: str, cases: int) -> None:
    """No death, no traceback, no leak, a good peer served in between, and files named by nothing but their content."""
    verdict = fuzz(kind, cases, SEED)
    assert verdict.unforeseen == []
    assert (verdict.deaths, verdict.tracebacks, verdict.refused_friends, verdict.bad_names) == (0, 0, 0, 0)
    assert verdict.leaked == 0
    assert verdict.before
    assert verdict.most_rss_mb - verdict.before.rss_mb < 200
    assert verdict.cases == cases
    assert verdict.stored > 0, "nothing got through: the cases are not near enough to good ones"
