"""A sample of the storm of HL7 messages: ``python -m tests.faults hl7`` has the whole of it."""

from pathlib import Path

import pytest

from tests.faults.hl7 import POINTS, storm
from tests.faults.kills import ENGINES, databases


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_acknowledged_is_stored_once_whatever_dies(engine: str, tmp_path: Path) -> None:
    """A death at each failpoint and one at random: nothing lost, nothing doubled, nothing changed."""
    (tmp_path / "storm").mkdir()
    with databases(engine, tmp_path) as new_url:
        verdict = storm(tmp_path / "storm", new_url("storm"), messages=600, kills=len(POINTS) + 1, pause_s=0.02)
    assert verdict.is_kept, verdict
    assert verdict.acknowledged == 600
    assert sum(verdict.deaths.values()) >= len(POINTS), verdict
