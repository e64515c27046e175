"""What a person says of a patient: it counts more than any machine, and carries their name."""

from datetime import datetime

from node.clinical.csv_file import LONGEST_PATIENT_ID, variable_named
from node.clinical.reading import read
from node.domain.clinical import ClinicalVariable, ValueState
from node.domain.clinical_intake import ENTERED, RawValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from node.errors import UsageError


def entered(
    patient: PatientIdentity, variable: str, text: str, unit: str, by: str, now: datetime, observed_at: datetime | None
) -> ReceivedValue:
    """The value that a person types.

    Raises:
        UsageError: there is no such variable, nobody's name, or the value cannot be used; a person can mend it at once.
    """
    known = variable_named(variable)
    if known is None:
        raise UsageError(f"there is no clinical variable {variable!r}; known: {', '.join(ClinicalVariable)}")
    if not by.strip():
        raise UsageError("--by: a value that is entered has a name behind it")
    if not 0 < len(patient.patient_id.strip()) <= LONGEST_PATIENT_ID:
        raise UsageError("the patient ID is empty or longer than 64 characters")
    found = read(RawValue(known, text, unit, observed_at), now, needs_time=False)
    if found.state is not ValueState.USABLE and found.reason is not None:
        raise UsageError(f"{known.value}: {found.reason.sentence}")
    return ReceivedValue(patient, found, ENTERED, f"entered by {by.strip()}", by=by.strip())
