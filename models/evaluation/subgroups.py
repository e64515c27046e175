"""The same measures for parts of a cohort: by centre, scanner, sex, age and slice thickness.

Many small groups are looked at, so that one of them will look odd by chance: the test over all values of a descriptor
(Cochran's Q on the logits of the areas) stands beside them.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import chi2

from models.evaluation.classification import ClassFigures, figures
from models.evaluation.cohort import Cohort
from models.evaluation.estimate import Estimate, Z
from models.evaluation.resampling import Resamples

UNKNOWN: Final = "unknown"
DRAWS: Final = 500
"""F1 and the interval over patients alone need draws; a table of many groups needs no finer tails."""
_FEWEST: Final = 2
_BAND: Final = re.compile(r"(?:≥ )?(\d+(?:\.\d+)?)(?= |$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The cases of one value of a descriptor."""

    value: str
    cases: int
    positive: ClassFigures
    """The positive classes against the rest."""


@dataclass(frozen=True, slots=True)
class Subgroups:
    """A descriptor's values."""

    descriptor: str
    groups: tuple[Subgroup, ...]
    heterogeneity_p: float | None
    """Of the areas being one; None where fewer than two groups have an interval."""


def by_descriptor(cohort: Cohort, variant: str, first_positive: int, seed: int) -> tuple[Subgroups, ...]:
    """The table for one variant, with the classes from ``first_positive`` on against those before."""
    return tuple(_of(cohort, name, variant, first_positive, seed) for name in cohort.descriptors)


def heterogeneity(estimates: list[Estimate]) -> float | None:
    """Cochran's Q over areas that have intervals on the logit scale."""
    known = [
        (one.value, one.low, one.high)
        for one in estimates
        if one.value and one.low and one.high and one.high < 1  # 0 and 1, where rounding leads, have no logit
    ]
    if len(known) < _FEWEST:
        return None
    logits = np.array([[math.log(end / (1 - end)) for end in one] for one in known])
    weights = (2 * Z / (logits[:, 2] - logits[:, 1])) ** 2
    mean = (weights * logits[:, 0]).sum() / weights.sum()
    return float(chi2.sf((weights * (logits[:, 0] - mean) ** 2).sum(), len(known) - 1))


def _of(cohort: Cohort, descriptor: str, variant: str, first_positive: int, seed: int) -> Subgroups:
    values = np.array([value or UNKNOWN for value in cohort.descriptors[descriptor]])
    groups = tuple(
        _group(str(value), cohort.take(values == value), variant, first_positive, seed)
        for value in dict.fromkeys(sorted(values, key=_order))
    )
    areas = [group.positive.auc for group in groups if group.value != UNKNOWN]
    return Subgroups(descriptor, groups, heterogeneity(areas))


def _group(value: str, part: Cohort, variant: str, first_positive: int, seed: int) -> Subgroup:
    two = part.dichotomised(first_positive)
    here = two.variant(variant)
    resamples = Resamples.of(two.groups, DRAWS, seed)
    found = figures(two.labels, here.probabilities, here.called, two.classes, two.groups, resamples)
    return Subgroup(value, found.cases, found.classes[1])


def _order(value: str) -> tuple[bool, float, str]:
    """Bands by their lower end, words by the alphabet, the unknown last."""
    begins = _BAND.match(value)
    return value == UNKNOWN, float(begins[1]) if begins else -math.inf, value
