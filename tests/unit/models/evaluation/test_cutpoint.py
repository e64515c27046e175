"""Cut-points: R's maxstat agrees, and a marker that says nothing is found out."""

import numpy as np
import pytest

from models.evaluation.cutpoint import _lausen, cut_point, log_rank_scores
from models.evaluation.resampling import Resamples
from node.errors import UsageError
from tests.unit.models.evaluation.references import alone, said, table

R = said()["survival"]
PEOPLE = table("survivors.csv")
MONTHS, EVENTS = PEOPLE["months"], PEOPLE["event"] == 1
FEW = Resamples.of(alone(len(MONTHS)), 50, 2)


def test_cut_and_statistic_are_those_of_maxstat() -> None:
    """With its formula's p as well, which is what survminer's ``surv_cutpoint`` shows."""
    found = cut_point(PEOPLE["marker"], MONTHS, EVENTS, FEW, permutations=500)
    assert found.value.value == R["cut"]
    assert found.statistic == pytest.approx(R["statistic"], rel=1e-9)
    assert found.p_lausen_1992 == pytest.approx(R["cut_p"], rel=1e-6)
    assert found.p <= 0.01
    assert found.low + found.high == len(MONTHS)
    assert (PEOPLE["marker"] <= R["cut"]).sum() == found.low


def test_scores_of_all_cases_add_up_to_0() -> None:
    """Events less what was expected, where no two times are the same."""
    apart = MONTHS + 1e-3 * np.arange(len(MONTHS))
    assert log_rank_scores(apart, EVENTS).sum() == pytest.approx(0, abs=1e-9)


def test_a_marker_that_says_nothing_is_seldom_significant() -> None:
    """Of forty, fewer than one in five at 5 %; the unadjusted best of all cuts would be far more often."""
    generator = np.random.default_rng(8)
    few = Resamples.of(alone(80), 2, 0)
    small = [
        cut_point(generator.random(80), generator.exponential(10, 80), np.ones(80, dtype=bool), few, 200).p < 0.05
        for _ in range(40)
    ]
    assert sum(small) < 8


def test_without_a_cut_it_is_wrong_usage() -> None:
    """All the same, or nobody with the event."""
    with pytest.raises(UsageError, match="no cut"):
        cut_point(np.ones(150), MONTHS, EVENTS, FEW)
    with pytest.raises(UsageError, match="no cut"):
        cut_point(PEOPLE["marker"], MONTHS, np.zeros(150, dtype=bool), FEW)
    with pytest.raises(UsageError, match="equally long"):
        cut_point(PEOPLE["marker"], np.ones(150), np.ones(150, dtype=bool), FEW)


@pytest.mark.parametrize(
    ("statistic", "p"),
    [(0.0, 1.0), (0.5, 1.0), (1.0, 0.967882898076573), (1.5, 0.819678995766699), (3.0, 0.0578438845691903)],
)
def test_the_formulas_p_is_maxstats_for_small_statistics_as_well(statistic: float, p: float) -> None:
    """Below 1 the formula falls towards 0, which would call the most even cut of all the surest."""
    assert _lausen(statistic) == pytest.approx(p, rel=1e-9)
