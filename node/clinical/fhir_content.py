"""What FHIR resources say of a patient's clinical variables: Observation, Condition, DiagnosticReport (FHIR R4).

An Observation is a value with its LOINC. A Condition says by its code where the tumour is, and by its stage, which has
no date of its own, the stage as it was when the Condition was recorded; an N of pathology without its date might be of
an operation after the study, and is held. A DiagnosticReport of pathology says what its codes and its unambiguous
phrases say.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation

from node.clinical.pathology import LONGEST_TEXT, REPORT_LOINC, read_report
from node.clinical.reading import read
from node.domain.clinical import ClinicalVariable
from node.domain.clinical_intake import RawValue, ReadValue
from node.domain.clinical_variables import BY_LOINC, CODED, ICD10, ICDO3, ROWS, SNOMED, CategoryRow

LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
OBSERVATION: Final = "Observation"
CONDITION: Final = "Condition"
REPORT: Final = "DiagnosticReport"

_SCHEMES: Final[Mapping[str, str]] = {
    "http://snomed.info/sct": SNOMED,
    "http://hl7.org/fhir/sid/icd-10": ICD10,
    "http://hl7.org/fhir/sid/icd-10-cm": ICD10,
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": ICD10,
    "http://terminology.hl7.org/CodeSystem/icd-o-3": ICDO3,
    "urn:oid:2.16.840.1.113883.6.43.1": ICDO3,
}
"""Code systems (FHIR R4 section 4.3.0.1) and the schemes of ``CODED``."""
_FINAL: Final = ("final", "amended", "corrected", "appended")
_GONE: Final = ("entered-in-error", "cancelled", "unknown")
_REFUTED: Final = ("refuted", "entered-in-error")
_PATHOLOGY: Final = ("PAT", "SP", "LP7839-6")
"""Categories of reports: HL7 table 0074 and the LOINC part for pathology."""
_PATHOLOGICAL_N: Final = re.compile(r"\b[yra]*pN", re.IGNORECASE)


def is_about(resource: Any, resource_id: str) -> bool:
    """Whether a resource is of the patient; some servers ignore what they are asked."""
    reference = (resource.subject.reference or "") if resource.subject else ""
    return str(reference).split("/_history/")[0].split("/")[-2:] == ["Patient", resource_id]


def read_observation(observation: Any, now: datetime) -> Iterator[ReadValue]:
    """The values of an observation and of its components."""
    if observation.status in _GONE:
        return
    moment = _moment(observation)
    for part in (observation, *(observation.component or ())):
        variable = _variable(part.code)
        if variable is not None:
            text, unit = _said(part, variable)
            raw = RawValue(variable, text, unit, moment, is_final=observation.status in _FINAL)
            yield read(raw, now)


def read_condition(condition: Any, now: datetime) -> Iterator[ReadValue]:
    """The site that its code names, and the stage that it holds."""
    said = _code_words(condition.verificationStatus)
    if any(word in _REFUTED for word in said):
        return
    is_final = not said or "confirmed" in said
    recorded = _day_or_moment(condition.recordedDate) or _day_or_moment(condition.onsetDateTime)
    for variable, word in dict.fromkeys(_coded(condition.code)):
        yield read(RawValue(variable, word, "", recorded, is_final=is_final), now)
    for stage in condition.stage or ():
        for text in _words(stage.summary):
            moment = None if _PATHOLOGICAL_N.search(text) else recorded
            for one in read_report(text):
                raw = RawValue(one.variable, one.text, "", moment, is_final=is_final, is_ambiguous=one.is_ambiguous)
                yield read(raw, now)


def read_pathology(report: Any, now: datetime) -> Iterator[ReadValue]:
    """What a report of pathology concludes, by code and in words; other reports say nothing here."""
    if report.status in _GONE or not _is_pathology(report):
        return
    moment, is_final = _moment(report) or _day_or_moment(report.issued), report.status in _FINAL
    for concept in report.conclusionCode or ():
        for variable, word in dict.fromkeys(_coded(concept)):
            yield read(RawValue(variable, word, "", moment, is_final=is_final), now)
    text = "\n".join(_texts(report))
    for one in read_report(text):
        raw = RawValue(one.variable, one.text, "", moment, is_final=is_final, is_ambiguous=one.is_ambiguous)
        yield read(raw, now)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: how it is validated and read."""

    model: Any
    read: Callable[[Any, datetime], Iterator[ReadValue]]


