"""Rates: shares with their intervals, and how probabilities fare against what came true. Standard library alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

LEVEL: Final = 0.95
_BINS: Final = 5


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of a whole with its interval."""

    part: int
    whole: int

    @property
    def share(self) -> float:
        """The part of the whole; ``whole`` is not 0."""
        return self.part / self.whole

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at 95 % (Wilson 1927; Brown, Cai & DasGupta, Stat Sci 2001)."""
        z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
        share, weight = self.share, z * z / self.whole
        middle = (share + weight / 2) / (1 + weight)
        half = z * math.sqrt(share * (1 - share) / self.whole + weight / (4 * self.whole)) / (1 + weight)
        # At the ends the formula gives 0 and 1 but for rounding.
        return (0.0 if not self.part else middle - half, 1.0 if self.part == self.whole else middle + half)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Results of one range of probabilities: what was said, and what came true."""

    low: float
    high: float
    said: float
    """The mean probability."""
    came: Rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """How probabilities fared against outcomes."""

    ranges: tuple[Reliability, ...]
    """Those that hold results."""
    brier: float
    """The mean squared difference, in [0, 1] (Brier 1950)."""
    observed: int
    expected: float
    """The sum of the probabilities: what would have been observed on average were they right."""

    @property
    def ratio(self) -> float | None:
        """Observed to expected; None where nothing was expected."""
        return self.observed / self.expected if self.expected else None


def calibration(probabilities: Sequence[float], came_true: Sequence[bool], bins: int = _BINS) -> Calibration | None:
    """The calibration in equally wide ranges; None of nothing."""
    if len(probabilities) != len(came_true):
        raise ValueError("there is one outcome for each probability")
    if not probabilities:
        return None
    pairs = list(zip(probabilities, came_true, strict=True))
    ranges = []
    for number in range(bins):
        inside = [pair for pair in pairs if min(int(pair[0] * bins), bins - 1) == number]
        if inside:
            said = math.fsum(pair[0] for pair in inside) / len(inside)
            came = Rate(sum(pair[1] for pair in inside), len(inside))
            ranges.append(Reliability(number / bins, (number + 1) / bins, said, came))
    brier = math.fsum((probability - outcome) ** 2 for probability, outcome in pairs) / len(pairs)
    return Calibration(tuple(ranges), brier, sum(came_true), math.fsum(probabilities))
