"""Clinical records: what is known of a patient, or not known."""

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable

AGE = ClinicalValue(ClinicalVariable.AGE, 61.0, "a", "dicom-header")


def test_a_known_value_is_found_with_unit_and_source() -> None:
    """The whole value comes back, not just its number."""
    assert ClinicalRecord((AGE,)).get(ClinicalVariable.AGE) is AGE


def test_an_unknown_value_is_none() -> None:
    """Never zero, never a default."""
    assert ClinicalRecord((AGE,)).get(ClinicalVariable.WEIGHT) is None
    assert ClinicalRecord().get(ClinicalVariable.AGE) is None
