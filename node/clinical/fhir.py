"""A FHIR R4 server: the patient by identifier, then observations by LOINC, the newest of the time of the study.

FHIR R4 (hl7.org/fhir/R4): Patient, Observation, search with paging (section 3.1.1). Resources are validated by
fhir.resources (R4B, which differs from R4 in neither of the two). What a server returns is checked again here: whether
the patient has the identifier that was asked for, and whether an observation is of that patient; some ignore what they
are asked.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient
from pydantic import ValidationError

from node.clinical.fhir_http import FhirHttp
from node.clinical.reading import read
from node.domain.clinical import ClinicalValue, ClinicalVariable, Findings, HeldValue, ValueReason, ValueState
from node.domain.clinical_intake import RawValue, ReadValue
from node.domain.clinical_matching import contradicts, dicom_day, untimely
from node.domain.clinical_variables import BY_LOINC, ROWS, CategoryRow
from node.domain.imaging import PatientIdentity, Series
from node.errors import SourceSilent
from node.settings import FhirSettings

NAME: Final = "fhir"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
MOST_PAGES: Final = 20
PAGE: Final = "200"

_FINAL: Final = ("final", "amended", "corrected")
_GONE: Final = ("entered-in-error", "cancelled", "unknown")
_A_YEAR_DAYS: Final = 366
_OF_PATIENT: Final = (ClinicalVariable.AGE, ClinicalVariable.SEX)
"""Known from the images: their identity is what the Patient was held against."""
_SEXES: Final = {"male": "M", "female": "F"}


T = TypeVar("T", ClinicalValue, HeldValue)


class FhirSource:
    """Asks one server; implements ``node.domain.ports.ClinicalSource``."""

    name = NAME

    def __init__(self, settings: FhirSettings, stale_days: Mapping[ClinicalVariable, int]) -> None:
        """``stale_days``: limits other than those of the table of variables."""
        self._settings = settings
        self._stale_days = stale_days
        self._http = FhirHttp(settings)

    def gather(self, series: Series) -> Findings:
        """The newest value of each variable that is usable; of the others, the newest that is held.

        Raises:
            SourceSilent: the server cannot be asked, or whom it means cannot be told.
        """
        patient_id, day = series.patient.patient_id.strip(), dicom_day(series.attribute("StudyDate"))
        if not patient_id or day is None:
            return Findings()
        deadline_s = time.monotonic() + self._settings.within_s
        resource_id = self._patient(patient_id, series.patient, deadline_s)
        if resource_id is None:
            return Findings()
        return self._choose(self._values(resource_id, day, deadline_s), day)

    def _patient(self, patient_id: str, identity: PatientIdentity, deadline_s: float) -> str | None:
        system = self._settings.identifier_system
        # In a token, these separate (FHIR R4 section 3.1.1.4.1): an ID that holds one is escaped, never a second one.
        escaped = "".join(f"\\{char}" if char in "\\,|$" else char for char in patient_id)
        found: dict[str, Patient] = {}
        for resource in self._search("Patient", {"identifier": f"{system}|{escaped}"}, deadline_s):
            patient = _validated(Patient, resource)
            if patient is not None and patient.id and _has_identifier(patient, system, patient_id):
                found[patient.id] = patient
        if len(found) > 1:
            raise SourceSilent("PATIENT_AMBIGUOUS")
        for resource_id, patient in found.items():
            if contradicts(_identity(patient, patient_id), identity):
                raise SourceSilent("PATIENT_CONTRADICTED")
            return resource_id
        return None

    def _values(self, resource_id: str, day: date, deadline_s: float) -> Iterator[ReadValue]:
        now = datetime.now(UTC)
        for codes, days in self._asked():
            oldest = day - timedelta(days=days + 1)
            query: dict[str, str | list[str]] = {
                "patient": resource_id,
                "code": ",".join(f"{LOINC}|{code}" for code in codes),
                # A day more on both sides: the server's zone may be another. What is chosen is decided here.
                "date": [f"ge{oldest.isoformat()}", f"le{(day + timedelta(days=1)).isoformat()}"],
                "_sort": "-date",
                "_count": PAGE,
            }
            for resource in self._search("Observation", query, deadline_s):
                observation = _validated(Observation, resource)
                if observation is not None and _is_about(observation, resource_id):
                    yield from _read(observation, now)

    def _asked(self) -> Iterator[tuple[list[str], int]]:
        """LOINC codes with how many days back they are asked for: what holds for years apart, since it is rare."""
        asked = [(code, self._limit(variable)) for code, variable in BY_LOINC.items() if variable not in _OF_PATIENT]
        for group in (
            [one for one in asked if one[1] <= _A_YEAR_DAYS],
            [one for one in asked if one[1] > _A_YEAR_DAYS],
        ):
            if group:
                yield [code for code, _ in group], max(days for _, days in group)

    def _search(self, kind: str, query: Mapping[str, str | list[str]], deadline_s: float) -> Iterator[dict[str, Any]]:
        """Every resource of ``kind`` that a search finds, over all pages."""
        url: str | None = kind
        params: Mapping[str, str | list[str]] | None = query
        for _ in range(MOST_PAGES):
            bundle = self._http.get(url or kind, params, deadline_s)
            if bundle.get("resourceType") != "Bundle" or not isinstance(bundle.get("entry", []), list):
                raise SourceSilent("NOT_A_BUNDLE")
            for entry in bundle.get("entry", []):
                resource = entry.get("resource") if isinstance(entry, dict) else None
                if isinstance(resource, dict) and resource.get("resourceType") == kind:
                    yield resource
            url, params = _next_page(bundle), None
            if url is None:
                return
        raise SourceSilent("TOO_MANY_PAGES")

    def _choose(self, values: Iterator[ReadValue], day: date) -> Findings:
        used: dict[ClinicalVariable, ClinicalValue] = {}
        held: dict[ClinicalVariable, HeldValue] = {}
        for value in values:
            raw, moment = value.raw, value.raw.observed_at
            reason = value.reason or untimely(moment, day, self._limit(raw.variable))
            if value.state in (ValueState.REFUSED, ValueState.SUPERSEDED) or reason is ValueReason.AFTER_STUDY:
                continue
            if reason is not None or value.value is None:
                held[raw.variable] = _newer(
                    held.get(raw.variable), HeldValue(raw.variable, NAME, reason or ValueReason.NOT_FINAL, moment)
                )
            else:
                fresh = ClinicalValue(raw.variable, value.value, value.unit, NAME, moment)
                used[raw.variable] = _newer(used.get(raw.variable), fresh)
        return Findings(tuple(used.values()), tuple(one for one in held.values() if one.variable not in used))

    def _limit(self, variable: ClinicalVariable) -> int:
        return self._stale_days.get(variable, ROWS[variable].stale_days)


def _newer(one: T | None, other: T) -> T:
    if one is None or one.observed_at is None:
        return other
    return other if other.observed_at is not None and other.observed_at > one.observed_at else one


def _validated(kind: Any, resource: dict[str, Any]) -> Any:
    """The resource, or None when it is not a valid one: it is left out, the others are looked at."""
    try:
        return kind.model_validate(resource)
    except (ValidationError, ValueError, TypeError, RecursionError):
        return None


def _next_page(bundle: dict[str, Any]) -> str | None:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


def _has_identifier(patient: Any, system: str, value: str) -> bool:
    return any(one.system == system and one.value == value for one in patient.identifier or ())


def _identity(patient: Any, patient_id: str) -> PatientIdentity:
    """Who a Patient is, as images name people: the official or first name."""
    names = sorted(patient.name or (), key=lambda name: name.use != "official")
    name = f"{names[0].family or ''}^{' '.join(names[0].given or ())}".rstrip("^") if names else ""
    born = patient.birthDate.isoformat() if isinstance(patient.birthDate, date) else ""
    return PatientIdentity(patient_id, "", name, born, _SEXES.get(patient.gender or "", ""))


def _is_about(observation: Any, resource_id: str) -> bool:
    reference = (observation.subject.reference or "") if observation.subject else ""
    return str(reference).split("/_history/")[0].split("/")[-2:] == ["Patient", resource_id]


def _read(observation: Any, now: datetime) -> Iterator[ReadValue]:
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


def _variable(code: Any) -> ClinicalVariable | None:
    codings = (code.coding or ()) if code else ()
    return next((BY_LOINC[one.code] for one in codings if one.system == LOINC and one.code in BY_LOINC), None)


def _said(part: Any, variable: ClinicalVariable) -> tuple[str, str]:
    """The value and unit as text: a quantity with its comparator, a coded word, or a string."""
    if (quantity := part.valueQuantity) is not None:
        number = "" if quantity.value is None else f"{Decimal(quantity.value):f}"
        unit = quantity.code if quantity.system == UCUM and quantity.code else quantity.unit or ""
        return f"{quantity.comparator or ''}{number}", unit
    if (concept := part.valueCodeableConcept) is not None:
        words = [concept.text or "", *(word or "" for one in concept.coding or () for word in (one.code, one.display))]
        row = ROWS[variable]
        return next((word for word in words if isinstance(row, CategoryRow) and row.meant(word)), words[0]), ""
    return str(part.valueString or ""), ""


def _moment(observation: Any) -> datetime | None:
    """When it was observed: an instant, a day (its beginning, in the site's zone), or the end of a period."""
    period = observation.effectivePeriod
    said = observation.effectiveDateTime or observation.effectiveInstant or (period.end if period else None)
    if isinstance(said, datetime):
        return said.astimezone()
    if isinstance(said, date):
        return datetime(said.year, said.month, said.day).astimezone()
    return None  # a month or a year is no day
