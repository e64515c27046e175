"""Regions and measurements of one lesion by several."""

import numpy as np
import pytest

from models.evaluation.observers import (
    GIVEN,
    agreements,
    is_measured,
    is_overlap,
    measured_columns,
    overlap_columns,
    overlaps,
)


def test_columns_say_what_they_are() -> None:
    """By their names; others are left alone."""
    assert is_overlap("overlap_dice")
    assert is_overlap("overlap_hausdorff_95_mm_by_A")
    assert not is_overlap("overlap_taste")
    assert is_measured("measured_volume_ml_by_A")
    assert not is_measured("measured_volume_ml")
    values = np.array([0.5, 1.0])
    found = overlap_columns({"overlap_dice": values, "overlap_dice_by_A": values, "os_months": values})
    assert [(one.quantity, one.observer) for one in found] == [("dice", GIVEN), ("dice", "A")]
    assert overlap_columns({"overlap_dice": np.array([np.nan])}) == ()


def test_overlaps_are_summed_up_over_the_cases_that_have_them() -> None:
    """Mean with its interval, median, ends."""
    (found,) = overlaps(overlap_columns({"overlap_dice": np.array([0.6, 0.8, np.nan, 1.0])}))
    assert (found.mean.value, found.median, found.lowest, found.highest) == (pytest.approx(0.8), 0.8, 0.6, 1.0)
    assert found.mean.cases == 3


def measurements(cases: int = 40) -> dict[str, np.ndarray]:
    """A and B agree but for noise, C reads more; A did it twice."""
    generator = np.random.default_rng(3)
    truth = generator.normal(20, 5, cases)
    return {
        "measured_volume_ml_by_A": truth + generator.normal(0, 1, cases),
        "measured_volume_ml_by_B": truth + generator.normal(0, 1, cases),
        "measured_volume_ml_by_C": truth + generator.normal(6, 1, cases),
        "measured_volume_ml_by_A_again": truth + generator.normal(0, 1, cases),
    }


def test_agreement_between_and_within_observers() -> None:
    """All of them, each pair, and one with themselves; an offset counts between, not within."""
    found = {(one.kind, one.observers): one for one in agreements(measured_columns(measurements()))}
    assert set(found) == {
        ("between", ("A", "B", "C")),
        ("between", ("A", "B")),
        ("between", ("A", "C")),
        ("between", ("B", "C")),
        ("within", ("A",)),
    }
    values = {observers: one.icc.value or 0.0 for (kind, observers), one in found.items()}
    assert values["A", "B"] > 0.9 > values["A", "C"]
    assert values["A",] > 0.9
    assert found["within", ("A",)].form == "ICC(C,1)"


def test_cases_that_somebody_did_not_measure_are_left_out() -> None:
    """And where too few are left, that is said."""
    columns = measurements(5)
    columns["measured_volume_ml_by_B"][:4] = np.nan
    between = {one.observers: one.icc for one in agreements(measured_columns(columns)) if one.kind == "between"}
    assert between["A", "C"].cases == 5
    assert between["A", "B"].value is None
    assert between["A", "B"].note
