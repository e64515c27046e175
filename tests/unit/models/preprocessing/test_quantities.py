"""Clinical values as numbers in the unit of their variable."""

import math

import pytest

from models.preprocessing.quantities import number_in
from node.domain.clinical import ClinicalValue, ClinicalVariable
from node.domain.reasons import ReasonCode
from node.errors import Refused


def test_a_number_in_its_unit_is_taken() -> None:
    """Sources convert to it, so that it is the only one."""
    assert number_in(ClinicalValue(ClinicalVariable.HAEMOGLOBIN, 130.0, "g/L", "laboratory")) == 130.0


@pytest.mark.parametrize("number", [math.nan, math.inf, "high"])
def test_what_is_no_number_is_refused(number: float | str) -> None:
    """With a code, the variable and the source, never the value."""
    with pytest.raises(Refused, match="cea, from laboratory: the value is not a finite number") as refused:
        number_in(ClinicalValue(ClinicalVariable.CEA, number, "ng/mL", "laboratory"))
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE


@pytest.mark.parametrize("unit", ["g/dL", "g", ""])
def test_any_other_unit_is_refused(unit: str) -> None:
    """With a code, the variable, the source and both units: neither converted again nor guessed at."""
    with pytest.raises(Refused, match=f"haemoglobin, from laboratory: the unit is '{unit}', not 'g/L'") as refused:
        number_in(ClinicalValue(ClinicalVariable.HAEMOGLOBIN, 13.0, unit, "laboratory"))
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE
