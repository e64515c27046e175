"""Decisions: net benefit by its formula, and GTRNet's printed consequences from the counts that give them."""

import numpy as np
import pytest

from models.evaluation.decision import THRESHOLDS, consequences, decision_curve
from models.evaluation.resampling import Resamples
from tests.unit.models.evaluation.references import alone, table

CASES = table("cases.csv")
TRUTH, PROBABILITIES = CASES["truth"] == 1, CASES["probability"]
RESAMPLES = Resamples.of(alone(len(TRUTH)), 200)


def calls(positives: int, cases: int, missed: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and calls with these counts."""
    truth = np.arange(cases) < positives
    called = truth.copy()
    called[:missed] = False
    called[positives : positives + wrong] = True
    return truth, called


@pytest.mark.parametrize(
    ("missed", "wrong", "over", "under", "needed"),
    [pytest.param(6, 5, 2.09, 2.51, 2.19, id="model"), pytest.param(42, 31, 12.97, 17.57, 5.09, id="EUS")],
)
def test_gtrnets_printed_consequences_follow_from_counts(
    missed: int, wrong: int, over: float, under: float, needed: float
) -> None:
    """Of 239 cases with 120 of T3 and T4: over- and under-treatment in per cent, and the number needed to treat."""
    truth, called = calls(120, 239, missed, wrong)
    found = consequences("x", truth, called, Resamples.of(alone(239), 300))
    assert found.over_treatment.value is not None
    assert found.under_treatment.value is not None
    assert found.number_needed_to_treat.value is not None
    # 31 of 239 is 12.9707 %, 42 of 239 is 17.5732 %.
    assert 100 * found.over_treatment.value == pytest.approx(over, abs=0.005)
    assert 100 * found.under_treatment.value == pytest.approx(under, abs=0.005)
    assert found.number_needed_to_treat.value == pytest.approx(needed, abs=0.005)


def test_net_benefit_is_the_formula() -> None:
    """At each threshold: right calls less wrong ones at the threshold's odds, a case."""
    found = decision_curve(TRUTH, PROBABILITIES, {}, RESAMPLES)
    for threshold, benefit, everyone in zip(THRESHOLDS, found.model.benefit, found.everyone.benefit, strict=True):
        called = threshold <= PROBABILITIES
        odds = threshold / (1 - threshold)
        assert benefit == pytest.approx((called & TRUTH).mean() - odds * (called & ~TRUTH).mean())
        assert everyone == pytest.approx(TRUTH.mean() - odds * (1 - TRUTH.mean()))


def test_a_reader_is_a_line_of_their_own() -> None:
    """A perfect one gains the prevalence at every threshold, and the model is then never the best."""
    found = decision_curve(TRUTH, PROBABILITIES, {"EUS": TRUTH}, RESAMPLES)
    assert found.readers[0].name == "EUS"
    assert found.readers[0].benefit == pytest.approx([TRUTH.mean()] * len(THRESHOLDS))
    assert found.useful_between() is None
    alone_found = decision_curve(TRUTH, PROBABILITIES, {}, RESAMPLES).useful_between()
    assert alone_found is not None
    assert alone_found[0] < 0.4 < alone_found[1]


def test_lines_have_intervals() -> None:
    """That hold them."""
    line = decision_curve(TRUTH, PROBABILITIES, {}, RESAMPLES).model
    assert all(
        low is not None and high is not None and low <= value <= high
        for low, value, high in zip(line.low, line.benefit, line.high, strict=True)
    )


def test_without_net_benefit_there_is_no_number_to_treat() -> None:
    """And where the benefit may be 0 it has no upper end."""
    truth, called = calls(10, 50, 8, 8)
    assert consequences("x", truth, called, Resamples.of(alone(50), 100)).number_needed_to_treat.value is None
    truth, called = calls(10, 50, 6, 3)
    doubtful = consequences("x", truth, called, Resamples.of(alone(50), 400)).number_needed_to_treat
    assert doubtful.value == pytest.approx(50)
    assert doubtful.high is None
