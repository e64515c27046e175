"""Whether predicted probabilities are as large as what is observed: one class against the rest.

Slope and intercept as Cox (1958) and Van Calster et al. (BMC Med 2019) have them: the slope of a logistic regression on
the predicted logit, and calibration in the large with that logit as offset. ICI: the mean distance between prediction
and a lowess curve through the outcomes (Austin & Steyerberg, Stat Med 2019), with the smoother of R's ``rms::val.prob``
(span 2/3, no robustness step), where it is called Eavg. Hosmer-Lemeshow's test depends on its grouping and has little
power in small sets: it is given because papers give it.
"""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import statsmodels.api as sm
from scipy.stats import chi2
from sklearn.metrics import brier_score_loss
from statsmodels.nonparametric.smoothers_lowess import lowess
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from models.evaluation.estimate import Bools, ChiSquare, Estimate, Floats, Ints, Source, nothing
from models.evaluation.resampling import Resamples, bootstrapped

GROUPS: Final = 10
CURVE_POINTS: Final = 101
SPAN: Final = 2 / 3
_FEWEST: Final = 10
"""Of either kind: below, a regression line says nothing."""
_NEAREST: Final = 1e-6
"""Probabilities of 0 and 1 have no logit; they are brought this near."""
_SMOOTHED_DRAWS: Final = 500
"""A curve a draw is slow; its interval needs fewer draws than a tail does."""
_SCALED: Final = 0.01
"""Of the range of predictions: nearer points share a local line, R's default."""
_BIASED: Final = "never below 0, so its interval lies high where calibration is good"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How probabilities of one class stand to its frequency."""

    cases: int
    positives: int
    slope: Estimate
    """1 is right; below 1 the predictions are too extreme."""
    intercept: Estimate
    """Calibration in the large, in logits; 0 is right; above 0 the predictions are too low."""
    brier: Estimate
    brier_scaled: Estimate
    """1 less the Brier score over that of the prevalence: 1 is perfect, 0 knows nothing."""
    ici: Estimate
    hosmer_lemeshow: ChiSquare
    """Over groups of equal size."""
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    """The smoothed curve at ``predicted``."""
    binned: tuple[tuple[float, float, int], ...]
    """(mean prediction, share observed, cases) in groups of equal size."""


def calibrate(is_positive: Bools, probabilities: Floats, groups: Ints, resamples: Resamples) -> Calibration:
    """The calibration of ``probabilities`` (n,) for ``is_positive`` (n,), of patients ``groups`` (n,)."""
    outcome = is_positive.astype(np.float64)
    grid, smooth = smoothed(outcome, probabilities)
    slope, intercept = _lines(outcome, probabilities, groups)
    score, scaled = _brier(outcome, probabilities, resamples)
    return Calibration(
        cases=len(outcome),
        positives=int(outcome.sum()),
        slope=slope,
        intercept=intercept,
        brier=score,
        brier_scaled=scaled,
        ici=_ici(outcome, probabilities, resamples),
        hosmer_lemeshow=hosmer_lemeshow(is_positive, probabilities),
        predicted=tuple(map(float, grid)),
        observed=tuple(map(float, smooth)),
        binned=_binned(outcome, probabilities),
    )


def hosmer_lemeshow(is_positive: Bools, probabilities: Floats, groups: int = GROUPS) -> ChiSquare:
    """The test over ``groups`` groups; as many degrees of freedom, for the probabilities were not fitted here.

    Source: Hosmer, Lemeshow & Sturdivant (2013), 5.2.2; where a model is fitted on the same cases they are two fewer.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, groups) if len(part)]
    expected = np.array([probabilities[part].sum() for part in parts])
    observed = np.array([is_positive[part].sum() for part in parts])
    sizes = np.array([len(part) for part in parts])
    variance = expected * (1 - expected / sizes)
    if (variance <= 0).any():
        return ChiSquare(None, len(parts), None, "a group is predicted to be of one kind with certainty")
    statistic = float(((observed - expected) ** 2 / variance).sum())
    few = "" if (expected.min() >= 1 and (sizes - expected).min() >= 1) else "some groups expect less than one case"
    return ChiSquare(statistic, len(parts), float(chi2.sf(statistic, len(parts))), few)


