"""What single FHIR resources say; how a server is asked for them is ``test_fhir``'s."""

from datetime import UTC, datetime
from typing import Any

import pytest

from node.clinical.fhir_content import KINDS, LOINC, OBSERVATION, is_about
from node.domain.clinical import ClinicalVariable as V
from node.settings import FhirSettings

NOW = datetime(2024, 6, 1, tzinfo=UTC)
SUBJECT = {"reference": "Patient/p1"}
AJCC = "American Joint Committee on Cancer pN1 (qualifier value)"


def observation(code: str = "21900-6", **changes: object) -> dict[str, Any]:
    """An N of pathology."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": SUBJECT,
        "effectiveDateTime": "2024-05-05",
    } | changes


def read(resource: dict[str, Any]) -> list[tuple[V, float | str | None, str]]:
    """Variable, value and reason of everything that a resource says."""
    kind = KINDS[resource["resourceType"]]
    found = kind.read(kind.model.model_validate(resource), NOW)
    return [(one.raw.variable, one.value, one.reason.name if one.reason else "") for one in found]


def concept(code: str, system: str = "http://snomed.info/sct", **more: str) -> dict[str, Any]:
    """A coded word."""
    return {"coding": [{"system": system, "code": code} | more]}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (observation(valueCodeableConcept=concept("pN0", "http://cancerstaging.org")), (V.CLINICAL_N, "N0", "")),
        (observation(valueCodeableConcept=concept("1", display=AJCC)), (V.CLINICAL_N, "N1", "")),
        (observation("33732-9", valueCodeableConcept=concept("1663004")), (V.DIFFERENTIATION, "moderate", "")),
        (
            observation("33732-9", valueCodeableConcept={"text": "Grade 2"}),
            (V.DIFFERENTIATION, None, "UNKNOWN_CATEGORY"),
        ),
        (observation(valueString="N2"), (V.CLINICAL_N, "N2", "")),
        (observation("2039-6", valueString="hemolysed"), (V.CEA, None, "SPECIMEN")),
        (observation("2039-6"), (V.CEA, None, "NOT_A_NUMBER")),
    ],
)
def test_a_value_is_read_however_it_is_coded(
    resource: dict[str, Any], expected: tuple[V, float | str | None, str]
) -> None:
    """By the word, the code, or the category within a code's long name; else it waits for a person."""
    assert read(resource) == [expected]


@pytest.mark.parametrize(
    "time", [{"effectiveInstant": "2024-05-05T08:00:00Z"}, {"effectivePeriod": {"end": "2024-05-05"}}]
)
def test_times_come_in_several_forms(time: dict[str, Any]) -> None:
    """An instant, or the end of a period."""
    resource = observation(valueString="N2", **time)
    del resource["effectiveDateTime"]
    assert read(resource) == [(V.CLINICAL_N, "N2", "")]


@pytest.mark.parametrize("moment", ["2024", "2024-05"])
def test_a_month_is_no_day(moment: str) -> None:
    """Whether it was before the study cannot be said."""
    assert read(observation(valueString="N2", effectiveDateTime=moment)) == [(V.CLINICAL_N, "N2", "NO_TIME")]


def test_a_resource_is_about_the_patient_that_it_refers_to() -> None:
    """Also by version or whole address; nobody else, and nobody."""
    model = KINDS[OBSERVATION].model
    for reference, expected in (
        ("Patient/p1", True),
        ("https://server/fhir/Patient/p1/_history/3", True),
        ("Patient/p12", False),
        ("Group/p1", False),
    ):
        assert is_about(model.model_validate(observation(subject={"reference": reference})), "p1") == expected
    nobody = observation()
    del nobody["subject"]
    assert not is_about(model.model_validate(nobody), "p1")


def test_every_kind_that_can_be_read_is_asked_for() -> None:
    """Unless a site leaves it out."""
    assert set(FhirSettings(base_url="https://x", identifier_system="urn:x").resources) == set(KINDS)
