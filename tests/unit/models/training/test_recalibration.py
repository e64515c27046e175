"""A site's own intercepts for the nomogram."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from models.training.recalibration import fit_thresholds
from node.errors import UsageError

Array = np.ndarray[Any, np.dtype[Any]]
TRUE = (-1.4, 0.5, 2.3)


def site(count: int, seed: int = 0, thresholds: tuple[float, float, float] = TRUE) -> tuple[Array, Array]:
    """Patients whose categories follow proportional odds with known intercepts."""
    generator = np.random.default_rng(seed)
    etas = generator.normal(1.2, 1.1, count)
    below = expit(np.array(thresholds)[:, None] - etas)
    return etas, 1 + (generator.random(count) > below).sum(axis=0)


def shares(thresholds: tuple[float, float, float], etas: Array) -> Array:
    """The mean probability of each category."""
    below = expit(np.array(thresholds)[:, None] - etas).mean(axis=1)
    return np.diff(np.concatenate(([0.0], below, [1.0])))


def test_it_finds_the_intercepts_that_the_data_were_made_with() -> None:
    """From 20,000 patients, within three standard errors of a few hundredths."""
    assert fit_thresholds(*site(20_000)) == pytest.approx(TRUE, abs=0.07)


@pytest.mark.parametrize("seed", range(5))
def test_a_small_cohort_is_calibrated_in_the_large(seed: int) -> None:
    """With 150 patients the mean probabilities are the site's own shares, which the published ones are far from."""
    etas, categories = site(150, seed)
    seen = np.bincount(categories, minlength=5)[1:] / categories.size
    assert np.abs(shares(fit_thresholds(etas, categories), etas) - seen).max() < 0.02
    assert np.abs(shares((-3.20, -1.17, 1.24), etas) - seen).max() > 0.1


def test_no_neighbouring_thresholds_are_more_likely() -> None:
    """The optimum: moving any intercept by a tenth either way lowers the likelihood."""
    etas, categories = site(300)
    found = np.array(fit_thresholds(etas, categories))

    def likelihood(thresholds: Array) -> float:
        below = np.concatenate((np.zeros((1, 300)), expit(thresholds[:, None] - etas), np.ones((1, 300))))
        return float(np.log(np.diff(below, axis=0)[categories - 1, np.arange(300)]).sum())

    for index in range(3):
        for step in (-0.1, 0.1):
            moved = found.copy()
            moved[index] += step
            assert likelihood(moved) < likelihood(found)


@pytest.mark.parametrize("categories", [[1, 2, 3] * 20, [1, 2, 3, 4] * 4, [1, 2, 3, 5] * 20])
def test_each_category_must_be_there(categories: list[int]) -> None:
    """Without five patients in each of T1 to T4 there is nothing to fit that category's intercept to."""
    with pytest.raises(UsageError, match="patients in each of T1 to T4"):
        fit_thresholds(np.zeros(len(categories)), np.array(categories))
