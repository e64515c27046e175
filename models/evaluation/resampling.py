"""The bootstrap, as one matrix of how often each case was drawn: a measure of all draws is a product with it.

Whole patients are drawn with replacement, so that several images of one patient stay together (Field & Welsh 2007);
with one case a patient this is the ordinary bootstrap of Efron. Seeded: a cohort and a seed give the same intervals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.evaluation.estimate import TAILS, Estimate, Floats, Ints, Source

DRAWS: Final = 2000
_BLOCK_CELLS: Final = 4_000_000
"""Draws times cases that are held as floats at once: 32 MB."""
_LEAST_SHARE: Final = 0.9
"""Of the draws must have the measure; with fewer, an interval of the rest would flatter."""
_NO_INTERVAL: Final = "too few cases: many draws have no value"
_ENDS: Final = (0.0, 1.0)
_AT_AN_END: Final = "the same in every draw: no interval follows"

Measure = Callable[[Floats], Floats]
"""From weights (draws, cases) to values (draws,) or (draws, measures); NaN where a draw has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Draws of a cohort with replacement."""

    counts: NDArray[np.uint16]
    """(draws, cases): how often each was drawn."""
    seed: int
    patients: int

    @classmethod
    def of(cls, groups: Ints, draws: int = DRAWS, seed: int = 0) -> Self:
        """``draws`` of the patients of ``groups`` (cases,), numbered from 0 without gaps."""
        patients = int(groups.max()) + 1
        generator = np.random.default_rng(seed)
        counts = np.empty((draws, patients), dtype=np.uint16)
        for draw in range(draws):
            counts[draw] = np.bincount(generator.integers(0, patients, patients), minlength=patients)
        return cls(counts[:, groups], seed, patients)

    @property
    def draws(self) -> int:
        """How many there are."""
        return len(self.counts)

    def blocks(self) -> Iterator[Floats]:
        """The weights, a few draws at a time."""
        step = max(1, _BLOCK_CELLS // max(1, self.counts.shape[1]))
        for start in range(0, self.draws, step):
            yield self.counts[start : start + step].astype(np.float64)

    def sums(self, columns: Floats) -> Floats:
        """(draws, k): the sum of each of ``columns`` (cases, k) in each draw."""
        return np.concatenate([weights @ columns for weights in self.blocks()])

    def values(self, measure: Measure) -> Floats:
        """The measure in each draw."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([measure(weights) for weights in self.blocks()])


def percentiles(values: Floats) -> tuple[float | None, float | None]:
    """The interval between the tails of the draws' ``values`` (draws,); None when too many draws have no value.

    The k-th of B draws stands for k / (B + 1) (Weibull): NumPy's default makes an interval of few draws too narrow.
    """
    known = values[np.isfinite(values)]
    if len(known) < _LEAST_SHARE * len(values):
        return None, None
    low, high = np.quantile(known, TAILS, method="weibull")
    return float(low), float(high)


def bootstrapped(value: float | None, values: Floats, cases: int, source: Source, note: str = "") -> Estimate:
    """The estimate ``value`` with the percentile interval of its draws.

    None where a value is 0 or 1 and every draw's is: cases drawn again hold no error that the cohort had not, so that
    the interval would have no width, however few the cases.
    """
    low, high = (None, None) if value is None else percentiles(values)
    if low is None:
        return Estimate(value, None, None, cases, "", source, note or _NO_INTERVAL)
    if value in _ENDS and low == high == value:
        return Estimate(value, None, None, cases, "", source, _AT_AN_END)
    return Estimate(value, low, high, cases, f"bootstrap percentile, {len(values)} draws", source, note)
