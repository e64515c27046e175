"""Holm's correction, against another implementation of it."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from models.evaluation.holm import holm


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_it_is_what_statsmodels_gives(count: int) -> None:
    """Of p values in any order, some of them alike, from very small to 1."""
    generator = np.random.default_rng(count)
    values = np.round(generator.random(count) ** 4, 3)
    values[0] = 1e-12
    assert holm(values.tolist()) == pytest.approx(multipletests(values, method="holm")[1], rel=1e-12)


def test_a_known_example() -> None:
    """Four tests: the smallest counts four times, and the third is no less than the second."""
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])


def test_of_nothing_there_is_nothing() -> None:
    """No test, no p value."""
    assert holm([]) == ()
