"""Youden's threshold."""

import numpy as np
import pytest

from models.training.threshold import youden
from node.errors import UsageError


def test_it_lies_between_the_classes() -> None:
    """Where they can be told apart: in the middle of the gap."""
    assert youden(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9])) == pytest.approx(0.4)


def test_sensitivity_plus_specificity_is_largest_there() -> None:
    """No other threshold does better."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    probabilities = np.clip(0.3 * labels + rng.uniform(0.0, 0.7, 200), 0.0, 1.0)

    def gain(cut: float) -> float:
        called = probabilities >= cut
        return float(called[labels == 1].mean() - called[labels == 0].mean())

    found = youden(labels, probabilities)
    assert gain(found) == max(gain(cut) for cut in np.linspace(0.0, 1.0, 2001))


def test_of_several_the_one_nearest_to_a_half() -> None:
    """Two thresholds with the same gain: the usual one is nearer."""
    labels = np.array([1, 0, 1, 0])
    assert youden(labels, np.array([0.1, 0.15, 0.6, 0.05])) == pytest.approx(0.375)


def test_one_class_is_refused() -> None:
    """There is nothing to tell apart."""
    with pytest.raises(UsageError, match="both classes"):
        youden(np.array([1, 1]), np.array([0.2, 0.4]))