def smoothed(outcome: Floats, probabilities: Floats) -> tuple[Floats, Floats]:
    """The lowess curve of ``outcome`` on a grid over the range of ``probabilities``."""
    grid = np.linspace(probabilities.min(), probabilities.max(), CURVE_POINTS)
    if np.ptp(probabilities) == 0:
        return grid[:1], np.array([outcome.mean()])
    at_cases = _smooth(outcome, probabilities)
    order = np.argsort(probabilities, kind="stable")
    return grid, np.clip(np.interp(grid, probabilities[order], at_cases[order]), 0, 1)


def _smooth(outcome: Floats, probabilities: Floats) -> Floats:
    """(n,): the lowess curve at each case."""
    step = _SCALED * float(np.ptp(probabilities))
    found: Floats = lowess(outcome, probabilities, frac=SPAN, it=0, delta=step, return_sorted=False)
    return found


def _lines(outcome: Floats, probabilities: Floats, groups: Ints) -> tuple[Estimate, Estimate]:
    """Slope, and intercept in the large."""
    cases, positives = len(outcome), int(outcome.sum())
    if min(positives, cases - positives) < _FEWEST:
        few = nothing(Source.STATSMODELS, f"fewer than {_FEWEST} cases of a kind", cases)
        return few, few
    near = np.clip(probabilities, _NEAREST, 1 - _NEAREST)
    logit = np.log(near / (1 - near))
    ones = np.ones((cases, 1))
    large = _fitted(outcome, ones, groups, cases, 0, offset=logit)
    if np.ptp(logit) == 0:
        return nothing(Source.STATSMODELS, "all predictions are the same", cases), large
    return _fitted(outcome, np.column_stack((ones, logit)), groups, cases, 1), large


def _fitted(
    outcome: Floats, design: Floats, groups: Ints, cases: int, which: int, offset: Floats | None = None
) -> Estimate:
    """One coefficient of a logistic regression; its interval holds patients together where they have several cases."""
    model = sm.GLM(outcome, design, family=sm.families.Binomial(), offset=offset)
    clustered = int(groups.max()) + 1 < cases
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PerfectSeparationWarning)
            fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups}) if clustered else model.fit()
    except PerfectSeparationWarning:
        return nothing(Source.STATSMODELS, "the predictions separate the kinds: the regression has no end", cases)
    low, high = fit.conf_int()[which]
    interval = "Wald, clustered by patient" if clustered else "Wald"
    if not fit.converged or not np.isfinite((low, high)).all():
        return nothing(Source.STATSMODELS, "the regression does not converge", cases)
    return Estimate(float(fit.params[which]), float(low), float(high), cases, interval, Source.STATSMODELS)


def _brier(outcome: Floats, probabilities: Floats, resamples: Resamples) -> tuple[Estimate, Estimate]:
    """The Brier score, and the same on the scale of the prevalence."""
    cases = len(outcome)
    value = float(brier_score_loss(outcome, probabilities))
    sums = resamples.sums(np.column_stack(((probabilities - outcome) ** 2, outcome, np.ones(cases))))
    drawn = sums[:, 0] / sums[:, 2]
    prevalence = float(outcome.mean())
    score = bootstrapped(value, drawn, cases, Source.SKLEARN)
    if prevalence in (0.0, 1.0):
        return score, nothing(Source.SKLEARN, "all cases are of one kind", cases)
    share = sums[:, 1] / sums[:, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = 1 - drawn / (share * (1 - share))
    return score, bootstrapped(1 - value / (prevalence * (1 - prevalence)), scaled, cases, Source.SKLEARN)


def _ici(outcome: Floats, probabilities: Floats, resamples: Resamples) -> Estimate:
    """The integrated calibration index."""
    cases = len(outcome)
    if np.ptp(probabilities) == 0:
        return nothing(Source.STATSMODELS, "all predictions are the same", cases)
    value = float(np.abs(_smooth(outcome, probabilities) - probabilities).mean())
    drawn = []
    for counts in resamples.counts[:_SMOOTHED_DRAWS]:
        rows = np.repeat(np.arange(cases), counts)
        drawn.append(np.abs(_smooth(outcome[rows], probabilities[rows]) - probabilities[rows]).mean())
    return bootstrapped(value, np.array(drawn), cases, Source.STATSMODELS, _BIASED)


def _binned(outcome: Floats, probabilities: Floats) -> tuple[tuple[float, float, int], ...]:
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, GROUPS) if len(part)]
    return tuple((float(probabilities[part].mean()), float(outcome[part].mean()), len(part)) for part in parts)
