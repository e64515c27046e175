"""Calibration: R's glm and val.prob agree, and what is calibrated looks so."""

import numpy as np
import pytest
from scipy.stats import chi2

from models.evaluation.calibration import calibrate, hosmer_lemeshow, smoothed
from models.evaluation.resampling import Resamples
from tests.unit.models.evaluation.references import alone, said, table

R = said()["calibration"]
CASES = table("cases.csv")
TRUTH, PROBABILITIES = CASES["truth"] == 1, CASES["probability"]
ALONE = alone(len(TRUTH))


def test_slope_intercept_brier_and_ici_are_those_of_r() -> None:
    """With Wald's intervals."""
    found = calibrate(TRUTH, PROBABILITIES, ALONE, Resamples.of(ALONE, 200))
    assert found.slope.value == pytest.approx(R["slope"], rel=1e-6)
    assert (found.slope.low, found.slope.high) == pytest.approx(tuple(R["slope_interval"]), rel=1e-5)
    assert found.intercept.value == pytest.approx(R["intercept"], rel=1e-6)
    assert (found.intercept.low, found.intercept.high) == pytest.approx(tuple(R["intercept_interval"]), rel=1e-5)
    assert found.brier.value == pytest.approx(R["brier"], rel=1e-9)
    assert found.ici.value == pytest.approx(R["ici"], rel=1e-4)


def test_predictions_that_are_too_extreme_have_a_slope_below_1() -> None:
    """And the truth drawn from the predictions themselves a slope about 1, an intercept about 0."""
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 1.5, 4000)
    true = 1 / (1 + np.exp(-logits))
    outcome = generator.random(4000) < true
    resamples = Resamples.of(alone(4000), 20)
    right = calibrate(outcome, true, alone(4000), resamples)
    extreme = calibrate(outcome, 1 / (1 + np.exp(-2 * logits)), alone(4000), resamples)
    assert right.slope.low is not None
    assert right.slope.high is not None
    assert right.slope.low < 1 < right.slope.high
    assert right.hosmer_lemeshow.p is not None
    assert right.hosmer_lemeshow.p > 0.01
    assert extreme.slope.value == pytest.approx(right.slope.value / 2, rel=1e-3)
    assert extreme.hosmer_lemeshow.p is not None
    assert extreme.hosmer_lemeshow.p < 1e-6
    assert right.ici.value is not None
    assert extreme.ici.value is not None
    assert right.ici.value < 0.02 < extreme.ici.value


def test_hosmer_lemeshow_is_the_formula() -> None:
    """Observed and expected of both kinds, over ten groups, with ten degrees of freedom: nothing was fitted here."""
    order = np.argsort(PROBABILITIES, kind="stable")
    statistic = 0.0
    for part in np.split(order, 10):
        expected, observed = PROBABILITIES[part].sum(), TRUTH[part].sum()
        statistic += (observed - expected) ** 2 / expected
        statistic += (observed - expected) ** 2 / (len(part) - expected)
    found = hosmer_lemeshow(TRUTH, PROBABILITIES)
    assert found.statistic == pytest.approx(statistic)
    assert (found.degrees, found.p) == (10, pytest.approx(chi2.sf(statistic, 10)))


def test_the_brier_score_is_scaled_by_the_prevalence() -> None:
    """Predicting the prevalence knows nothing: 0."""
    truth = np.array([True] * 30 + [False] * 70)
    found = calibrate(truth, np.full(100, 0.3), alone(100), Resamples.of(alone(100), 50))
    assert found.brier.value == pytest.approx(0.21)
    assert found.brier_scaled.value == pytest.approx(0)
    assert found.slope.value is None
    assert found.ici.value is None


def test_patients_with_several_cases_are_held_together() -> None:
    """Three times the cohort: the interval of the slope does not shrink by the root of three."""
    thrice = np.repeat(ALONE, 3)
    once = calibrate(TRUTH, PROBABILITIES, ALONE, Resamples.of(ALONE, 10))
    held = calibrate(TRUTH[thrice], PROBABILITIES[thrice], thrice, Resamples.of(thrice, 10))
    assert once.slope.width is not None
    assert held.slope.width == pytest.approx(once.slope.width, rel=0.2)
    assert held.slope.interval == "Wald, clustered by patient"


def test_what_cannot_be_fitted_says_why() -> None:
    """Too few of a kind, and certainty that is a group's."""
    few = calibrate(np.arange(30) < 3, np.linspace(0.1, 0.9, 30), alone(30), Resamples.of(alone(30), 5))
    assert few.slope.value is None
    assert "fewer than 10" in few.slope.note
    sure = hosmer_lemeshow(np.arange(20) < 10, (np.arange(20) < 10).astype(float))
    assert sure.p is None


def test_separated_cases_have_no_slope() -> None:
    """The regression has no end, and that is said."""
    truth = np.arange(40) >= 20
    found = calibrate(truth, np.linspace(0.02, 0.98, 40), alone(40), Resamples.of(alone(40), 5))
    assert found.slope.value is None
    assert found.slope.note


def test_the_curve_stays_between_0_and_1() -> None:
    """Over the range of the predictions."""
    grid, curve = smoothed(TRUTH.astype(float), PROBABILITIES)
    assert (grid[0], grid[-1]) == (PROBABILITIES.min(), PROBABILITIES.max())
    assert ((curve >= 0) & (curve <= 1)).all()
