"""Whose study it is: what the images say, what the archive says now, and what follows where they differ.

Between arrival and delivery a study may have been given to another patient, or another accession number. Patient ID and
accession number are compared always; what else an archive tells is compared where both sides tell it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Correction = Mapping[str, str | None]
"""Keyword of a patient or study attribute to its value; None: the attribute is left out."""

NO_CORRECTION: Final[Correction] = MappingProxyType({})

_PATIENT: Final = ("patient_id", "issuer", "name", "birth_date", "sex")
_KEYWORDS: Final = MappingProxyType(
    {
        "patient_id": "PatientID",
        "issuer": "IssuerOfPatientID",
        "name": "PatientName",
        "birth_date": "PatientBirthDate",
        "sex": "PatientSex",
        "accession": "AccessionNumber",
    }
)
_OF_ANOTHER_BODY: Final = ("PatientAge", "PatientSize", "PatientWeight")
"""What was entered for the patient that it is not."""
_REPLACED: Final = re.compile(r"[?\ufffd]")
"""What stands for letters that a character set has not got."""


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """Patient (PS3.3 section C.7.1.1) and accession number of a study."""

    patient_id: str
    accession: str
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""


def differences(ours: StudyIdentity, theirs: StudyIdentity) -> tuple[str, ...]:
    """The keywords of what ``theirs``, the archive's word, says otherwise than ``ours``."""
    found = [name for name in ("patient_id", "accession") if _value(ours, name) != _value(theirs, name)]
    for name in ("issuer", "birth_date", "sex"):
        one, other = _value(ours, name), _value(theirs, name)
        if one and other and one != other:
            found.append(name)
    if _are_other_names(ours.name, theirs.name):
        found.append("name")
    return tuple(_KEYWORDS[name] for name in found)


def correction(ours: StudyIdentity, theirs: StudyIdentity) -> Correction | None:
    """What makes ``ours`` into ``theirs``; None when the archive's answer cannot be taken for the whole truth."""
    different = differences(ours, theirs)
    change: dict[str, str | None] = {}
    if "AccessionNumber" in different:
        change["AccessionNumber"] = theirs.accession.strip()
    if set(different) - {"AccessionNumber"}:
        # Another patient, or the same under another name: never a mixture of both.
        if not theirs.patient_id.strip() or _REPLACED.search(theirs.name) or (ours.name and not theirs.name.strip()):
            return None
        change |= {_KEYWORDS[name]: _value(theirs, name) for name in _PATIENT}
        change["IssuerOfPatientID"] = theirs.issuer.strip() or None
        if "PatientID" in different:
            change |= dict.fromkeys(_OF_ANOTHER_BODY)
    return change


def _value(identity: StudyIdentity, name: str) -> str:
    return str(getattr(identity, name)).strip(" \0")


def _are_other_names(one: str, other: str) -> bool:
    """Whether two names differ, as far as that can be said: archives lose letters, and write them large."""
    first, second = _name(one), _name(other)
    if not first or not second or not (one.isascii() and other.isascii()) or _REPLACED.search(one + other):
        return False
    return first != second


def _name(text: str) -> tuple[str, ...]:
    """The components of the alphabetic group (PS3.5 section 6.2.1.1), without those at the end that are empty."""
    components = [part.strip(" \0").upper() for part in text.partition("=")[0].split("^")]
    while components and not components[-1]:
        components.pop()
    return tuple(components)
