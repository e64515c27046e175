"""Proportional odds fitted to a table of cases: what GTRNet's nomogram is, refitted.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), Table 3. P(T <= k) = sigmoid(threshold_k - sum of coefficient times
covariate), by statsmodels' ``OrderedModel``. A refit says how these cases lie; it validates nothing published.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from statsmodels.miscmodels.ordinal_model import OrderedModel

from models.evaluation.estimate import Estimate, Floats, Ints, Source
from node.errors import UsageError


@dataclass(frozen=True, slots=True)
class OddsTerm:
    """One covariate."""

    name: str
    coefficient: float
    error: float
    """Standard error, as if every row were another patient."""
    odds_ratio: Estimate
    p: float


@dataclass(frozen=True, slots=True)
class ProportionalOdds:
    """A fitted model."""

    cases: int
    terms: tuple[OddsTerm, ...]
    thresholds: tuple[float, ...]
    """Ascending, one fewer than there are classes."""


def fit(covariates: Mapping[str, Floats], labels: Ints) -> ProportionalOdds:
    """The model of ``labels`` (n,) from 0 on ``covariates`` (n,); UsageError when it cannot be fitted."""
    constant = [name for name, values in covariates.items() if len(np.unique(values)) == 1]
    if constant or not covariates:
        raise UsageError(f"{constant[0]} is the same in all cases" if constant else "there is no covariate")
    design = np.column_stack(list(covariates.values()))
    model = OrderedModel(labels, design, distr="logit")
    found = model.fit(method="bfgs", disp=False, maxiter=500, gtol=1e-7)
    if not found.mle_retvals["converged"]:
        raise UsageError("the proportional-odds model does not converge")
    number = len(covariates)
    with np.errstate(over="ignore"):
        ratios, ends = np.exp(found.params[:number]), np.exp(found.conf_int()[:number])
    if not (np.isfinite(ratios).all() and np.isfinite(ends).all()):
        raise UsageError("the proportional-odds model has no end: a covariate separates the classes")
    terms = tuple(
        OddsTerm(
            name,
            float(found.params[index]),
            float(found.bse[index]),
            Estimate(
                float(ratios[index]),
                float(ends[index, 0]),
                float(ends[index, 1]),
                len(labels),
                "Wald",
                Source.STATSMODELS,
            ),
            float(found.pvalues[index]),
        )
        for index, name in enumerate(covariates)
    )
    # The first and last of the model's own are minus and plus infinity.
    thresholds = tuple(map(float, model.transform_threshold_params(found.params)[1:-1]))
    return ProportionalOdds(len(labels), terms, thresholds)
