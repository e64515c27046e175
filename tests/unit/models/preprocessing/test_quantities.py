"""Clinical values as numbers, and what follows from them."""

import math
from datetime import UTC, datetime

import pytest

from models.preprocessing.quantities import RATIOS, derived, found, number_in
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.reasons import ReasonCode
from node.errors import Refused


def record(**values: tuple[float | str, str]) -> ClinicalRecord:
    """A record of ``variable=(value, unit)``."""
    return ClinicalRecord(
        tuple(ClinicalValue(ClinicalVariable(name), value, unit, "test") for name, (value, unit) in values.items())
    )


FULL = record(
    height=(200.0, "cm"),
    weight=(100000.0, "g"),
    neutrophils=(6000.0, "/uL"),
    lymphocytes=(1.5, "10*9/L"),
    monocytes=(0.5, "10*3/uL"),
    platelets=(300.0, "10*9/L"),
    albumin=(4.2, "g/dL"),
    globulin=(28.0, "g/L"),
)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (ClinicalVariable.BMI, 25.0),
        (ClinicalVariable.NLR, 4.0),
        (ClinicalVariable.PLR, 200.0),
        (ClinicalVariable.LMR, 3.0),
        (ClinicalVariable.AGR, 1.5),
    ],
)
def test_ratios_follow_from_their_parts(variable: ClinicalVariable, expected: float) -> None:
    """Each part is converted by its own unit first; the source says that the value was derived."""
    value = derived(FULL, variable)
    assert value is not None
    assert value.value == pytest.approx(expected)
    assert (value.variable, value.source, value.unit) == (variable, "derived", RATIOS[variable].unit)


def test_a_recorded_value_goes_first() -> None:
    """What a source gives is not computed again."""
    given = ClinicalRecord((*FULL.values, ClinicalValue(ClinicalVariable.NLR, 9.0, "1", "test")))
    value = found(given, ClinicalVariable.NLR)
    assert value is not None
    assert value.value == 9.0


@pytest.mark.parametrize(
    "parts", [{}, {"neutrophils": (4.0, "10*9/L")}, {"neutrophils": (4.0, "10*9/L"), "lymphocytes": (0.0, "10*9/L")}]
)
def test_without_its_parts_nothing_follows(parts: dict[str, tuple[float, str]]) -> None:
    """A part that is missing, or a denominator of zero, gives no value."""
    assert derived(record(**parts), ClinicalVariable.NLR) is None


def test_what_is_no_ratio_follows_from_nothing() -> None:
    """Age is not computed."""
    assert found(FULL, ClinicalVariable.AGE) is None


def test_a_derived_value_is_as_old_as_its_oldest_part() -> None:
    """The earlier of the two times."""
    early, late = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)
    values = (
        ClinicalValue(ClinicalVariable.ALBUMIN, 40.0, "g/L", "test", late),
        ClinicalValue(ClinicalVariable.GLOBULIN, 20.0, "g/L", "test", early),
    )
    value = derived(ClinicalRecord(values), ClinicalVariable.AGR)
    assert value is not None
    assert value.observed_at == early


@pytest.mark.parametrize("number", [math.nan, math.inf, "high"])
def test_what_is_no_number_is_refused(number: float | str) -> None:
    """With a code, the variable and the source, never the value."""
    with pytest.raises(Refused, match="cea, from laboratory: the value is not a finite number") as refused:
        number_in(ClinicalValue(ClinicalVariable.CEA, number, "ng/mL", "laboratory"), "ng/mL")
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE


def test_an_unknown_unit_is_refused() -> None:
    """With a code, the variable, the source, the unit and what would have been known."""
    with pytest.raises(
        Refused, match=r"haemoglobin, from laboratory: the unit 'g' is not known here; known: g/L, "
    ) as r:
        number_in(ClinicalValue(ClinicalVariable.HAEMOGLOBIN, 13.0, "g", "laboratory"), "g/L")
    assert r.value.reason.code is ReasonCode.CLINICAL_VALUE


def test_an_unknown_unit_of_a_part_is_refused() -> None:
    """Nothing is derived from what cannot be read."""
    with pytest.raises(Refused, match="lymphocytes"):
        derived(record(neutrophils=(4.0, "10*9/L"), lymphocytes=(30.0, "%")), ClinicalVariable.NLR)
