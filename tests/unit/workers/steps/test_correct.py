"""Correct: a series of the patient whom the archive has it filed under."""

from node.domain.identity import NO_CORRECTION
from tests.factories import ct_slices, series_of
from workers.steps.correct import corrected


def test_without_a_correction_a_series_is_as_it_is() -> None:
    """The very same."""
    series = series_of(ct_slices(2))
    assert corrected(series, NO_CORRECTION) is series


def test_another_patient_has_other_values() -> None:
    """Clinical sources are asked about the right one, and are not told the other's weight."""
    series = series_of(ct_slices(2, PatientAge="063Y", PatientWeight="70"))
    change = {"PatientID": "P-2", "PatientName": "Right^Person", "IssuerOfPatientID": None, "PatientAge": None,
              "PatientWeight": None, "AccessionNumber": "A-2"}  # fmt: skip
    found = corrected(series, change)
    assert (found.patient.patient_id, found.patient.name, found.patient.issuer) == ("P-2", "Right^Person", "")
    assert {one.patient for one in found.instances} == {found.patient}
    assert (found.attribute("PatientAge"), found.attribute("PatientWeight")) == ("", "")
    assert found.attribute("AccessionNumber") == "A-2"
    assert found.attribute("Manufacturer") == "Scanner"
