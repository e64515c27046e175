"""The cut of a marker that parts survival best: maximally selected rank statistics (Hothorn & Lausen, CSDA 2003).

What R's ``maxstat`` and, through it, ``survminer::surv_cutpoint`` compute, which PORCELAIN used
(doi 10.1038/s41746-025-02303-9, methods); no Python library has it. Low is up to the cut (<=), high above it. The best
of many cuts looks good by chance: its own p-value comes from permuting the outcomes, and a log-rank test of the two
groups on the same cases is not valid.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm, rankdata

from models.evaluation.estimate import Bools, Estimate, Floats, Ints, Source
from models.evaluation.resampling import Resamples, bootstrapped
from node.errors import UsageError

SMALLEST_SHARE: Final = 0.1
"""Of the cases must lie on either side: survminer's ``minprop``."""
PERMUTATIONS: Final = 2000
_BLOCK: Final = 250
_SMALLEST_STATISTIC: Final = 1.0
"""Below, Lausen & Schumacher's formula falls instead of rising; their p is 1 there, as ``maxstat`` has it."""


@dataclass(frozen=True, slots=True)
class CutPoint:
    """Where a marker parts survival best."""

    value: Estimate
    statistic: float
    """The largest standardised log-rank statistic."""
    p: float
    """Of as large a statistic when the marker says nothing, by permutation."""
    p_lausen_1992: float
    """The same by the improved Bonferroni-like formula of Lausen & Schumacher (Biometrics 1992)."""
    low: int
    high: int
    """Cases on either side."""


def cut_point(
    marker: Floats, months: Floats, events: Bools, resamples: Resamples, permutations: int = PERMUTATIONS
) -> CutPoint:
    """The cut of ``marker`` (n,).

    Raises UsageError when no cut leaves a tenth on either side, nobody had the event, or all had it at one time.
    """
    order = np.argsort(marker, kind="stable")
    sizes = _sizes(marker[order])
    if not len(sizes) or not events.any():
        raise UsageError("no cut leaves a tenth of the cases on either side, or nobody had the event")
    scores = log_rank_scores(months, events)[order]
    if np.ptp(scores) == 0:
        raise UsageError("all cases lived equally long: no cut parts them")
    statistics = _standardised(scores[None], sizes)[0]
    best = int(statistics.argmax())
    largest = float(statistics[best])
    drawn = _draws(marker, months, events, resamples)
    size = int(sizes[best])
    return CutPoint(
        value=bootstrapped(float(marker[order][size - 1]), drawn, len(marker), Source.OWN),
        statistic=largest,
        p=_permuted(scores, sizes, largest, permutations, resamples.seed),
        p_lausen_1992=_lausen(largest),
        low=size,
        high=len(marker) - size,
    )


def log_rank_scores(months: Floats, events: Bools) -> Floats:
    """(n,): the event less the hazard that each case had lived through."""
    ranks = rankdata(months, method="max").astype(np.int64)
    hazard = events / (len(months) - ranks + 1)
    through = np.cumsum(hazard[np.argsort(months, kind="stable")])
    scores: Floats = events - through[ranks - 1]
    return scores


def _sizes(ascending: Floats) -> Ints:
    """How many cases lie below each cut that may be chosen."""
    cases = len(ascending)
    sizes = np.flatnonzero(np.diff(ascending)) + 1
    least, most = max(1, int(np.floor(cases * SMALLEST_SHARE))), int(np.floor(cases * (1 - SMALLEST_SHARE)))
    chosen: Ints = sizes[(sizes >= least) & (sizes <= most)].astype(np.int64)
    return chosen


def _standardised(scores: Floats, sizes: Ints) -> Floats:
    """(rows, cuts): the statistic at each cut, for scores (rows, n) in the order of the marker."""
    cases = scores.shape[1]
    below = np.cumsum(scores, axis=1)[:, sizes - 1]
    total, squares = scores.sum(axis=1, keepdims=True), (scores**2).sum(axis=1, keepdims=True)
    variance = sizes * (cases - sizes) / (cases**2 * (cases - 1)) * (cases * squares - total**2)
    standardised: Floats = np.abs(below - sizes / cases * total) / np.sqrt(variance)
    return standardised


def _permuted(scores: Floats, sizes: Ints, largest: float, permutations: int, seed: int) -> float:
    """The share of permutations, the one seen among them, with as large a statistic (Phipson & Smyth 2010)."""
    generator = np.random.default_rng(seed)
    as_large = 1
    for start in range(0, permutations, _BLOCK):
        rows = np.tile(scores, (min(_BLOCK, permutations - start), 1))
        found = _standardised(generator.permuted(rows, axis=1), sizes).max(axis=1)
        as_large += int((found >= largest - 1e-12).sum())
    return as_large / (permutations + 1)


def _lausen(largest: float) -> float:
    if largest < _SMALLEST_STATISTIC:
        return 1.0
    density = float(norm.pdf(largest))
    odds = ((1 - SMALLEST_SHARE) / SMALLEST_SHARE) ** 2
    return min(1.0, max(0.0, 4 * density / largest + density * (largest - 1 / largest) * float(np.log(odds))))


def _draws(marker: Floats, months: Floats, events: Bools, resamples: Resamples) -> Floats:
    """(draws,): the cut chosen anew in each draw."""
    cuts = np.full(resamples.draws, np.nan)
    for draw, counts in enumerate(resamples.counts):
        rows = np.repeat(np.arange(len(marker)), counts)
        rows = rows[np.argsort(marker[rows], kind="stable")]
        sizes = _sizes(marker[rows])
        scores = log_rank_scores(months[rows], events[rows])
        if len(sizes) and np.ptp(scores) > 0:
            cuts[draw] = marker[rows][sizes[_standardised(scores[None], sizes)[0].argmax()] - 1]
    return cuts
