"""A figure with its interval, how many cases it rests on, and where it comes from: what every measure here is.

What has no meaning is None, never zero. Intervals are two-sided at ``LEVEL``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVEL: Final = 0.95
TAILS: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
Z: Final = 1.959963984540054
"""The normal quantile of the upper tail."""


class Source(StrEnum):
    """Which library computes a figure; ``OWN`` where the field has no maintained Python one, with its paper cited."""

    SKLEARN = "scikit-learn"
    STATSMODELS = "statsmodels"
    LIFELINES = "lifelines"
    SCIPY = "scipy"
    NUMPY = "numpy"
    OWN = "celadon"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure of a cohort."""

    value: float | None
    low: float | None
    high: float | None
    cases: int
    """What it was counted on: of a sensitivity, the cases of that class."""
    interval: str
    """How the interval was made; empty when there is none."""
    source: Source
    note: str = ""
    """What a reader must know before quoting it."""

    @property
    def width(self) -> float | None:
        """Of the interval."""
        return None if self.low is None or self.high is None else self.high - self.low

    def text(self, digits: int = 3) -> str:
        """As a paper prints it: ``0.905 (0.861-0.942)``; a dash where there is nothing to say."""
        if self.value is None:
            return "\N{EN DASH}"
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}\N{EN DASH}{self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """A chi-square test."""

    statistic: float | None
    degrees: int
    p: float | None
    note: str = ""


def nothing(source: Source, note: str, cases: int = 0) -> Estimate:
    """An estimate of what cannot be said, with the reason."""
    return Estimate(None, None, None, cases, "", source, note)


def versions(sources: Iterable[Source]) -> dict[str, str]:
    """The installed version of each library."""
    return {source.value: metadata.version(source.value) for source in sorted(set(sources))}
