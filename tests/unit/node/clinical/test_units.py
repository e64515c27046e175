"""Units as laboratories write them: converted where they are known, refused where they are not."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clinical.units import convert, to_ucum
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import ValueReason
from node.domain.clinical_variables import ROWS, NumberRow

NUMBERS = tuple(row for row in ROWS.values() if isinstance(row, NumberRow))


def row_of(variable: V) -> NumberRow:
    """The row of a variable that is a number."""
    row = ROWS[variable]
    assert isinstance(row, NumberRow)
    return row


@pytest.mark.parametrize(
    ("variable", "number", "written", "expected"),
    [
        (V.HAEMOGLOBIN, 13.5, "g/dL", 135),
        (V.HAEMOGLOBIN, 13.5, "G/DL", 135),
        (V.HAEMOGLOBIN, 13.5, "gm/dl", 135),
        (V.HAEMOGLOBIN, 135, "g/L", 135),
        (V.HAEMOGLOBIN, 8.4, "mmol/L", 135.36),
        (V.ALBUMIN, 4.1, "g/dl", 41),
        (V.ALBUMIN, 41, "G/L", 41),
        (V.WBC, 6.1, "10*9/L", 6.1),
        (V.WBC, 6.1, "10^9/L", 6.1),
        (V.WBC, 6.1, "x10^9/L", 6.1),
        (V.WBC, 6.1, "x10E9/L", 6.1),
        (V.WBC, 6.1, "10e9/l", 6.1),
        (V.WBC, 6.1, "10⁹/L", 6.1),
        (V.WBC, 6.1, "G/L", 6.1),
        (V.WBC, 6.1, "Gpt/l", 6.1),
        (V.WBC, 6.1, "K/uL", 6.1),
        (V.WBC, 6.1, "K/µL", 6.1),
        (V.WBC, 6.1, "10*3/uL", 6.1),
        (V.WBC, 6100, "/µL", 6.1),
        (V.WBC, 6100, "/μl", 6.1),
        (V.WBC, 6100, "cells/uL", 6.1),
        (V.PLATELETS, 210, "10*3/mm3", 210),
        (V.CA19_9, 37, "U/mL", 37),
        (V.CA19_9, 37, "U/ml", 37),
        (V.CA19_9, 37, "kU/L", 37),
        (V.CA19_9, 37, "KU/L", 37),
        (V.CA19_9, 37, "kIU/L", 37),
        (V.CA19_9, 37, "[IU]/mL", 37),
        (V.CA19_9, 37, "[iU]/mL", 37),
        (V.CA19_9, 37, "k[arb'U]/L", 37),
        (V.WBC, 6100, "10*6/L", 6.1),
        (V.WBC, 6.1, "/nL", 6.1),
        (V.CEA, 4.2, "ug/L", 4.2),
        (V.CEA, 4.2, "µg/L", 4.2),
        (V.ALT, 0.5, "ukat/L", 30),
        (V.ALT, 30, "IU/L", 30),
        (V.BILIRUBIN_TOTAL, 1.2, "mg/dL", 20.5),
        (V.BILIRUBIN_DIRECT, 5, "µmol/L", 5),
        (V.HEIGHT, 175, "cm", 1.75),
        (V.HEIGHT, 70, "[in_i]", 1.778),
        (V.WEIGHT, 154, "[lb_av]", 69.85),
        (V.AGE, 744, "mo", 62),
    ],
)
def test_units_as_they_really_come(variable: V, number: float, written: str, expected: float) -> None:
    """Each spelling is read as the one unit that it means for this variable."""
    row = row_of(variable)
    code = to_ucum(written, row)
    assert isinstance(code, str), code
    assert convert(number, code, row) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("variable", "written", "reason"),
    [
        (V.HAEMOGLOBIN, "", ValueReason.UNIT_MISSING),
        (V.HAEMOGLOBIN, "   ", ValueReason.UNIT_MISSING),
        (V.HAEMOGLOBIN, "bananas", ValueReason.UNIT_UNKNOWN),
        (V.HAEMOGLOBIN, "g" * 1000, ValueReason.UNIT_UNKNOWN),
        (V.HAEMOGLOBIN, "g/dL; DROP", ValueReason.UNIT_UNKNOWN),
        (V.HAEMOGLOBIN, "%", ValueReason.UNIT_NOT_ACCEPTED),
        (V.NEUTROPHILS, "%", ValueReason.UNIT_NOT_ACCEPTED),
        (V.ALBUMIN, "umol/L", ValueReason.UNIT_NOT_ACCEPTED),
        (V.CA19_9, "ng/mL", ValueReason.UNIT_NOT_ACCEPTED),
        (V.WBC, "g/L", ValueReason.UNIT_NOT_ACCEPTED),
        (V.WBC, "109/L", ValueReason.UNIT_NOT_ACCEPTED),
        (V.WEIGHT, "st", ValueReason.UNIT_NOT_ACCEPTED),
    ],
)
def test_wrong_and_missing_units_are_refused(variable: V, written: str, reason: ValueReason) -> None:
    """Nothing is guessed: not from the number, not from the variable."""
    row = row_of(variable)
    assert to_ucum(written, row) is reason


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.variable.value)
def test_every_accepted_unit_converts(row: NumberRow) -> None:
    """Each is UCUM, measures the same as the models' own unit, and has a factor above zero."""
    assert row.unit in row.accepted
    for code in row.accepted:
        factor = convert(1.0, code, row)
        assert factor > 0
        assert math.isfinite(factor)


@settings(deadline=None)
@given(row=st.sampled_from(NUMBERS), data=st.data(), number=st.floats(0, 1e6), scale=st.floats(0.1, 10))
def test_conversion_is_proportional(row: NumberRow, data: st.DataObject, number: float, scale: float) -> None:
    """No unit that is accepted has an offset: twice the number is twice the value, and zero stays zero."""
    code = data.draw(st.sampled_from(row.accepted))
    assert convert(number * scale, code, row) == pytest.approx(convert(number, code, row) * scale, rel=1e-9)
    assert convert(0.0, code, row) == 0.0


@settings(deadline=None, max_examples=300)
@given(row=st.sampled_from(NUMBERS), written=st.text(max_size=40))
def test_any_text_is_a_known_unit_or_a_reason(row: NumberRow, written: str) -> None:
    """Whatever a sender writes as unit, the answer is one of the accepted codes or why not."""
    code = to_ucum(written, row)
    assert isinstance(code, ValueReason) or code in row.accepted
