"""Derived variables: they follow from measured ones, and never stand in for them."""

import math
from datetime import UTC, datetime

import pytest

from node.domain.clinical import ClinicalRecord, ClinicalValue, HeldValue, ValueReason
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import NUMBERS
from node.domain.derivation import RATIOS, with_derived

MONDAY, TUESDAY = datetime(2024, 5, 6, tzinfo=UTC), datetime(2024, 5, 7, tzinfo=UTC)


def values(**numbers: float) -> tuple[ClinicalValue, ...]:
    """Numbers in the units of their rows, of Monday."""
    return tuple(
        ClinicalValue(V(name), number, NUMBERS[V(name)].unit, "hl7", MONDAY) for name, number in numbers.items()
    )


def derived(found: tuple[ClinicalValue, ...], variable: V) -> float | str | None:
    """The value of ``variable`` in what follows from ``found``."""
    value = with_derived(ClinicalRecord(found)).get(variable)
    return value.value if value else None


@pytest.mark.parametrize(
    ("known", "variable", "expected"),
    [
        (values(neutrophils=6, lymphocytes=2), V.NLR, 3),
        (values(platelets=210, lymphocytes=2), V.PLR, 105),
        (values(lymphocytes=2, monocytes=0.5), V.LMR, 4),
        (values(albumin=42, globulin=28), V.AGR, 1.5),
        (values(weight=70, height=1.75), V.BMI, 22.857),
    ],
)
def test_each_is_computed_from_its_parts(known: tuple[ClinicalValue, ...], variable: V, expected: float) -> None:
    """Neutrophils, platelets and lymphocytes as ratios, proteins as a ratio, weight over height squared."""
    assert derived(known, variable) == pytest.approx(expected, rel=1e-4)


def test_a_measured_value_counts_more() -> None:
    """What a laboratory or person says is not computed again."""
    assert derived(values(neutrophils=6, lymphocytes=2, nlr=9), V.NLR) == 9


def test_it_says_where_it_comes_from_and_has_the_older_time() -> None:
    """Its parts and their sources, and the older of their times."""
    parts = (values(neutrophils=6)[0], ClinicalValue(V.LYMPHOCYTES, 2.0, "10*9/L", "fhir", TUESDAY))
    found = with_derived(ClinicalRecord(parts)).get(V.NLR)
    assert found is not None
    assert (found.source, found.observed_at) == ("derived from hl7/fhir", MONDAY)
    assert found.parts == RATIOS[V.NLR].parts == (V.NEUTROPHILS, V.LYMPHOCYTES)


def test_parts_of_a_ratio_have_one_unit() -> None:
    """Their quotient has none, so that it is the same whatever the unit."""
    ratios = [ratio for ratio in RATIOS.values() if ratio.exponent == 1]
    assert len(ratios) == 4
    assert all(NUMBERS[ratio.numerator].unit == NUMBERS[ratio.denominator].unit for ratio in ratios)


def test_what_else_the_record_says_stays() -> None:
    """Values, and what was held or stood against them; a second time nothing is added."""
    held = HeldValue(V.CEA, "hl7", ValueReason.CENSORED)
    record = ClinicalRecord(values(albumin=42, globulin=28), (held,))
    once = with_derived(record)
    assert (once.values[:2], once.held) == (record.values, (held,))
    assert with_derived(once) == once


@pytest.mark.parametrize(
    "known", [values(neutrophils=6), values(neutrophils=6, lymphocytes=0), values(neutrophils=6, lymphocytes=0.001), ()]
)
def test_without_both_parts_or_with_an_unbelievable_result_there_is_none(known: tuple[ClinicalValue, ...]) -> None:
    """No division by zero, no ratio of thousands."""
    assert derived(known, V.NLR) is None


def test_parts_in_other_units_are_left_alone() -> None:
    """Sources convert what they receive; nothing is converted here."""
    parts = (ClinicalValue(V.WEIGHT, 70000.0, "g", "x"), ClinicalValue(V.HEIGHT, 1.75, "m", "x"))
    assert derived(parts, V.BMI) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, "high"])
def test_nothing_follows_from_what_is_no_number(number: float | str) -> None:
    """A part that is text or not finite is left alone."""
    parts = (ClinicalValue(V.WEIGHT, number, "kg", "x"), ClinicalValue(V.HEIGHT, 1.75, "m", "x"))
    assert derived(parts, V.BMI) is None
