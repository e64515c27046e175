"""Subgroups: each value is measured on its own cases, in a readable order, with one test over all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.evaluation.cohort_file import read_cohort
from models.evaluation.estimate import Estimate, Source
from models.evaluation.subgroups import by_descriptor, heterogeneity
from tests.unit.models.evaluation.cohorts import write_cohort


def test_each_value_has_its_own_cases(tmp_path: Path) -> None:
    """Bands in the order of their numbers, unknown last."""
    cohort = read_cohort(*write_cohort(tmp_path))
    words = ("", *cohort.descriptors["age_years"][1:])
    looked_at = replace(cohort, descriptors={"age_years": words, "centre": cohort.descriptors["centre"]})
    found = {one.descriptor: one for one in by_descriptor(looked_at, "A", 2, 0)}
    bands = [group.value for group in found["age_years"].groups]
    assert bands == ["< 50", "50 to < 65", "65 to < 75", "≥ 75", "unknown"]
    for group in found["centre"].groups:
        rows = np.array([centre == group.value for centre in cohort.descriptors["centre"]])
        truth, scores = cohort.labels[rows] >= 2, cohort.variant("A").probabilities[rows, 2:].sum(axis=1)
        assert (group.cases, group.positive.cases) == (rows.sum(), truth.sum())
        assert group.positive.auc.value == pytest.approx(roc_auc_score(truth, scores))
    assert found["centre"].heterogeneity_p is not None


def test_areas_that_differ_are_told_from_areas_that_do_not() -> None:
    """Cochran's Q; one area alone has nothing to differ from."""

    def area(value: float, half: float) -> Estimate:
        logit = np.log(value / (1 - value))
        ends = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
        return Estimate(value, *ends, 100, "", Source.SKLEARN)

    same, other = heterogeneity([area(0.8, 0.5), area(0.8, 0.3)]), heterogeneity([area(0.95, 0.3), area(0.6, 0.3)])
    assert same == pytest.approx(1)
    assert other is not None
    assert other < 1e-6
    assert heterogeneity([area(0.8, 0.5)]) is None
    assert heterogeneity([area(0.8, 0.5), Estimate(0.99, 0.5, 1.0, 20, "", Source.SKLEARN)]) is None


def test_words_that_begin_with_digits_are_words(tmp_path: Path) -> None:
    """A scanner called 1.2.3, or another's ², is no number to sort by."""
    cohort = read_cohort(*write_cohort(tmp_path))
    words = tuple(("1.2.3", "² T", "Alpha")[index % 3] for index in range(len(cohort.cases)))
    (found,) = by_descriptor(replace(cohort, descriptors={"scanner": words}), "A", 2, 0)
    assert [group.value for group in found.groups] == ["1.2.3", "Alpha", "² T"]
