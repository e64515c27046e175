"""Planning: the numbers asked for give the width or power, and one case fewer does not."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from models.evaluation.planning import (
    area_variance,
    plan_area,
    plan_area_difference,
    plan_calibration,
    plan_sensitivity,
    plan_specificity,
    plan_survival,
    share_cases,
)  # fmt: skip
from node.errors import UsageError


def test_a_share_gets_the_least_number_for_its_width() -> None:
    """One fewer, and Wilson's interval is wider."""
    cases = share_cases(0.85, 0.1)

    def width(number: int) -> float:
        low, high = proportion_confint(0.85 * number, number, method="wilson")
        return float(high - low)

    assert width(cases) <= 0.1 < width(cases - 1)


def test_prevalence_turns_positives_into_cases() -> None:
    """Sensitivity is counted on positives, specificity on the rest."""
    needed = share_cases(0.8, 0.15)
    found = plan_sensitivity(0.8, 0.15, 0.25)
    assert (found.events, found.cases) == (needed, 4 * needed)
    assert plan_specificity(0.8, 0.15, 0.25).cases == pytest.approx(needed / 0.75, abs=1)


def test_an_area_gets_the_least_number_for_its_width() -> None:
    """By Hanley & McNeil's variance, which for a score that knows nothing is Mann & Whitney's."""
    assert area_variance(0.5, 51, 58) == pytest.approx((51 + 58 + 1) / (12 * 51 * 58))
    found = plan_area(0.85, 0.1, 0.4)
    widths = [2 * 1.96 * np.sqrt(area_variance(0.85, 0.4 * n, 0.6 * n)) for n in (found.cases, found.cases - 1)]
    assert widths[0] == pytest.approx(0.1, abs=1e-3)
    assert widths[1] > widths[0]


def test_a_survival_difference_needs_schoenfelds_events() -> None:
    """Hazard ratio 2, equal groups, 80 %: 66 events."""
    found = plan_survival(2.0, 0.5, 0.6)
    assert (found.events, found.cases) == (66, 109)


def test_correlated_areas_need_fewer_cases() -> None:
    """What both models find hard cancels."""
    apart, together = (plan_area_difference(0.85, 0.90, 0.5, correlation).cases for correlation in (0.0, 0.6))
    assert together < apart / 2


def test_calibration_needs_rileys_number() -> None:
    """Half prevalence, observed over expected between about 0.9 and 1.1."""
    assert plan_calibration(0.5, 0.2).cases == pytest.approx(386, abs=2)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lambda: plan_area(1.2, 0.1, 0.5), "expected must lie"),
        (lambda: plan_sensitivity(0.9, 0.1, 0.0), "prevalence must lie"),
        (lambda: plan_survival(1.0, 0.5, 0.5), "hazard ratio"),
        (lambda: plan_area_difference(0.8, 0.8, 0.5, 0.5), "must differ"),
        (lambda: plan_calibration(0.5, 0.0), "width"),
        (lambda: share_cases(0.5, 1e-5), "nobody has them"),
    ],
)
def test_what_cannot_be_asked_is_named(asked: object, words: str) -> None:
    """As wrong usage."""
    with pytest.raises(UsageError, match=words):
        asked()  # type: ignore[operator]
