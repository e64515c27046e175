"""What is watched of a result: its scores and how its input looked, without a word of the patient."""

import json
from pathlib import Path

import pytest

from node.reports.observed import INPUTS, observed
from tests.unit.node.reports.factory import build_report, gtrnet


def test_numbers_are_those_of_the_region_and_the_series(tmp_path: Path) -> None:
    """The lesion of the made-up series is 110 HU everywhere."""
    seen = observed(build_report(tmp_path, gtrnet()))
    assert seen["inputs"]["hu_mean"] == 110.0
    assert seen["inputs"]["hu_sd"] == 0.0
    assert seen["inputs"]["spacing_mm"] == 3.0
    assert set(seen["inputs"]) <= set(INPUTS)
    assert seen["scores"]["T3"] == pytest.approx(0.621)
    assert (seen["conclusion"], len(seen["digest"])) == ("CT3", 64)
    assert "PAT-7" not in json.dumps(seen)
