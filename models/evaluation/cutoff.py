"""The cut of a score that Youden's index chooses, how sure that is, and what it does in another set of cases.

A case is called positive from the cut on (>=), as scikit-learn's curves have it. A cut chosen and judged on the same
cases looks better than it is; that is why it is carried to others (PORCELAIN, doi 10.1038/s41746-025-02303-9: chosen on
the cross-validated training predictions, applied to the external centres).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_curve

from models.evaluation.classification import ClassFigures, figures
from models.evaluation.estimate import Bools, Estimate, Floats, Ints, Source
from models.evaluation.resampling import Resamples, bootstrapped
from node.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a score parts the cases."""

    value: Estimate
    youden: Estimate
    """Sensitivity plus specificity less one at the cut, on the cases that chose it: optimistic."""


def youden(is_positive: Bools, scores: Floats, resamples: Resamples) -> Cut:
    """The cut of ``scores`` (n,) with the largest Youden index, of several the highest."""
    if is_positive.all() or not is_positive.any():
        raise UsageError("a cut cannot be chosen where all cases are of one kind")
    # Without the curve's first point, which calls nobody: its cut is infinite, and no draw can choose it either.
    false, true, cuts = (one[1:] for one in roc_curve(is_positive, scores, drop_intermediate=False))
    best = int(np.argmax(true - false))
    drawn = _draws(is_positive, scores, resamples)
    note = "chosen on these cases, so optimistic on them"
    return Cut(
        bootstrapped(float(cuts[best]), drawn[:, 0], len(scores), Source.SKLEARN),
        bootstrapped(float(true[best] - false[best]), drawn[:, 1], len(scores), Source.SKLEARN, note),
    )


def transferred(cut: float, is_positive: Bools, scores: Floats, groups: Ints, resamples: Resamples) -> ClassFigures:
    """What a cut chosen elsewhere does here: the positive class against the rest."""
    called = (scores >= cut).astype(np.int64)
    both = np.column_stack((1 - scores, scores))
    return figures(is_positive.astype(np.int64), both, called, ("rest", "positive"), groups, resamples).classes[1]


def _draws(is_positive: Bools, scores: Floats, resamples: Resamples) -> Floats:
    """(draws, 2): the cut and its index, chosen anew in each draw."""
    order = np.argsort(-scores, kind="stable")
    truth = is_positive[order].astype(np.float64)
    descending = scores[order]
    starts = np.flatnonzero(np.diff(descending, prepend=np.inf))

    def measure(weights: Floats) -> Floats:
        weights = weights[:, order]
        positive = np.cumsum(np.add.reduceat(weights * truth, starts, axis=1), axis=1)
        negative = np.cumsum(np.add.reduceat(weights * (1 - truth), starts, axis=1), axis=1)
        index = positive / positive[:, -1:] - negative / negative[:, -1:]
        best = index.argmax(axis=1)
        result: Floats = np.column_stack((descending[starts][best], index[np.arange(len(index)), best]))
        result[~np.isfinite(index).all(axis=1)] = np.nan
        return result

    return resamples.values(measure)
