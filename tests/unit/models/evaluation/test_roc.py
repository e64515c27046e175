"""ROC areas: R's pROC agrees to rounding, patients are held together, and what has no interval has none."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.evaluation.resampling import Resamples
from models.evaluation.roc import area, area_draws, areas, bootstrapped_area, compare, curve
from tests.unit.models.evaluation.references import alone, said, table

R = said()["roc"]
CASES = table("cases.csv")
TRUTH = CASES["truth"] == 1
BOTH = np.column_stack((CASES["first"], CASES["second"]))
ALONE = alone(len(TRUTH))


def test_areas_and_their_covariance_are_those_of_proc() -> None:
    """DeLong's, with and without ties."""
    found = areas(TRUTH, BOTH, ALONE)
    assert found.values == pytest.approx(R["auc"], rel=1e-12)
    assert np.diag(found.covariance) == pytest.approx(R["variance"], rel=1e-12)
    assert found.covariance[0, 1] == pytest.approx(R["covariance"], rel=1e-12)


def test_delongs_test_is_that_of_proc() -> None:
    """The statistic, its p and the interval of the difference."""
    found = compare(("first", "second"), TRUTH, BOTH, ALONE)
    assert (found.z, found.p) == pytest.approx((R["z"], R["p"]), rel=1e-10)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(R["difference"]), rel=1e-8)


def test_an_interval_stays_within_0_and_1_and_holds_the_area() -> None:
    """On the logit scale, with the variance of DeLong's."""
    found = area(TRUTH, BOTH[:, 0], ALONE)
    assert found.value == pytest.approx(R["auc"][0])
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert 0 < found.low < found.value < found.high < 1
    logit = [np.log(end / (1 - end)) for end in (found.low, found.value, found.high)]
    assert logit[2] - logit[1] == pytest.approx(logit[1] - logit[0])
    error = np.sqrt(R["variance"][0]) / (found.value * (1 - found.value))
    assert (logit[2] - logit[0]) / (2 * error) == pytest.approx(1.959964, abs=1e-5)


def test_cases_of_one_patient_do_not_count_as_many() -> None:
    """Every case three times over, of the same patient: the interval is that of the cases once."""
    thrice = np.repeat(np.arange(len(TRUTH)), 3)
    once = areas(TRUTH, BOTH, ALONE)
    held = areas(TRUTH[thrice], BOTH[thrice], thrice)
    naive = areas(TRUTH[thrice], BOTH[thrice], alone(len(thrice)))
    assert held.values == pytest.approx(once.values)
    assert held.covariance == pytest.approx(once.covariance, rel=1e-9)
    assert naive.covariance[0, 0] < once.covariance[0, 0] / 2.5


def test_draws_are_the_areas_of_the_rows_drawn() -> None:
    """Ties by half, as scikit-learn counts them; a draw of one kind has none."""
    resamples = Resamples.of(ALONE, 25, 4)
    found = area_draws(TRUTH, BOTH[:, 1], resamples)
    for counts, value in zip(resamples.counts, found, strict=True):
        rows = np.repeat(ALONE, counts)
        assert value == pytest.approx(roc_auc_score(TRUTH[rows], BOTH[rows, 1]), abs=1e-12)
    few = area_draws(np.array([True, False, False]), np.array([0.9, 0.1, 0.2]), Resamples.of(alone(3), 50, 0))
    assert np.isnan(few).any()


def test_the_bootstrap_agrees_with_delong() -> None:
    """Two ways to the same interval, to a hundredth."""
    ways = area(TRUTH, BOTH[:, 0], ALONE), bootstrapped_area(TRUTH, BOTH[:, 0], Resamples.of(ALONE, 2000, 5))
    assert ways[0].low == pytest.approx(ways[1].low, abs=0.015)
    assert ways[0].high == pytest.approx(ways[1].high, abs=0.015)


def test_what_cannot_be_said_is_not() -> None:
    """One kind of case: no area. Perfect separation: no interval. One score twice: no test."""
    none = area(np.ones(5, dtype=bool), np.arange(5.0), alone(5))
    assert (none.value, none.note) == (None, "all cases are of one kind")
    perfect = area(np.array([False, False, True, True]), np.arange(4.0), alone(4))
    assert (perfect.value, perfect.low) == (1.0, None)
    assert "no interval follows" in perfect.note
    same = compare(("a", "b"), TRUTH, BOTH[:, [0, 0]], ALONE)
    assert (same.difference.value, same.p) == (0.0, None)


def test_the_curve_has_the_area() -> None:
    """From corner to corner."""
    found = curve(TRUTH, BOTH[:, 0])
    assert (found.false_positive_rate[0], found.true_positive_rate[-1]) == (0.0, 1.0)
    assert np.trapezoid(found.true_positive_rate, found.false_positive_rate) == pytest.approx(R["auc"][0])


def test_one_patient_of_a_kind_gives_no_interval_and_no_test() -> None:
    """How other such patients would lie nobody has seen; the spread of the other kind alone would flatter."""
    truth = np.arange(40) == 25
    scores = np.random.default_rng(2).normal(0, 1, (40, 2)) + truth[:, None]
    found = area(truth, scores[:, 0], alone(40))
    assert found.value is not None
    assert (found.low, found.high, found.interval) == (None, None, "")
    tested = compare(("a", "b"), truth, scores, alone(40))
    assert (tested.z, tested.p, tested.difference.low) == (None, None, None)
