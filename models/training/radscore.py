"""Fitting the Rad-score: LASSO over penultimate features of the key slices, cross-validated by patient.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), results, "Nomogram integration and clinical utility"; Fig. 4a, "deep
features selected by LASSO". The paper does not say what the LASSO was fitted to; here it is the T category as a number,
1 to 4, the outcome of the ordinal model that the score goes into.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GroupKFold

from models.predictors.radscore import RadScore
from node.errors import UsageError

FOLDS: Final = 5
PENALTIES: Final = 50
_SMALLEST_PENALTY: Final = 1e-2
"""That is tried, of the one that leaves no feature: further down the LASSO takes minutes for hundreds of features."""
_MOST_PASSES: Final = 20_000


def fit_radscore(
    features: npt.NDArray[np.float64], categories: npt.NDArray[np.int64], patients: Sequence[str]
) -> RadScore:
    """The score of key-slice ``features`` (n, 2048) with T ``categories`` (n,) of 1 to 4 and whose each slice is.

    The penalty is chosen by cross-validation in which no patient is on both sides: slices of one patient are nearly the
    same picture, and a split by slice would reward learning patients by heart. Raises UsageError when there are fewer
    patients than folds, or no feature helps.
    """
    if len(set(patients)) < FOLDS:
        raise UsageError(f"the Rad-score needs at least {FOLDS} patients, not {len(set(patients))}")
    sd = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    splits = list(GroupKFold(n_splits=FOLDS).split(standard, categories, groups=list(patients)))
    model = LassoCV(eps=_SMALLEST_PENALTY, alphas=PENALTIES, cv=splits, max_iter=_MOST_PASSES, random_state=0)
    model.fit(standard, categories.astype(np.float64))
    if not model.coef_.any():
        raise UsageError("no feature carries the T category: the LASSO chose none")
    return RadScore.standardised(model.coef_, features)
