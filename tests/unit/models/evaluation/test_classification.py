"""Figures: values as ``metrics`` counts them, intervals of the kind that fits."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from models.evaluation.classification import confusion_draws, figures, quadratic_kappa, share
from models.evaluation.metrics import evaluate
from models.evaluation.resampling import Resamples
from tests.unit.models.evaluation.references import alone

NAMES = ("T1", "T2", "T3")
GENERATOR = np.random.default_rng(11)
LABELS = GENERATOR.integers(0, 3, 150)
SCORES = GENERATOR.random((150, 3)) + 0.5 * np.eye(3)[LABELS]
PROBABILITIES = SCORES / SCORES.sum(axis=1, keepdims=True)
CALLED = PROBABILITIES.argmax(axis=1)
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "f1", "auc")


def test_values_are_those_of_metrics() -> None:
    """Each of them, each class."""
    found = figures(LABELS, PROBABILITIES, CALLED, NAMES, alone(150), Resamples.of(alone(150), 100))
    plain = evaluate(LABELS, PROBABILITIES, NAMES)
    assert found.accuracy.value == plain.accuracy
    assert found.macro_auc.value == plain.macro_auc
    assert found.quadratic_kappa.value == pytest.approx(plain.quadratic_kappa, abs=1e-12)
    assert found.confusion == plain.confusion
    for ours, theirs in zip(found.classes, plain.classes, strict=True):
        assert (ours.cases, ours.called) == (theirs.cases, theirs.called)
        assert [getattr(ours, one).value for one in MEASURES] == pytest.approx(
            [getattr(theirs, one) for one in MEASURES]
        )


def test_every_measure_has_an_interval_that_holds_it() -> None:
    """And says how it was made, by which library."""
    found = figures(LABELS, PROBABILITIES, CALLED, NAMES, alone(150), Resamples.of(alone(150), 400))
    estimates = [found.accuracy, found.macro_auc, found.quadratic_kappa]
    estimates += [
        getattr(one, measure) for one in found.classes for measure in (*MEASURES, "auc_bootstrap", "accuracy")
    ]
    for one in estimates:
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low < one.value < one.high
        assert one.interval
    sensitivity = found.classes[0].sensitivity
    hits, cases = int((CALLED[LABELS == 0] == 0).sum()), int((LABELS == 0).sum())
    assert (sensitivity.low, sensitivity.high) == pytest.approx(proportion_confint(hits, cases, method="wilson"))
    assert sensitivity.cases == cases
    assert found.classes[0].f1.interval.startswith("bootstrap")
    assert found.classes[0].f1.cases == ((LABELS == 0) | (CALLED == 0)).sum()


def test_several_cases_of_a_patient_widen_the_interval() -> None:
    """The cohort three times over: Wilson's would shrink, ours stays, made over patients."""
    thrice = np.repeat(np.arange(150), 3)
    once = figures(LABELS, PROBABILITIES, CALLED, NAMES, alone(150), Resamples.of(alone(150), 1000))
    held = figures(LABELS[thrice], PROBABILITIES[thrice], CALLED[thrice], NAMES, thrice, Resamples.of(thrice, 1000))
    assert held.accuracy.value == once.accuracy.value
    assert held.accuracy.interval.startswith("bootstrap")
    assert held.accuracy.width == pytest.approx(once.accuracy.width, rel=0.1)
    assert (held.cases, held.patients) == (450, 150)


def test_kappa_in_draws_is_that_of_the_rows_drawn() -> None:
    """As scikit-learn has it."""
    resamples = Resamples.of(alone(150), 10)
    found = quadratic_kappa(confusion_draws(LABELS, CALLED, 3, resamples))
    for counts, value in zip(resamples.counts, found, strict=True):
        rows = np.repeat(np.arange(150), counts)
        assert value == pytest.approx(cohen_kappa_score(LABELS[rows], CALLED[rows], weights="quadratic"), abs=1e-12)


def test_a_share_of_nothing_is_nothing() -> None:
    """No case, no figure."""
    assert share(0, 0, np.array([np.nan]), independent=True).value is None
    one_class = figures(
        np.zeros(4, dtype=np.int64), np.tile([0.9, 0.1], (4, 1)), np.zeros(4, dtype=np.int64), ("a", "b"), alone(4),
        Resamples.of(alone(4), 20),
    )  # fmt: skip
    assert one_class.quadratic_kappa.value is None
    assert one_class.macro_auc.value is None
    assert one_class.classes[1].sensitivity.value is None
