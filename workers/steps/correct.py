"""Correct: take a series as the archive has it filed now, where that is not as its images say."""

from dataclasses import replace
from typing import Final

from node.domain.identity import Correction
from node.domain.imaging import Instance, PatientIdentity, Series

_FIELDS: Final = {
    "PatientID": "patient_id",
    "IssuerOfPatientID": "issuer",
    "PatientName": "name",
    "PatientBirthDate": "birth_date",
    "PatientSex": "sex",
}


def corrected(series: Series, correction: Correction) -> Series:
    """``series`` of the corrected patient: whose clinical values are asked for, and who is named in the results.

    What was entered with the images for another patient (age, size, weight) is not believed any more.
    """
    if not correction:
        return series
    known = {_FIELDS[keyword]: text or "" for keyword, text in correction.items() if keyword in _FIELDS}
    patient: PatientIdentity = replace(series.patient, **known)
    instances = tuple(
        replace(one, patient=patient, attributes=_attributes(one, correction)) for one in series.instances
    )
    return replace(series, patient=patient, instances=instances)


def _attributes(instance: Instance, correction: Correction) -> dict[str, str]:
    changed = {keyword: correction.get(keyword, value) for keyword, value in instance.attributes.items()}
    return {keyword: value for keyword, value in changed.items() if value is not None}
