"""Fitting the Rad-score."""

from typing import Any

import numpy as np
import pytest

from models.training.radscore import fit_radscore
from node.errors import UsageError

Array = np.ndarray[Any, np.dtype[Any]]


def cohort(seed: int = 0, informative: bool = True) -> tuple[Array, Array, list[str]]:
    """A hundred and fifty patients with four slices each; three of fifty features follow the T category."""
    generator = np.random.default_rng(seed)
    stage = generator.integers(1, 5, 150)
    own = generator.normal(size=(150, 50))
    if informative:
        own[:, :3] += stage[:, None] * np.array([1.0, -1.0, 0.8])
    slices = np.repeat(own, 4, axis=0) + 0.05 * generator.normal(size=(600, 50))
    return slices, np.repeat(stage, 4), [f"p{number // 4}" for number in range(600)]


def test_it_finds_the_features_that_matter() -> None:
    """The three largest coefficients are those of the three informative features, with their signs."""
    score = fit_radscore(*cohort())
    assert set(np.argsort(-np.abs(score.coefficients))[:3]) == {0, 1, 2}
    assert (np.sign(score.coefficients[:3]) == (1, -1, 1)).all()


def test_it_rises_with_the_category_on_patients_it_has_not_seen() -> None:
    """In another cohort of the same making the score follows the category, and is about standardised there, too.

    No linear score of these features can reach a correlation above 0.88.
    """
    score = fit_radscore(*cohort(0))
    features, stage, _ = cohort(1)
    found = np.array([score.of(row) for row in features])
    assert np.corrcoef(found, stage)[0, 1] > 0.8
    assert 0.8 < found.std() < 1.25


def test_slices_of_one_patient_stay_on_one_side() -> None:
    """Features that only tell patients apart do not help: cross-validated by patient the LASSO chooses none.

    Split by slice, the same features would be learnt by heart.
    """
    with pytest.raises(UsageError, match="no feature carries"):
        fit_radscore(*cohort(4, informative=False))


def test_it_needs_as_many_patients_as_folds() -> None:
    """Four patients, however many slices, are too few."""
    features, stage, patients = cohort()
    with pytest.raises(UsageError, match="at least 5 patients, not 4"):
        fit_radscore(features[:16], stage[:16], patients[:16])
