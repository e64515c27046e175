"""Shares with intervals, and calibration, checked with statsmodels and scikit-learn."""

import random

import pytest
from sklearn.metrics import brier_score_loss
from statsmodels.stats.proportion import proportion_confint

from node.domain.rates import Rate, calibration


@pytest.mark.parametrize(("part", "whole"), [(0, 5), (1, 7), (50, 100), (99, 100), (12, 12)])
def test_an_interval_is_wilsons(part: int, whole: int) -> None:
    """As statsmodels computes it."""
    low, high = proportion_confint(part, whole, method="wilson")
    assert Rate(part, whole).interval == pytest.approx((low, high), abs=1e-12)


def test_calibration_counts_what_came_true_in_each_range() -> None:
    """Ranges without results are left out; 1.0 belongs to the last."""
    found = calibration([0.1, 0.15, 0.9, 1.0], [False, True, True, True])
    assert found is not None
    assert [(one.low, one.high, one.came.part, one.came.whole) for one in found.ranges] == [
        (0.0, 0.2, 1, 2),
        (0.8, 1.0, 2, 2),
    ]
    assert found.ranges[0].said == pytest.approx(0.125)
    assert (found.observed, found.expected) == (3, pytest.approx(2.15))
    assert found.ratio == pytest.approx(3 / 2.15)


def test_the_brier_score_is_scikit_learns() -> None:
    """On random numbers."""
    chance = random.Random(5)  # noqa: S311 — the same every time
    said = [chance.random() for _ in range(200)]
    came = [chance.random() < one for one in said]
    found = calibration(said, came)
    assert found is not None
    assert found.brier == pytest.approx(brier_score_loss(came, said))


def test_nothing_has_no_calibration() -> None:
    """And outcomes must be as many as probabilities."""
    assert calibration([], []) is None
    with pytest.raises(ValueError, match="one outcome for each"):
        calibration([0.5], [])