KINDS: Final[Mapping[str, Kind]] = {
    OBSERVATION: Kind(Observation, read_observation),
    CONDITION: Kind(Condition, read_condition),
    REPORT: Kind(DiagnosticReport, read_pathology),
}
"""Every kind that can be asked for."""


def _is_pathology(report: Any) -> bool:
    categories = {one.code for concept in report.category or () for one in concept.coding or ()}
    codes = {one.code for one in (report.code.coding or ()) if one.system == LOINC}
    return bool(categories & set(_PATHOLOGY)) or bool(codes & REPORT_LOINC)


def _texts(report: Any) -> Iterator[str]:
    """The conclusion, and forms that are plain text; other forms would have to be rendered."""
    yield str(report.conclusion or "")
    for form in report.presentedForm or ():
        if str(form.contentType or "").partition(";")[0].strip().lower() == "text/plain" and form.data:
            # The model has decoded the base64 already.
            yield bytes(form.data)[: 4 * LONGEST_TEXT].decode("utf-8", "replace")


def _variable(code: Any) -> ClinicalVariable | None:
    codings = (code.coding or ()) if code else ()
    return next((BY_LOINC[one.code] for one in codings if one.system == LOINC and one.code in BY_LOINC), None)


def _coded(concept: Any) -> Iterator[tuple[ClinicalVariable, str]]:
    """What the codes of a concept say by themselves."""
    for one in (concept.coding or ()) if concept else ():
        scheme = _SCHEMES.get(str(one.system or ""))
        if scheme is not None and (found := CODED.get((scheme, str(one.code or "")))) is not None:
            yield found


def _said(part: Any, variable: ClinicalVariable) -> tuple[str, str]:
    """The value and unit as text: a quantity with its comparator, a coded word, or a string."""
    if (quantity := part.valueQuantity) is not None:
        number = "" if quantity.value is None else f"{Decimal(quantity.value):f}"
        unit = quantity.code if quantity.system == UCUM and quantity.code else quantity.unit or ""
        return f"{quantity.comparator or ''}{number}", unit
    if (concept := part.valueCodeableConcept) is not None:
        return _word(concept, variable), ""
    return str(part.valueString or ""), ""


def _word(concept: Any, variable: ClinicalVariable) -> str:
    """The spelling of a category among the words and codes of a concept; else its first word."""
    row, words = ROWS[variable], _words(concept)
    if isinstance(row, CategoryRow):
        coded = (word for name, word in _coded(concept) if name is variable)
        # Long names of codes hold the category: "American Joint Committee on Cancer pN1 (qualifier value)".
        phrases = (one.text for word in words for one in read_report(word) if one.variable is variable)
        for word in (*words, *coded, *phrases):
            if row.meant(word):
                return word
    return words[0] if words else ""


def _words(concept: Any) -> list[str]:
    if concept is None:
        return []
    codings = (word for one in concept.coding or () for word in (one.code, one.display))
    return [str(word) for word in (concept.text, *codings) if word]


def _code_words(concept: Any) -> list[str]:
    return [str(one.code) for one in concept.coding or ()] if concept else []


def _moment(resource: Any) -> datetime | None:
    """When it was observed: an instant, a day, or the end of a period."""
    period = resource.effectivePeriod
    instant = getattr(resource, "effectiveInstant", None)
    return _day_or_moment(resource.effectiveDateTime or instant or (period.end if period else None))


def _day_or_moment(said: Any) -> datetime | None:
    """A moment; a day is its beginning, in the site's zone; a month or a year is no day."""
    if isinstance(said, datetime):
        return said.astimezone()
    if isinstance(said, date):
        return datetime(said.year, said.month, said.day).astimezone()
    return None
