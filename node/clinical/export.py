"""Clinical values without the patients: for research.

Patients become keyed hashes and dates are moved (``node.domain.pseudonyms``; PS3.15 section E.3.6, "Retain Longitudinal
Temporal Information with Modified Dates Option"). Ages above 89 become 90 (45 CFR 164.514(b)(2)(i)(C)). What people or
machines wrote as text is left out. Images under the same names are ``node.dicom.deidentification``'s.
"""

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TextIO

from node.domain.clinical import ClinicalVariable, ValueState
from node.domain.clinical_intake import KnownValue
from node.domain.pseudonyms import PatientKey, Pseudonyms

COLUMNS: Final = ("pseudonym", "variable", "value", "unit", "observed_on", "source")
OLDEST_YEARS: Final = 90.0


def export(
    values: Iterable[KnownValue], canonical: Mapping[PatientKey, PatientKey], pseudonyms: Pseudonyms, out: TextIO
) -> int:
    """Write the usable ``values``; returns how many.

    ``canonical``: for merged identifiers, the one that stands for all.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for known in values:
        if known.state is ValueState.USABLE and known.received.read.value is not None:
            own = known.received.patient.key()
            writer.writerow(_row(known, canonical.get(own, own), pseudonyms))
            count += 1
    return count


def _row(known: KnownValue, patient: PatientKey, pseudonyms: Pseudonyms) -> tuple[str, ...]:
    read = known.received.read
    value = read.value
    if read.raw.variable is ClinicalVariable.AGE and isinstance(value, float):
        value = min(value, OLDEST_YEARS)
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    day = _moved(read.raw.observed_at, patient, pseudonyms)
    return (pseudonyms.patient(patient), read.raw.variable.value, shown, read.unit, day, known.received.source)


def _moved(moment: datetime | None, patient: PatientKey, pseudonyms: Pseudonyms) -> str:
    return pseudonyms.moved(moment.astimezone().date(), patient).isoformat() if moment else ""
