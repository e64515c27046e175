"""How many cases a study needs: for an interval of a given width, or for a difference to be seen.

Each answer is the least number that the formula allows, rounded up, before any loss to follow-up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from models.evaluation.estimate import LEVEL, Source, Z
from node.errors import UsageError

POWER: Final = 0.8
_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A number of cases and what it was asked for."""

    asked: str
    cases: int
    events: int | None
    """That must be among them; None where none are counted."""
    source: Source
    formula: str


def share_cases(expected: float, width: float) -> int:
    """Cases for Wilson's interval of a share ``expected`` to be at most ``width`` wide."""
    _inside(expected=expected, width=width)

    def wide(cases: int) -> float:
        low, high = proportion_confint(expected * cases, cases, alpha=1 - LEVEL, method="wilson")
        return float(high - low)

    return _least(wide, width)


def plan_sensitivity(expected: float, width: float, prevalence: float) -> Plan:
    """For an expected sensitivity."""
    _inside(prevalence=prevalence)
    positives = share_cases(expected, width)
    asked = f"sensitivity {expected:g}, interval {width:g} wide, prevalence {prevalence:g}"
    return Plan(asked, math.ceil(positives / prevalence), positives, Source.STATSMODELS, "Wilson")


def plan_specificity(expected: float, width: float, prevalence: float) -> Plan:
    """For an expected specificity."""
    _inside(prevalence=prevalence)
    asked = f"specificity {expected:g}, interval {width:g} wide, prevalence {prevalence:g}"
    cases = math.ceil(share_cases(expected, width) / (1 - prevalence))
    return Plan(asked, cases, math.ceil(cases * prevalence), Source.STATSMODELS, "Wilson")


def area_variance(area: float, positives: float, negatives: float) -> float:
    """Of an area under a ROC curve, expected (Hanley & McNeil, Radiology 1982)."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    return (area * (1 - area) + spread) / (positives * negatives)


def plan_area(expected: float, width: float, prevalence: float) -> Plan:
    """For an expected AUC."""
    _inside(expected=expected, width=width, prevalence=prevalence)

    def wide(cases: int) -> float:
        variance = area_variance(expected, max(cases * prevalence, 1), max(cases * (1 - prevalence), 1))
        return 2 * Z * math.sqrt(variance)

    cases = _least(wide, width)
    asked = f"AUC {expected:g}, interval {width:g} wide, prevalence {prevalence:g}"
    return Plan(asked, cases, math.ceil(cases * prevalence), Source.OWN, "Hanley & McNeil 1982")


def plan_area_difference(
    first: float, second: float, prevalence: float, correlation: float, power: float = POWER
) -> Plan:
    """For two AUCs on the same cases, whose estimates correlate so, to differ at 5 % (Hanley & McNeil 1983)."""
    _inside(first=first, second=second, prevalence=prevalence, power=power)
    if first == second or not 0 <= correlation < 1:
        raise UsageError("the AUCs must differ, and their correlation lie in [0, 1)")
    needed = Z + float(norm.ppf(power))

    def excess(cases: int) -> float:
        ends = max(cases * prevalence, 1), max(cases * (1 - prevalence), 1)
        one, other = area_variance(first, *ends), area_variance(second, *ends)
        return needed * math.sqrt(one + other - 2 * correlation * math.sqrt(one * other))

    cases = _least(excess, abs(first - second))
    asked = f"AUC {first:g} against {second:g}, correlation {correlation:g}, power {power:g}, prevalence {prevalence:g}"
    return Plan(asked, cases, math.ceil(cases * prevalence), Source.OWN, "Hanley & McNeil 1983")


def plan_survival(hazard_ratio: float, high_share: float, event_share: float, power: float = POWER) -> Plan:
    """For a log-rank test of two groups to show a hazard ratio at 5 % (Schoenfeld, Biometrics 1983)."""
    _inside(high_share=high_share, power=power)
    if hazard_ratio <= 0 or hazard_ratio == 1 or not 0 < event_share <= 1:
        raise UsageError("the hazard ratio must be above 0 and not 1, the share with the event in (0, 1]")
    events = (Z + float(norm.ppf(power))) ** 2 / (high_share * (1 - high_share) * math.log(hazard_ratio) ** 2)
    asked = f"hazard ratio {hazard_ratio:g}, {high_share:g} in the high group, power {power:g}"
    return Plan(asked, math.ceil(events / event_share), math.ceil(events), Source.OWN, "Schoenfeld 1983")


def plan_calibration(prevalence: float, width: float) -> Plan:
    """For the interval of observed over expected, about 1, to be ``width`` wide (Riley et al., Stat Med 2021)."""
    _inside(prevalence=prevalence)
    if width <= 0:
        raise UsageError("width must be above 0")
    # The interval is made on the log scale and runs from exp(-x) to exp(x).
    reach = math.asinh(width / 2)
    cases = math.ceil((1 - prevalence) / (prevalence * (reach / Z) ** 2))
    asked = f"observed over expected 1, interval {width:g} wide, prevalence {prevalence:g}"
    return Plan(asked, cases, math.ceil(cases * prevalence), Source.OWN, "Riley 2021")


def _least(wide: Callable[[int], float], width: float) -> int:
    """The least number of cases with which ``wide``, which falls with it, is at most ``width``."""
    low, high = 1, 2
    while wide(high) > width:
        low, high = high, 2 * high
        if high > _MOST:
            raise UsageError(f"more than {_MOST} cases: nobody has them")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) > width else (low, middle)
    return high


def _inside(**shares: float) -> None:
    """Raise UsageError naming the first that is not between 0 and 1."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise UsageError(f"{name.replace('_', ' ')} must lie between 0 and 1, not {value:g}")
