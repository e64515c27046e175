"""A site's own intercepts for GTRNet's nomogram; its odds ratios stay those of the published table.

The published intercepts fit centred covariates of another case mix. Three numbers can be fitted on a cohort that would
be too small for a model of its own. The likelihood is that of proportional odds with a known offset, concave in the
intercepts (Pratt 1981), so that SciPy's optimiser is enough and no statistics package is needed.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from models.predictors.nomogram import Thresholds
from node.errors import UsageError

CATEGORIES: Final = 4
FEWEST_A_CATEGORY: Final = 5
_TINY: Final = 1e-12
_FLAT: Final = 1e-3
"""The largest slope of the mean log-likelihood at which the fit counts as found."""


def fit_thresholds(etas: npt.NDArray[np.float64], categories: npt.NDArray[np.int64]) -> Thresholds:
    """The intercepts of highest likelihood for the sums of terms ``etas`` (n,) and T ``categories`` (n,) of 1 to 4.

    Raises UsageError when a category has fewer than ``FEWEST_A_CATEGORY`` patients, or no optimum is found.
    """
    counts = np.bincount(categories, minlength=CATEGORIES + 1)[1:]
    if counts.size != CATEGORIES or counts.min() < FEWEST_A_CATEGORY:
        raise UsageError(f"recalibration needs {FEWEST_A_CATEGORY} patients in each of T1 to T4, not {counts.tolist()}")
    shares = np.cumsum(counts)[:-1] / counts.sum()
    start = np.log(shares / (1.0 - shares)) + etas.mean()
    # The first threshold and the logarithms of the gaps: whatever the optimiser tries, the thresholds ascend.
    found = minimize(_loss, np.concatenate((start[:1], np.log(np.diff(start)))), args=(etas, categories), method="BFGS")
    if not np.abs(found.jac).max() < _FLAT:
        raise UsageError(f"the intercepts cannot be fitted: {found.message}")
    first, second, third = _ascending(found.x)
    return float(first), float(second), float(third)


def _ascending(parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The thresholds that the optimiser's parameters stand for."""
    thresholds: npt.NDArray[np.float64] = np.cumsum(np.concatenate((parameters[:1], np.exp(parameters[1:]))))
    return thresholds


def _loss(
    parameters: npt.NDArray[np.float64], etas: npt.NDArray[np.float64], categories: npt.NDArray[np.int64]
) -> float:
    """The negative mean log-likelihood."""
    below = expit(_ascending(parameters)[:, None] - etas)
    ends = np.concatenate((np.zeros((1, etas.size)), below, np.ones((1, etas.size))))
    patients = np.arange(etas.size)
    likelihood = ends[categories, patients] - ends[categories - 1, patients]
    return -float(np.log(np.maximum(likelihood, _TINY)).mean())
