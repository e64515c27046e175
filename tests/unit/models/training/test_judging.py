"""Figures of predictions, and their intervals."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, log_loss, roc_auc_score

from models.training import judging


def test_two_classes() -> None:
    """Against numbers worked out by hand."""
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.2, 0.6, 0.4, 0.8])
    figures = judging.binary(labels, probabilities)
    assert figures["auc"] == 0.75
    assert figures["accuracy"] == figures["sensitivity"] == figures["specificity"] == 0.5
    assert figures["loss"] == pytest.approx(-np.log([0.8, 0.4, 0.4, 0.8]).mean())


def test_four_classes() -> None:
    """Quadratic kappa by its definition; accuracy of what was called, whatever the probabilities say."""
    labels, called = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2])
    figures = judging.ordinal(labels, np.eye(4), called)
    assert figures["auc"] == 1.0
    assert figures["accuracy"] == 0.75
    expected = sum((i - j) ** 2 / 9 for i in labels for j in called) / 16
    assert figures["kappa"] == pytest.approx(1.0 - (1 / 9 / 4) / expected)


def test_the_area_is_the_librarys() -> None:
    """Of many scores with ties, as scikit-learn integrates the curve."""
    rng = np.random.default_rng(3)
    truth, scores = rng.random(200) < 0.3, rng.integers(0, 12, 200) / 12
    assert judging.area(truth, scores) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


def test_figures_of_one_bootstrap_are_those_of_several() -> None:
    """The draws are the same, whether one statistic is asked for or all of them."""
    labels, probabilities = np.tile([0, 1], 20), np.random.default_rng(5).random(40)
    patients = [str(case // 2) for case in range(40)]

    def statistics(chosen: np.ndarray) -> dict[str, float]:
        return judging.binary(labels[chosen], probabilities[chosen])

    together = judging.intervals(statistics, patients, 2)
    assert together["auc"] == judging.interval(lambda chosen: statistics(chosen)["auc"], patients, 2)


@pytest.mark.parametrize("seed", range(20))
def test_loss_and_kappa_are_scikit_learns(seed: int) -> None:
    """To the last bit: which epoch of a training was the best hangs on them."""
    generator = np.random.default_rng(seed)
    cases = int(generator.integers(2, 60))
    labels, called = generator.integers(0, 4, cases), generator.integers(0, 4, cases)
    shares = np.round(generator.random(cases), 2)
    loss = judging.binary(labels % 2, shares)["loss"]
    assert loss == log_loss(labels % 2, np.clip(shares, 1e-12, 1.0 - 1e-12), labels=[0, 1])
    expected = cohen_kappa_score(labels, called, labels=[0, 1, 2, 3], weights="quadratic")
    assert judging.kappa(labels, called, [0, 1, 2, 3]) == expected


def test_one_class_has_no_area() -> None:
    """NaN, not an error."""
    assert math.isnan(judging.binary(np.array([1, 1]), np.array([0.2, 0.4]))["auc"])
    assert math.isnan(judging.kappa(np.array([2, 2]), np.array([2, 2]), [0, 1, 2, 3]))


def test_an_interval_draws_patients() -> None:
    """Ten cases of each of two patients are two observations: the interval is as wide as that."""
    values = np.repeat([0.0, 1.0], 10)
    patients = ["a"] * 10 + ["b"] * 10
    found = judging.interval(lambda chosen: float(values[chosen].mean()), patients, 0)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_an_interval_covers_what_it_should() -> None:
    """About 1.96 standard errors to either side."""
    values = np.random.default_rng(1).normal(size=400)
    found = judging.interval(lambda chosen: float(values[chosen].mean()), [str(n) for n in range(400)], 0)
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_without_meaning_there_is_no_interval() -> None:
    """Where resamples have no value, the ends are NaN."""
    found = judging.interval(lambda _: float("nan"), ["a", "b"], 0)
    assert math.isnan(found.low)


def test_an_interval_of_the_few_draws_that_have_a_value_is_none() -> None:
    """A tenth of the draws without one, and it would flatter; without any case there is nothing at all."""
    values = np.array([0.0] * 9 + [1.0])
    rare = judging.interval(
        lambda chosen: float(values[chosen].mean()) if values[chosen].any() else math.nan,
        [str(n) for n in range(10)],
        0,
    )
    assert rare.value == 0.1
    assert math.isnan(rare.low)
    assert math.isnan(judging.interval(lambda _: 1.0, [], 0).value)
