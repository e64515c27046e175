"""Drift: how far numbers of today lie from those of a reference, by PSI and Kolmogorov-Smirnov.

Monitoring asks for hundreds of them at once, of thousands of numbers each: hence NumPy.

A reference is a histogram: it says as much of a cohort as a bundle may carry away, and nothing of one patient.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

LARGE_PSI: Final = 0.25
"""Above it much has moved, below 0.1 little (Siddiqi, Credit Risk Scorecards, 2006)."""
_PRIOR: Final = 0.5
"""Added to the count of every bin, so that an empty one has a logarithm (Krichevsky & Trofimov 1981)."""
_SMALLEST_TERM: Final = 1e-12
_TENTHS: Final = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often numbers fell between edges; those beyond the outer edges count in the outer bins."""

    edges: tuple[float, ...]
    """Ascending, one more than there are bins."""
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises ValueError: it is no histogram."""
        if len(self.counts) < 1 or len(self.edges) != len(self.counts) + 1:
            raise ValueError("a histogram has one edge more than bins, and at least one bin")
        if any(not math.isfinite(edge) for edge in self.edges):
            raise ValueError("edges are finite numbers")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges ascend")
        if min(self.counts) < 0 or not sum(self.counts):
            raise ValueError("counts are not negative, and not all zero")

    @classmethod
    def of(cls, values: Sequence[float], edges: Sequence[float]) -> Self:
        """The histogram of ``values``: bins hold their left edge, the last one its right edge too."""
        counts = [0] * (len(edges) - 1)
        for value in values:
            counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
        return cls(tuple(edges), tuple(counts))

    @property
    def total(self) -> int:
        """How many numbers there were."""
        return sum(self.counts)

    @property
    def shares(self) -> tuple[float, ...]:
        """The part of the whole in each bin."""
        return tuple(count / self.total for count in self.counts)


@dataclass(frozen=True, slots=True)
class Distance:
    """The largest distance of two distribution functions, and how probable one as large is without any drift."""

    statistic: float
    """In [0, 1]."""
    p_value: float


def psi(reference: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index of counts in the same bins: the sum of (q - p) ln(q / p), 0 where nothing moved.

    Shares are those of counts with a half added to each (Yurdakul 2018 on why an empty bin must not decide alone).
    """
    if len(reference) != len(now) or not reference:
        raise ValueError("both need counts in the same bins")
    bins = len(reference)
    before = [(count + _PRIOR) / (sum(reference) + _PRIOR * bins) for count in reference]
    after = [(count + _PRIOR) / (sum(now) + _PRIOR * bins) for count in now]
    return sum((q - p) * math.log(q / p) for p, q in zip(before, after, strict=True))


def psi_of_words(reference: Sequence[str], now: Sequence[str]) -> float:
    """The population stability index of words, each its own bin."""
    before, after = Counter(reference), Counter(now)
    words = sorted(before.keys() | after.keys())
    return psi([before[word] for word in words], [after[word] for word in words]) if words else 0.0


def psi_of_numbers(reference: Sequence[float], now: Sequence[float]) -> float:
    """The population stability index over tenths of the reference; neither is empty.

    A number that fills a tenth or more, as yes and no do, is a bin of its own.
    """
    ordered = sorted(reference)
    edges = [_between(ordered, tenth / _TENTHS) for tenth in range(_TENTHS + 1)]
    often = [edge for edge, times in Counter(edges).items() if times > 1]
    inner = sorted({*edges[1:-1], *often, *(math.nextafter(one, math.inf) for one in often)})
    binned = (np.searchsorted(inner, numbers, side="right") for numbers in (reference, now))
    before, after = (np.bincount(one, minlength=len(inner) + 1) for one in binned)
    # A bin that nobody is in, such as that between no and yes, says nothing.
    used = (before > 0) | (after > 0)
    return psi(before[used].tolist(), after[used].tolist())


def ks(first: Sequence[float], second: Sequence[float]) -> Distance:
    """The two-sample test of Kolmogorov and Smirnov; ties are honoured, the p-value is the asymptotic one."""
    if not first or not second:
        raise ValueError("both samples need numbers")
    places = np.concatenate((first, second))
    one, two = (np.searchsorted(np.sort(each), places, side="right") / len(each) for each in (first, second))
    gap = float(np.abs(one - two).max())
    return Distance(gap, _kolmogorov(gap, len(first), len(second)))


def ks_at_edges(reference: Histogram, values: Sequence[float]) -> Distance:
    """As ``ks`` where the reference is a histogram: looked at its inner edges alone, so never more than the true."""
    if not values:
        raise ValueError("the sample needs numbers")
    ordered, passed, gap = sorted(values), 0, 0.0
    for edge, count in zip(reference.edges[1:-1], reference.counts, strict=False):
        passed += count
        # A bin does not hold its right edge.
        gap = max(gap, abs(passed / reference.total - bisect_left(ordered, edge) / len(ordered)))
    return Distance(gap, _kolmogorov(gap, reference.total, len(ordered)))


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile of ``values``, which are not empty, by straight lines between neighbours (Hyndman & Fan type 7)."""
    return _between(sorted(values), share)


def _between(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def even_edges(values: Sequence[float], bins: int) -> tuple[float, ...]:
    """Edges of equally wide bins over all ``values``, which are not empty."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return (*(low + (high - low) * number / bins for number in range(bins)), high)


def new_words(reference: Mapping[str, int], now: Mapping[str, int]) -> tuple[str, ...]:
    """Words of now that the reference does not have, the most frequent first."""
    fresh = [word for word in now if not reference.get(word)]
    return tuple(sorted(fresh, key=lambda word: (-now[word], word)))


def _kolmogorov(gap: float, first: int, second: int) -> float:
    """P(D >= gap) by Kolmogorov's series with Stephens' correction for finite samples (1970)."""
    size = math.sqrt(first * second / (first + second))
    scaled = (size + 0.12 + 0.11 / size) * gap
    if scaled < 0.2:  # noqa: PLR2004 — below, the series is 1 to twelve digits and converges slowly
        return 1.0
    total, sign, number = 0.0, 1.0, 1
    while True:
        term = math.exp(-2.0 * (number * scaled) ** 2)
        total += sign * term
        if term < _SMALLEST_TERM:
            return min(1.0, max(0.0, 2.0 * total))
        sign, number = -sign, number + 1
