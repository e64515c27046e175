"""A FHIR R4 server: the patient by identifier, then what is known of them, the newest of the time of the study.

FHIR R4 (hl7.org/fhir/R4): Patient, Observation, Condition, DiagnosticReport, search with paging (section 3.1.1).
Resources are validated by fhir.resources (R4B, which differs from R4 in none of the four). What each kind of resource
says is read in ``fhir_content``. What a server returns is checked again here: whether
the patient has the identifier that was asked for, and whether an observation is of that patient; some ignore what they
are asked.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar

from fhir.resources.R4B.patient import Patient
from pydantic import ValidationError

from node.clinical.fhir_content import KINDS, LOINC, OBSERVATION, REPORT, is_about
from node.clinical.fhir_http import FhirHttp
from node.clinical.pathology import SPOKEN_OF
from node.domain.clinical import ClinicalValue, ClinicalVariable, Findings, HeldValue, ValueReason, ValueState
from node.domain.clinical_intake import ReadValue
from node.domain.clinical_matching import contradicts, dicom_day, untimely
from node.domain.clinical_variables import BY_LOINC, ROWS
from node.domain.imaging import PatientIdentity, Series
from node.errors import SourceSilent
from node.settings import FhirSettings

NAME: Final = "fhir"
MOST_PAGES: Final = 20
PAGE: Final = "200"

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
        unanswered: list[str] = []
        values = self._values(resource_id, day, deadline_s, unanswered)
        return replace(self._choose(values, day), unanswered=tuple(unanswered))

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

    def _values(self, resource_id: str, day: date, deadline_s: float, unanswered: list[str]) -> Iterator[ReadValue]:
        """What all kinds of resources say; observations must be had, of the others it is noted when they cannot."""
        now = datetime.now(UTC)
        for kind in self._settings.resources:
            try:
                for query in self._queries(kind, resource_id, day):
                    for resource in self._search(kind, query, deadline_s):
                        known = _validated(KINDS[kind].model, resource)
                        if known is not None and is_about(known, resource_id):
                            yield from KINDS[kind].read(known, now)
            except SourceSilent as exc:
                if kind == OBSERVATION:
                    raise
                unanswered.append(f"{kind} {exc.code}")

    def _queries(self, kind: str, resource_id: str, day: date) -> Iterator[dict[str, str | list[str]]]:
        query: dict[str, str | list[str]] = {"patient": resource_id, "_count": PAGE}
        if kind == OBSERVATION:
            for codes, days in self._asked():
                tokens = ",".join(f"{LOINC}|{code}" for code in codes)
                yield query | {"code": tokens, "_sort": "-date", "date": _between(day, days)}
        elif kind == REPORT:
            days = max(self._limit(variable) for variable in SPOKEN_OF)
            yield query | {"_sort": "-date", "date": _between(day, days)}
        else:
            yield query

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


def _between(day: date, days: int) -> list[str]:
    # A day more on both sides: the server's zone may be another. What is chosen is decided here.
    oldest, newest = day - timedelta(days=days + 1), day + timedelta(days=1)
    return [f"ge{oldest.isoformat()}", f"le{newest.isoformat()}"]


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
