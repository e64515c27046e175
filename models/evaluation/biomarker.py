"""A marker's whole chain as PORCELAIN ran it: one population's cut, Cox alone and with covariates, Kaplan-Meier curves.

The cut is chosen in one cohort and then applied, unchanged, to others (doi 10.1038/s41746-025-02303-9, results): on the
cohort that chose it the log-rank p is too small, and is marked so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.evaluation.cutpoint import CutPoint, cut_point
from models.evaluation.estimate import Bools, ChiSquare, Floats, Ints
from models.evaluation.resampling import Resamples
from models.evaluation.survival import Arm, Cox, arms, cox, log_rank
from node.errors import UsageError

LOW: Final = "low"
HIGH: Final = "high"
_MARKER: Final = "marker"
DAYS_A_MONTH: Final = 30.4375
EARLIEST_MONTHS: Final = 30 / DAYS_A_MONTH
"""PORCELAIN leaves out patients who died within 30 days: of the operation, not of the tumour."""


@dataclass(frozen=True, slots=True)
class MarkerStudy:
    """A marker in one cohort."""

    cases: int
    left_out: int
    """Without a marker, without follow-up, or followed for less than the earliest time."""
    cut: float
    chosen_here: CutPoint | None
    """None when the cut comes from elsewhere."""
    alone: Cox
    """The marker as it is, a unit at a time."""
    adjusted: Cox | None
    """With the covariates; None without any."""
    curves: tuple[Arm, ...]
    log_rank: ChiSquare


def study(  # noqa: PLR0913 — a cohort's four columns, and five choices that are named
    marker: Floats,
    months: Floats,
    events: Bools,
    covariates: Mapping[str, Floats],
    groups: Ints,
    *,
    cut: float | None = None,
    earliest_months: float = EARLIEST_MONTHS,
    draws: int = 500,
    seed: int = 0,
) -> MarkerStudy:
    """The chain for ``marker`` (n,) of patients ``groups`` (n,); with ``cut`` None the best cut is looked for here.

    Raises UsageError when no case is left, or as ``cut_point``.
    """
    rows = np.isfinite(marker) & np.isfinite(months) & (np.nan_to_num(months) >= earliest_months)
    if not rows.any():
        raise UsageError(f"no case has a marker and was followed for {earliest_months:.2f} months or longer")
    left_out = int((~rows).sum())
    marker, months, events = marker[rows], months[rows], events[rows]
    groups = np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)
    others = {name: values[rows] for name, values in covariates.items()}
    chosen = cut_point(marker, months, events, Resamples.of(groups, draws, seed)) if cut is None else None
    value = float(chosen.value.value) if chosen is not None and chosen.value.value is not None else float(cut or 0)
    high = (marker > value).astype(np.int64)
    test = log_rank(high, months, events)
    return MarkerStudy(
        cases=len(marker),
        left_out=left_out,
        cut=value,
        chosen_here=chosen,
        alone=cox({_MARKER: marker}, months, events, groups),
        adjusted=cox({_MARKER: marker, **others}, months, events, groups) if others else None,
        curves=arms((LOW, HIGH), high, months, events),
        log_rank=test if chosen is None else replace(test, note="the cut was chosen on these cases: p is too small"),
    )
