"""Metrics: what scikit-learn gives is what the textbook's formulae give, and what has no meaning is None."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation.metrics import LabelArray, ProbabilityArray, evaluate
from node.errors import UsageError

NAMES = ("T1", "T2", "T3", "T4")


@pytest.fixture
def cohort() -> tuple[LabelArray, ProbabilityArray]:
    """Three hundred cases of unequal classes whose probabilities know something, with ties."""
    generator = np.random.default_rng(20252)
    labels = generator.choice(4, size=300, p=[0.4, 0.1, 0.3, 0.2]).astype(np.int64)
    scores = np.round(generator.random((300, 4)) + 0.6 * np.eye(4)[labels], 1)
    return labels, scores / scores.sum(axis=1, keepdims=True)


def pairs_won(is_positive: NDArray[np.bool_], scores: ProbabilityArray) -> float:
    """The area under a ROC curve as Mann and Whitney count it: pairs that the positive case wins, ties by half."""
    difference = scores[is_positive][:, None] - scores[~is_positive][None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def quadratic_kappa(labels: LabelArray, called: LabelArray, classes: int) -> float:
    """Cohen's weighted kappa: one less the weighted disagreement over that of chance (Cohen 1968)."""
    observed = np.zeros((classes, classes))
    for truth, call in zip(labels, called, strict=True):
        observed[truth, call] += 1
    chance = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / len(labels)
    index = np.arange(classes)
    weights = (index[:, None] - index[None]) ** 2
    return float(1 - (weights * observed).sum() / (weights * chance).sum())


def test_areas_and_kappa_are_those_of_the_formulae(cohort: tuple[LabelArray, ProbabilityArray]) -> None:
    """Written out by hand, over every pair of cases, ties included."""
    labels, probabilities = cohort
    found = evaluate(labels, probabilities, NAMES)
    areas = [pairs_won(labels == index, probabilities[:, index]) for index in range(4)]
    assert [one.auc for one in found.classes] == pytest.approx(areas, abs=1e-12)
    assert found.macro_auc == pytest.approx(np.mean(areas), abs=1e-12)
    assert found.quadratic_kappa == pytest.approx(quadratic_kappa(labels, probabilities.argmax(1), 4), abs=1e-12)
    assert 0.5 < areas[0] < 1


def test_shares_are_counted_case_by_case(cohort: tuple[LabelArray, ProbabilityArray]) -> None:
    """Each class against the rest, from the cases themselves."""
    labels, probabilities = cohort
    called = probabilities.argmax(axis=1)
    found = evaluate(labels, probabilities, NAMES)
    assert found.cases == 300
    assert found.accuracy == pytest.approx((labels == called).mean())
    for index, one in enumerate(found.classes):
        truth, call = labels == index, called == index
        assert (one.name, one.cases, one.called) == (NAMES[index], truth.sum(), call.sum())
        assert one.sensitivity == pytest.approx(call[truth].mean())
        assert one.specificity == pytest.approx((~call)[~truth].mean())
        assert one.ppv == pytest.approx(truth[call].mean())
        assert one.npv == pytest.approx((~truth)[~call].mean())
        assert one.sensitivity is not None
        assert one.ppv is not None
        assert one.f1 == pytest.approx(2 / (1 / one.sensitivity + 1 / one.ppv))
        assert found.confusion[index] == tuple(int((truth & (called == other)).sum()) for other in range(4))


def test_a_far_mistake_costs_kappa_more_than_a_near_one() -> None:
    """The same accuracy, another kappa: T4 called T1 is worse than T4 called T3."""
    labels = np.array([0, 1, 2, 3], dtype=np.int64)
    near, far = np.eye(4)[[0, 1, 2, 2]], np.eye(4)[[0, 1, 2, 0]]
    one, other = evaluate(labels, near, NAMES), evaluate(labels, far, NAMES)
    assert one.accuracy == other.accuracy == 0.75
    assert one.quadratic_kappa is not None
    assert other.quadratic_kappa is not None
    assert one.quadratic_kappa > other.quadratic_kappa + 0.3


def test_what_has_no_meaning_is_none() -> None:
    """A class without a case has no sensitivity and no area, one that nobody was called has no PPV; nothing is zero."""
    found = evaluate(np.array([0, 0], dtype=np.int64), np.array([[0.9, 0.1], [0.8, 0.2]]), ("low", "high"))
    low, high = found.classes
    assert (low.sensitivity, low.specificity, low.npv, low.auc) == (1.0, None, None, None)
    assert (high.sensitivity, high.ppv, high.f1, high.auc) == (None, None, None, None)
    assert (found.macro_auc, found.quadratic_kappa, found.accuracy) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        ([], np.empty((0, 2)), "0 cases"),
        ([0, 1], [[0.5, 0.5]], "do not fit"),
        ([0, 1], [[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]], "do not fit"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "row 1 has a label"),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]], "row 1 has a label"),
        ([0, 1], [[0.5, 0.5], [0.5, float("nan")]], "row 1 has numbers"),
        ([0, 1], [[0.6, 0.5], [0.5, 0.5]], "row 0 has numbers"),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]], "row 0 has numbers"),
    ],
)
def test_what_does_not_fit_is_named(labels: list[int], probabilities: object, words: str) -> None:
    """Labels that are no class, numbers that are no probabilities and shapes that differ are wrong usage."""
    with pytest.raises(UsageError, match=words):
        evaluate(np.array(labels, dtype=np.int64), np.array(probabilities, dtype=np.float64), ("low", "high"))
