"""How far measurements by several observers, or by one observer twice, agree: intraclass correlation.

No maintained Python library under a permissive licence has it; the forms and intervals are those of McGraw & Wong
(Psychol Methods 1996), of a two-way layout without missing cells.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import f as f_distribution

from models.evaluation.estimate import TAILS, Estimate, Floats, Source
from node.errors import UsageError

_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of single measurements of the same targets."""

    absolute: Estimate
    """ICC(A,1), Shrout & Fleiss' ICC(2,1): observers are drawn from many, and their offsets count. Inter-observer."""
    consistency: Estimate
    """ICC(C,1), Shrout & Fleiss' ICC(3,1): a constant offset does not count. Intra-observer."""


@dataclass(frozen=True, slots=True)
class _Squares:
    """The mean squares of the two-way analysis of variance."""

    targets: float
    observers: float
    error: float


def agreement(measurements: Floats) -> Agreement:
    """The correlations of ``measurements`` (targets, observers); UsageError when some are missing or too few."""
    if measurements.ndim != _FEWEST or min(measurements.shape) < _FEWEST or not np.isfinite(measurements).all():
        raise UsageError("agreement needs two or more targets, each measured by the same two or more observers")
    squares = _squares(measurements)
    if squares.targets + squares.error == 0:
        raise UsageError("all measurements are the same: agreement has no meaning")
    return Agreement(_absolute(squares, *measurements.shape), _consistency(squares, *measurements.shape))


def _squares(measurements: Floats) -> _Squares:
    targets, observers = measurements.shape
    mean = measurements.mean()
    of_targets = observers * ((measurements.mean(axis=1) - mean) ** 2).sum()
    of_observers = targets * ((measurements.mean(axis=0) - mean) ** 2).sum()
    rest = ((measurements - mean) ** 2).sum() - of_targets - of_observers
    return _Squares(
        float(of_targets / (targets - 1)),
        float(of_observers / (observers - 1)),
        float(max(rest, 0.0) / ((targets - 1) * (observers - 1))),
    )


def _consistency(squares: _Squares, n: int, k: int) -> Estimate:
    value = (squares.targets - squares.error) / (squares.targets + (k - 1) * squares.error)
    if squares.error == 0:
        return Estimate(value, None, None, n, "", Source.OWN, "no disagreement at all: no interval follows")
    ratio = squares.targets / squares.error
    degrees = (n - 1, (n - 1) * (k - 1))
    low = ratio / f_distribution.ppf(TAILS[1], *degrees)
    high = ratio * f_distribution.ppf(TAILS[1], *degrees[::-1])
    ends = [float((end - 1) / (end + k - 1)) for end in (low, high)]
    return Estimate(value, ends[0], ends[1], n, "F, McGraw & Wong", Source.OWN)


def _absolute(squares: _Squares, n: int, k: int) -> Estimate:
    between, observers, error = squares.targets, squares.observers, squares.error
    value = (between - error) / (between + (k - 1) * error + k * (observers - error) / n)
    if error == 0:
        return Estimate(value, None, None, n, "", Source.OWN, "no disagreement at all: no interval follows")
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    degrees = (a * observers + b * error) ** 2 / (
        (a * observers) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    lower = f_distribution.ppf(TAILS[1], n - 1, degrees)
    upper = f_distribution.ppf(TAILS[1], degrees, n - 1)
    rest = k * observers + (k * n - k - n) * error
    low = n * (between - lower * error) / (lower * rest + n * between)
    high = n * (upper * between - error) / (rest + n * upper * between)
    return Estimate(value, float(low), float(high), n, "F, McGraw & Wong", Source.OWN)
