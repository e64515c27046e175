"""Youden's threshold: where sensitivity plus specificity is largest.

Source: PORCELAIN, methods, by way of its reading here: "Youden on the cross-validated training predictions"; it lives
in the bundle.
"""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from node.errors import UsageError


def youden(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """The threshold in (0, 1) at which a probability counts as class 1, for ``labels`` (n,) of 0 and 1.

    It lies in the middle between the two probabilities that it separates: on one of them it would hang on the last bit
    of a float. Of several best the one nearest to a half. UsageError when there is one class only.
    """
    if set(labels.tolist()) != {0, 1}:
        raise UsageError("a threshold needs cases of both classes")
    false_rate, true_rate, cuts = roc_curve(labels, probabilities, drop_intermediate=False)
    gain = true_rate - false_rate
    levels = np.unique(probabilities)
    best = [_between(float(cut), levels) for cut, each in zip(cuts, gain, strict=True) if each >= gain.max() - 1e-12]
    return min(best, key=lambda cut: (abs(cut - 0.5), cut))


def _between(cut: float, levels: npt.NDArray[np.float64]) -> float:
    """The middle between ``cut``, the lowest probability that is called, and the next lower one."""
    lower = levels[levels < cut]
    below = float(lower[-1]) if lower.size else 0.0
    return 0.5 * (min(cut, 1.0) + below)
