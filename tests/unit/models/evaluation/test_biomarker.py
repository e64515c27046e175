"""A marker's chain: chosen in one cohort, applied in another, and honest about which is which."""

import numpy as np
import pytest

from models.evaluation.biomarker import EARLIEST_MONTHS, study
from models.evaluation.cutpoint import cut_point
from models.evaluation.resampling import Resamples
from node.errors import UsageError
from tests.unit.models.evaluation.references import alone, said, table

PEOPLE = table("survivors.csv")
MONTHS, EVENTS, MARKER = PEOPLE["months"], PEOPLE["event"] == 1, PEOPLE["marker"]
ALONE = alone(len(MONTHS))


def test_a_cut_is_chosen_once_everyone_has_been_followed_long_enough() -> None:
    """Those within 30 days are left out and counted; the p of the groups is marked as too small."""
    found = study(MARKER, MONTHS, EVENTS, {"age": PEOPLE["age"]}, ALONE, draws=20)
    kept = MONTHS >= EARLIEST_MONTHS
    assert found.left_out == (~kept).sum() > 0
    few = Resamples.of(alone(int(kept.sum())), 2, 0)
    assert found.cut == cut_point(MARKER[kept], MONTHS[kept], EVENTS[kept], few, 50).value.value
    assert found.chosen_here is not None
    assert "too small" in found.log_rank.note
    assert found.adjusted is not None
    assert [term.name for term in found.adjusted.terms] == ["marker", "age"]
    assert found.alone.terms[0].hazard_ratio.value is not None


def test_a_cut_from_elsewhere_is_applied_as_it_is() -> None:
    """Above it is high; its p is that of the log-rank test."""
    found = study(MARKER, MONTHS, EVENTS, {}, ALONE, cut=1.1, earliest_months=0)
    assert (found.cut, found.chosen_here, found.left_out, found.adjusted) == (1.1, None, 0, None)
    assert [arm.cases for arm in found.curves] == [(MARKER <= 1.1).sum(), (MARKER > 1.1).sum()]
    assert found.log_rank.statistic == pytest.approx(said()["survival"]["log_rank"])
    assert found.log_rank.note == ""


def test_cases_without_marker_or_follow_up_are_left_out() -> None:
    """And counted."""
    marker, months = MARKER.copy(), MONTHS.copy()
    marker[:3] = np.nan
    months[3:5] = np.nan
    found = study(marker, months, EVENTS, {}, ALONE, cut=1.0, earliest_months=0)
    assert (found.cases, found.left_out) == (len(MARKER) - 5, 5)


def test_a_cohort_without_a_case_to_study_is_wrong_usage() -> None:
    """Nobody with a marker, or nobody followed for long enough."""
    with pytest.raises(UsageError, match="no case has a marker"):
        study(np.full(len(MARKER), np.nan), MONTHS, EVENTS, {}, ALONE)
    with pytest.raises(UsageError, match="no case has a marker"):
        study(MARKER, MONTHS, EVENTS, {}, ALONE, cut=1.0, earliest_months=1e6)
