"""Derived variables: they follow from measured ones, and never stand in for them."""

from datetime import UTC, datetime

import pytest

from node.clinical.derived import with_derived
from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import ROWS

MONDAY, TUESDAY = datetime(2024, 5, 6, tzinfo=UTC), datetime(2024, 5, 7, tzinfo=UTC)
UNITS = {V.WEIGHT: "kg", V.HEIGHT: "m", V.ALBUMIN: "g/L", V.GLOBULIN: "g/L", V.NLR: "1"}


def values(**numbers: float) -> tuple[ClinicalValue, ...]:
    """Numbers in the models' own units, of Monday."""
    return tuple(
        ClinicalValue(V(name), number, UNITS.get(V(name), "10*9/L"), "hl7", MONDAY) for name, number in numbers.items()
    )


def derived(found: tuple[ClinicalValue, ...], variable: V) -> float | str | None:
    """The value of ``variable`` in what follows from ``found``."""
    value = ClinicalRecord(with_derived(found)).get(variable)
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
    assert ROWS[variable].variable is variable


def test_a_measured_value_counts_more() -> None:
    """What a laboratory or person says is not computed again."""
    assert derived(values(neutrophils=6, lymphocytes=2, nlr=9), V.NLR) == 9


def test_it_says_where_it_comes_from_and_has_the_older_time() -> None:
    """Its parts' sources, and the time after which both were known."""
    parts = (values(neutrophils=6)[0], ClinicalValue(V.LYMPHOCYTES, 2.0, "10*9/L", "fhir", TUESDAY))
    found = ClinicalRecord(with_derived(parts)).get(V.NLR)
    assert found is not None
    assert (found.source, found.observed_at) == ("derived from hl7/fhir", MONDAY)


@pytest.mark.parametrize(
    "known", [values(neutrophils=6), values(neutrophils=6, lymphocytes=0), values(neutrophils=6, lymphocytes=0.001), ()]
)
def test_without_both_parts_or_with_an_unbelievable_result_there_is_none(known: tuple[ClinicalValue, ...]) -> None:
    """No division by zero, no ratio of thousands."""
    assert derived(known, V.NLR) is None


def test_parts_in_other_units_are_left_alone() -> None:
    """Sources give the models' own units; what does not is not converted here."""
    parts = (ClinicalValue(V.WEIGHT, 70000.0, "g", "x"), ClinicalValue(V.HEIGHT, 1.75, "m", "x"))
    assert derived(parts, V.BMI) is None
