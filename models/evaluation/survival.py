"""How long patients lived, by what was predicted of them: Kaplan-Meier curves, log-rank tests and Cox models.

All by lifelines: Greenwood's interval on the log-log scale, Efron's ties, robust errors clustered by patient where one
has several rows, and the proportional-hazards check of Grambsch & Therneau (Biometrika 1994) on Kaplan-Meier time.
Months are months of 30.4375 days; an event is what the follow-up is named for.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import multivariate_logrank_test, proportional_hazard_test
from lifelines.utils import median_survival_times

from models.evaluation.estimate import Bools, ChiSquare, Estimate, Floats, Ints, Source, nothing

LANDMARKS_MONTHS: Final = (12.0, 24.0, 36.0, 60.0)
_ARMS: Final = 2
_EVENTS_A_TERM: Final = 10
"""Fewer events for each covariate make an unstable model (Peduzzi 1995)."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The patients of one group."""

    name: str
    cases: int
    events: int
    median_months: Estimate
    landmarks: tuple[tuple[float, Estimate], ...]
    """(months, share without the event), as far as anyone was followed."""
    months: tuple[float, ...]
    survival: tuple[float, ...]
    """A step curve from (0, 1)."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    at_risk: tuple[tuple[float, int], ...]
    """(months, patients still followed)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One covariate of a Cox model."""

    name: str
    hazard_ratio: Estimate
    p: float | None
    proportional_p: float | None
    """Of the proportional-hazards check; a small one says that the ratio changes with time."""


@dataclass(frozen=True, slots=True)
class Cox:
    """A Cox model."""

    cases: int
    events: int
    terms: tuple[Term, ...]
    concordance: float | None
    note: str = ""


def arms(names: tuple[str, ...], members: Ints, months: Floats, events: Bools) -> tuple[Arm, ...]:
    """The curve of each group ``names`` that ``members`` (n,) says has anyone."""
    return tuple(
        _arm(name, months[members == index], events[members == index])
        for index, name in enumerate(names)
        if (members == index).any()
    )


def log_rank(members: Ints, months: Floats, events: Bools) -> ChiSquare:
    """The test that all groups ``members`` (n,) have one hazard."""
    degrees = len(np.unique(members)) - 1
    if degrees < _ARMS - 1:
        return ChiSquare(None, 0, None, "all cases are in one group")
    if not events.any():
        return ChiSquare(None, degrees, None, "nobody had the event")
    found = multivariate_logrank_test(months, members, events)
    return ChiSquare(float(found.test_statistic), degrees, float(found.p_value))


def cox(covariates: Mapping[str, Floats], months: Floats, events: Bools, groups: Ints) -> Cox:
    """The model with all ``covariates`` (n,), on the cases where none is missing (NaN)."""
    table = pd.DataFrame({**covariates, "_months": months, "_event": events.astype(int), "_patient": groups}).dropna()
    cases, had = len(table), int(table["_event"].sum())
    if not covariates:
        return Cox(cases, had, (), None, "there is no term: all cases are called the same, and there is no covariate")
    constant = [name for name in covariates if cases and table[name].nunique() < _ARMS]
    if had <= len(covariates) or constant:
        why = f"{constant[0]} is the same in all cases" if constant else f"{had} events for {len(covariates)} terms"
        return Cox(cases, had, (), None, why)
    clustered = bool(table["_patient"].duplicated().any())
    table = table if clustered else table.drop(columns="_patient")
    fitter = CoxPHFitter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            fitter.fit(table, "_months", "_event", cluster_col="_patient" if clustered else None)
    except (ConvergenceError, ConvergenceWarning):
        return Cox(cases, had, (), None, "the model does not converge: a term separates those with the event")
    enough = had >= _EVENTS_A_TERM * len(covariates)
    note = "" if enough else f"fewer than {_EVENTS_A_TERM} events a term: unstable"
    return Cox(cases, had, tuple(_terms(fitter, table, cases)), float(fitter.concordance_index_), note)


def each_alone(
    covariates: Mapping[str, Floats], months: Floats, events: Bools, groups: Ints
) -> tuple[tuple[str, Cox], ...]:
    """The model of each covariate by itself."""
    return tuple((name, cox({name: values}, months, events, groups)) for name, values in covariates.items())


def _arm(name: str, months: Floats, events: Bools) -> Arm:
    fitter = KaplanMeierFitter().fit(months, events)
    ends = fitter.confidence_interval_survival_function_
    times = tuple(map(float, fitter.survival_function_.index))
    marks = tuple(mark for mark in LANDMARKS_MONTHS if mark <= months.max())
    return Arm(
        name=name,
        cases=len(months),
        events=int(events.sum()),
        median_months=_median(fitter, len(months)),
        landmarks=tuple((mark, _landmark(fitter, mark, len(months))) for mark in marks),
        months=times,
        survival=tuple(map(float, fitter.survival_function_.iloc[:, 0])),
        low=tuple(map(float, ends.iloc[:, 0])),
        high=tuple(map(float, ends.iloc[:, 1])),
        at_risk=tuple((mark, int((months >= mark).sum())) for mark in (0.0, *LANDMARKS_MONTHS)),
    )


def _median(fitter: KaplanMeierFitter, cases: int) -> Estimate:
    value = float(fitter.median_survival_time_)
    if not np.isfinite(value):
        return nothing(Source.LIFELINES, "not reached", cases)
    ends = median_survival_times(fitter.confidence_interval_survival_function_).iloc[0]
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    note = "" if high is not None else "the upper end is not reached"
    return Estimate(value, low, high, cases, "Greenwood, log-log", Source.LIFELINES, note)


def _landmark(fitter: KaplanMeierFitter, months: float, cases: int) -> Estimate:
    value = float(fitter.predict(months))
    ends = fitter.confidence_interval_survival_function_.loc[:months].iloc[-1]
    if not np.isfinite(ends).all():
        return Estimate(value, None, None, cases, "", Source.LIFELINES, "too few cases for an interval")
    return Estimate(value, float(ends.iloc[0]), float(ends.iloc[1]), cases, "Greenwood, log-log", Source.LIFELINES)


def _terms(fitter: CoxPHFitter, table: pd.DataFrame, cases: int) -> Iterator[Term]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        check = proportional_hazard_test(fitter, table, time_transform="km").summary["p"]
    for name, row in fitter.summary.iterrows():
        ends = float(row["exp(coef) lower 95%"]), float(row["exp(coef) upper 95%"])
        ratio = Estimate(float(row["exp(coef)"]), *ends, cases, "Wald", Source.LIFELINES)
        yield Term(str(name), ratio, float(row["p"]), float(check[name]))
