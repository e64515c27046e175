"""Survival: R's survival package agrees on curves, tests and models."""

import numpy as np
import pytest
from statsmodels.duration.hazard_regression import PHReg

from models.evaluation.survival import arms, cox, each_alone, log_rank
from tests.unit.models.evaluation.references import alone, said, table

R = said()["survival"]
PEOPLE = table("survivors.csv")
HIGH = PEOPLE["high"].astype(np.int64)
MONTHS, EVENTS = PEOPLE["months"], PEOPLE["event"] == 1
ALONE = alone(len(HIGH))


def test_curves_are_those_of_survfit() -> None:
    """Medians and shares at one and two years, with log-log intervals."""
    found = arms(("low", "high"), HIGH, MONTHS, EVENTS)
    assert [arm.median_months.value for arm in found] == R["median"]
    assert [arm.median_months.low for arm in found] == R["median_low"]
    assert [arm.median_months.high for arm in found] == R["median_high"]
    marks = [estimate for arm in found for months, estimate in arm.landmarks if months <= 24]
    assert [one.value for one in marks] == pytest.approx(R["at"], rel=1e-9)
    assert [one.low for one in marks] == pytest.approx(R["low"], rel=1e-6)
    assert [one.high for one in marks] == pytest.approx(R["high"], rel=1e-6)


def test_the_log_rank_test_is_that_of_survdiff() -> None:
    """With ties."""
    found = log_rank(HIGH, MONTHS, EVENTS)
    assert found.statistic == pytest.approx(R["log_rank"], rel=1e-9)
    assert found.degrees == 1


def test_cox_is_that_of_coxph() -> None:
    """Efron's ties: ratios, intervals, p and concordance."""
    found = cox({"high": HIGH.astype(float), "age": PEOPLE["age"]}, MONTHS, EVENTS, ALONE)
    assert [term.hazard_ratio.value for term in found.terms] == pytest.approx(R["ratio"], rel=1e-5)
    for term, interval, p in zip(found.terms, R["interval"], R["p"], strict=True):
        assert (term.hazard_ratio.low, term.hazard_ratio.high) == pytest.approx(tuple(interval), rel=1e-5)
        assert term.p == pytest.approx(p, rel=1e-4)
        assert term.proportional_p is not None
    assert found.concordance == pytest.approx(R["concordance"], abs=1e-9)


def test_another_library_finds_the_same_ratios() -> None:
    """As statsmodels' PHReg, by its own path."""
    other = PHReg(MONTHS, np.column_stack((HIGH, PEOPLE["age"])), status=EVENTS, ties="efron").fit()
    found = cox({"high": HIGH.astype(float), "age": PEOPLE["age"]}, MONTHS, EVENTS, ALONE)
    assert [np.log(term.hazard_ratio.value) for term in found.terms] == pytest.approx(other.params, abs=1e-6)


def test_a_ratio_that_changes_with_time_is_noticed() -> None:
    """A group that dies early and then no more, against a steady one."""
    generator = np.random.default_rng(3)
    group = np.repeat([0, 1], 300)
    months = np.where(group == 1, generator.weibull(0.5, 600) * 10, generator.weibull(2.5, 600) * 10) + 0.01
    events = np.ones(600, dtype=bool)
    changing = cox({"group": group.astype(float)}, months, events, alone(600)).terms[0]
    steady = generator.exponential(10 / (1 + group))
    constant = cox({"group": group.astype(float)}, steady, events, alone(600)).terms[0]
    assert changing.proportional_p is not None
    assert constant.proportional_p is not None
    assert changing.proportional_p < 1e-6
    assert constant.proportional_p > 0.01


def test_each_covariate_is_modelled_by_itself() -> None:
    """One term a model."""
    found = dict(each_alone({"high": HIGH.astype(float), "age": PEOPLE["age"]}, MONTHS, EVENTS, ALONE))
    assert list(found) == ["high", "age"]
    assert [len(model.terms) for model in found.values()] == [1, 1]


def test_missing_values_leave_the_model_and_are_counted() -> None:
    """Cases are those that it rests on."""
    age = PEOPLE["age"].copy()
    age[:10] = np.nan
    assert cox({"age": age}, MONTHS, EVENTS, ALONE).cases == len(age) - 10


def test_rows_of_one_patient_do_not_narrow_the_interval() -> None:
    """Robust errors over patients: the cohort twice over has the interval of once, to their difference in kind."""
    twice = np.repeat(ALONE, 2)
    jitter = np.tile([0.0, 1e-6], len(ALONE))
    once = cox({"high": HIGH.astype(float)}, MONTHS, EVENTS, ALONE).terms[0].hazard_ratio
    held = cox({"high": HIGH[twice].astype(float)}, MONTHS[twice] + jitter, EVENTS[twice], twice).terms[0].hazard_ratio
    assert once.width is not None
    assert held.width == pytest.approx(once.width, rel=0.15)


def test_what_cannot_be_modelled_says_why() -> None:
    """One group, nobody with the event, a constant, too few events, separation."""
    assert log_rank(np.zeros(4, dtype=np.int64), np.ones(4), np.ones(4, dtype=bool)).p is None
    assert log_rank(np.arange(4) % 2, np.ones(4), np.zeros(4, dtype=bool)).note == "nobody had the event"
    assert "same in all" in cox({"x": np.ones(9)}, np.arange(1.0, 10), np.ones(9, dtype=bool), alone(9)).note
    assert "events for" in cox({"x": np.arange(9.0)}, np.arange(1.0, 10), np.arange(9) == 0, alone(9)).note
    apart = cox({"x": np.repeat([0.0, 1.0], 30)}, np.arange(1.0, 61), np.repeat([True, False], 30), alone(60))
    assert (apart.terms, apart.note[:5]) == ((), "the m")
    never = arms(("low",), np.zeros(3, dtype=np.int64), np.arange(1.0, 4), np.zeros(3, dtype=bool))[0]
    assert (never.median_months.value, never.median_months.note) == (None, "not reached")
