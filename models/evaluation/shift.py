"""Whether one centre's cases are unlike the others': in what was predicted, in age, in slice thickness.

Two-sample Kolmogorov-Smirnov tests (SciPy) of each centre against all others, corrected for their number by Holm's
method, beside the population stability index over tenths of the others. What has shifted may still be
predicted rightly: the subgroup table says that. What has not may be predicted wrongly all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from models.evaluation.cohort import Cohort
from models.evaluation.estimate import Floats
from models.evaluation.holm import holm
from node.domain.centres import farthest_first
from node.domain.drift import LARGE_PSI, psi_of_numbers

CENTRE: Final = "centre"
FEWEST: Final = 10
"""Cases on either side: with fewer nothing is said."""
LEVEL: Final = 0.05

Words = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Shift:
    """One quantity at one centre against the others."""

    centre: str
    quantity: str
    cases: int
    others: int
    median: float
    median_of_others: float
    psi: float
    distance: float
    """Of Kolmogorov and Smirnov."""
    p: float
    """Corrected for all tests of the table."""

    @property
    def is_shifted(self) -> bool:
        """Whether it is both beyond chance and large."""
        return self.p < LEVEL and self.psi > LARGE_PSI


def shifts(cohort: Cohort) -> tuple[Shift, ...]:
    """Every quantity at every centre that has enough cases; empty without two centres.

    The centre farthest from the others is looked for first; the rest are then compared without it, so that one strange
    centre does not make all others look strange.
    """
    centres = np.array(cohort.descriptors.get(CENTRE, ("",) * len(cohort.cases)))
    found = [compared for name, values in _quantities(cohort).items() for compared in _compared(name, values, centres)]
    corrected = holm([one.p for one in found])
    return tuple(replace(one, p=p) for one, p in zip(found, corrected, strict=True))


def _compared(name: str, values: Floats, centres: Words) -> list[Shift]:
    """One quantity at each centre; p is not corrected yet."""
    found = farthest_first(
        centres.tolist(),
        lambda centre, left: _one(name, centre, values, centres, left),
        lambda one: one.is_shifted,
        lambda one: one.psi,
    )
    return [one for _, one in found]


def _one(name: str, centre: str, values: Floats, centres: Words, left: Sequence[str]) -> Shift | None:
    """One centre against the others that are ``left``; None where there are too few cases."""
    known = np.isfinite(values)
    here = values[known & (centres == centre)]
    there = values[known & (centres != centre) & np.isin(centres, left)]
    if min(len(here), len(there)) < FEWEST:
        return None
    test = ks_2samp(here, there)
    return Shift(
        centre=centre,
        quantity=name,
        cases=len(here),
        others=len(there),
        median=float(np.median(here)),
        median_of_others=float(np.median(there)),
        psi=psi_of_numbers(there.tolist(), here.tolist()),
        distance=float(test.statistic),
        p=float(test.pvalue),
    )


def _quantities(cohort: Cohort) -> dict[str, Floats]:
    """Name to a number a case: each variant's probability of the last class, covariates, what the images are like."""
    last = cohort.classes[-1]
    said = {f"probability of {last}, {one.name}": one.probabilities[:, -1] for one in cohort.variants}
    return said | dict(cohort.covariates) | {f"input {name}": values for name, values in cohort.inputs.items()}
