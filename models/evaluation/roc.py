"""Areas under ROC curves, their intervals and their comparison.

The covariance is that of DeLong, DeLong & Clarke-Pearson (Biometrics 1988) through midranks (Sun & Xu, IEEE SPL 2014),
in the form that keeps several cases of one patient together (Obuchowski, Biometrics 1997); with one case a patient the
two are the same. Intervals are made on the logit scale, so that they stay within 0 and 1 (Pepe 2003, 5.2.4).
DeLong's test is meant for models that are not nested in each other (Demler, Stat Med 2012).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score, roc_curve

from models.evaluation.estimate import Bools, Estimate, Floats, Ints, Source, Z, nothing
from models.evaluation.resampling import Resamples, bootstrapped

_ONE_KIND = "all cases are of one kind"


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """The areas of several scores on the same cases."""

    values: Floats
    """(k,)."""
    covariance: Floats
    """(k, k)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score's area against another's on the same cases."""

    first: str
    second: str
    difference: Estimate
    """First less second."""
    z: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A ROC curve from (0, 0) to (1, 1)."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


def areas(is_positive: Bools, scores: Floats, groups: Ints) -> Areas:
    """The areas of ``scores`` (n, k) for truth ``is_positive`` (n,), of patients ``groups`` (n,).

    Both kinds of case must be there.
    """
    positives, negatives = scores[is_positive], scores[~is_positive]
    m, n = len(positives), len(negatives)
    everyone = rankdata(scores, axis=0)
    of_positives = (everyone[is_positive] - rankdata(positives, axis=0)) / n
    of_negatives = 1 - (everyone[~is_positive] - rankdata(negatives, axis=0)) / m
    values = of_positives.mean(axis=0)
    first = _group_sums(of_positives - values, groups[is_positive], groups)
    second = _group_sums(of_negatives - values, groups[~is_positive], groups)
    of_first, of_second = _corrected(groups[is_positive]), _corrected(groups[~is_positive])
    both = _corrected(groups) * (first.T @ second + second.T @ first) / (m * n)
    return Areas(values, of_first * first.T @ first / m**2 + of_second * second.T @ second / n**2 + both)


def area(is_positive: Bools, scores: Floats, groups: Ints) -> Estimate:
    """The area of ``scores`` (n,) with DeLong's interval."""
    if is_positive.all() or not is_positive.any():
        return nothing(Source.SKLEARN, _ONE_KIND, len(scores))
    value = float(roc_auc_score(is_positive, scores))
    variance = float(areas(is_positive, scores[:, None], groups).covariance[0, 0])
    # NaN as well: of one patient of a kind nobody knows how much others would differ.
    if not 0 < value < 1 or not variance > 0:
        note = "perfect separation, or too few cases: no interval follows from DeLong's variance"
        return Estimate(value, None, None, len(scores), "", Source.SKLEARN, note)
    centre, reach = math.log(value / (1 - value)), Z * math.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-end)) for end in (centre - reach, centre + reach))
    return Estimate(value, low, high, len(scores), "DeLong, logit scale", Source.SKLEARN)


def bootstrapped_area(is_positive: Bools, scores: Floats, resamples: Resamples) -> Estimate:
    """The area of ``scores`` (n,) with the interval of its draws."""
    if is_positive.all() or not is_positive.any():
        return nothing(Source.SKLEARN, _ONE_KIND, len(scores))
    drawn = area_draws(is_positive, scores, resamples)
    return bootstrapped(float(roc_auc_score(is_positive, scores)), drawn, len(scores), Source.SKLEARN)


def area_draws(is_positive: Bools, scores: Floats, resamples: Resamples) -> Floats:
    """(draws,): the area in each draw, NaN where all cases drawn are of one kind."""
    order = np.argsort(scores, kind="stable")
    truth = is_positive[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))

    def measure(weights: Floats) -> Floats:
        weights = weights[:, order]
        positive = np.add.reduceat(weights * truth, starts, axis=1)
        negative = np.add.reduceat(weights * (1 - truth), starts, axis=1)
        won = (positive * (np.cumsum(negative, axis=1) - negative / 2)).sum(axis=1)
        result: Floats = won / (positive.sum(axis=1) * negative.sum(axis=1))
        return result

    return resamples.values(measure)


def compare(names: tuple[str, str], is_positive: Bools, scores: Floats, groups: Ints) -> Comparison:
    """DeLong's test of the two columns of ``scores`` (n, 2)."""
    if is_positive.all() or not is_positive.any():
        return Comparison(*names, nothing(Source.OWN, _ONE_KIND, len(scores)), None, None)
    found = areas(is_positive, scores, groups)
    difference = float(found.values[0] - found.values[1])
    contrast = np.array([1.0, -1.0])
    variance = float(contrast @ found.covariance @ contrast)
    if not variance > 0:
        note = "the two order every pair of cases alike" if difference == 0 else "too few cases: no test"
        return Comparison(*names, Estimate(difference, None, None, len(scores), "", Source.OWN, note), None, None)
    error = math.sqrt(variance)
    z = difference / error
    reach = Z * error
    estimate = Estimate(difference, difference - reach, difference + reach, len(scores), "DeLong", Source.OWN)
    return Comparison(*names, estimate, z, float(2 * norm.sf(abs(z))))


def curve(is_positive: Bools, scores: Floats) -> Curve:
    """The ROC curve of ``scores`` (n,); both kinds of case must be there."""
    false, true, _ = roc_curve(is_positive, scores)
    return Curve(tuple(map(float, false)), tuple(map(float, true)))


def _group_sums(components: Floats, groups: Ints, everyone: Ints) -> Floats:
    """(patients, k): the sum of each patient's components."""
    sums = np.zeros((int(everyone.max()) + 1, components.shape[1]))
    np.add.at(sums, groups, components)
    return sums


def _corrected(groups: Ints) -> float:
    """Obuchowski's correction for estimating a variance from that many patients; NaN of one, who has none."""
    patients = len(np.unique(groups))
    return patients / (patients - 1) if patients > 1 else math.nan
