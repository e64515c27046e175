"""Values on their way in: what becomes of each reason."""

import pytest

from node.domain.clinical import ClinicalVariable, ValueReason, ValueState
from node.domain.clinical_intake import STATES, RawValue, ReadValue

RAW = RawValue(ClinicalVariable.CEA, "4.2", "ng/mL")


def test_every_reason_has_a_state() -> None:
    """No reason leaves it open what becomes of a value."""
    assert set(STATES) == set(ValueReason)
    assert ValueState.USABLE not in STATES.values()


def test_without_a_reason_a_value_is_usable() -> None:
    """And with one it is in the state that the reason has."""
    assert ReadValue(RAW, 4.2, "ng/mL").state is ValueState.USABLE
    assert ReadValue(RAW, None, "", ValueReason.SPECIMEN).state is ValueState.REFUSED


@pytest.mark.parametrize("reason", [ValueReason.CENSORED, ValueReason.UNIT_MISSING, ValueReason.PATIENT_CONTRADICTED])
def test_what_a_person_can_mend_is_held(reason: ValueReason) -> None:
    """It is not thrown away."""
    assert STATES[reason] is ValueState.HELD
