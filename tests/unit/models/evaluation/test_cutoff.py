"""Cuts: Youden's is pROC's, chosen anew in each draw, and carried to other cases it is only applied."""

import numpy as np
import pytest

from models.evaluation.cutoff import transferred, youden
from models.evaluation.resampling import Resamples
from node.errors import UsageError
from tests.unit.models.evaluation.references import alone, said, table

CASES = table("cases.csv")
TRUTH, SCORES = CASES["truth"] == 1, CASES["first"]
RESAMPLES = Resamples.of(alone(len(TRUTH)), 300, 3)


def test_it_parts_the_cases_as_proc_does() -> None:
    """R's cut lies halfway to the next score; the same cases are above it, with the same index."""
    found = youden(TRUTH, SCORES, RESAMPLES)
    assert found.value.value is not None
    assert ((found.value.value <= SCORES) == (said()["roc"]["cut"] < SCORES)).all()
    assert found.youden.value == pytest.approx(said()["roc"]["youden"], abs=1e-12)


def test_a_draw_chooses_its_own() -> None:
    """The interval is that of choosing, with the whole cohort's choice inside."""
    found = youden(TRUTH, SCORES, RESAMPLES).value
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low <= found.value <= found.high
    assert found.low < found.high


def test_the_cut_chosen_in_a_draw_is_that_of_its_rows() -> None:
    """A draw that takes every case once gives the cohort's own."""
    once = Resamples(np.ones((1, len(TRUTH)), dtype=np.uint16), 0, len(TRUTH))
    found = youden(TRUTH, SCORES, once)
    assert found.value.low == found.value.high == found.value.value
    assert found.youden.low == pytest.approx(found.youden.value)


def test_elsewhere_it_is_applied_as_it_is() -> None:
    """From the cut on, a case is positive."""
    here = np.array([False, False, True, True, True])
    scores = np.array([0.2, 0.5, 0.5, 0.4, 0.9])
    found = transferred(0.5, here, scores, alone(5), Resamples.of(alone(5), 50))
    assert (found.sensitivity.value, found.specificity.value) == (2 / 3, 0.5)
    assert (found.ppv.value, found.npv.value) == (2 / 3, 0.5)


def test_one_kind_of_case_has_no_cut() -> None:
    """It is wrong usage."""
    with pytest.raises(UsageError, match="one kind"):
        youden(np.ones(3, dtype=bool), np.arange(3.0), Resamples.of(alone(3), 5))


def test_a_score_worse_than_chance_has_a_cut_that_is_a_number() -> None:
    """It calls everybody, as the draws' cuts do; calling nobody would be an infinite one."""
    found = youden(np.array([True, True, False, False]), np.array([0.1, 0.2, 0.3, 0.4]), Resamples.of(alone(4), 20, 0))
    assert (found.value.value, found.youden.value) == (0.1, 0.0)
