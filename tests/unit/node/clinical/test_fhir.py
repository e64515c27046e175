"""The FHIR source: asks a strict server and one that others wrote, believes them nothing, turns failures into codes."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from node.clinical.fhir import FhirSource
from node.clinical.fhir_content import LOINC, UCUM
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import Findings, ValueReason
from node.domain.imaging import Series
from node.errors import SourceSilent
from node.settings import FhirSettings
from tests.factories import ct_slices, series_of
from tests.fhir_server import CLIENT, Server, fhir_server
from tests.medplum import medplum

SYSTEM = "urn:oid:1.2.3"
SERIES = series_of(ct_slices(3))
"""Of 6 May 2024."""
NAME = SERIES.patient.name.split("^")


def patient(resource_id: str = "p1", **changes: object) -> dict[str, Any]:
    """The patient of the series."""
    born = SERIES.patient.birth_date
    return {
        "resourceType": "Patient",
        "id": resource_id,
        "identifier": [{"system": SYSTEM, "value": SERIES.patient.patient_id}],
        "name": [{"family": NAME[0], "given": NAME[1:2]}],
        "birthDate": f"{born[:4]}-{born[4:6]}-{born[6:]}",
        "gender": {"F": "female", "M": "male"}[SERIES.patient.sex],
    } | changes


def observation(code: str, day: str = "2024-05-05", **changes: object) -> dict[str, Any]:
    """A final result."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": day,
    } | changes


def quantity(value: float, unit: str, **changes: object) -> dict[str, Any]:
    """A number with its UCUM unit."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit} | changes


def lab(code: str, value: float, unit: str, day: str = "2024-05-05", **changes: object) -> dict[str, Any]:
    """A laboratory result."""
    return observation(code, day, valueQuantity=quantity(value, unit), **changes)


@pytest.fixture
def server() -> Iterator[Server]:
    """A strict server that holds the patient; no request to it may have been wrong."""
    with fhir_server(Server()) as running:
        running.add(patient())
        yield running
    assert running.problems == []


def source(server: Server, **settings: object) -> FhirSource:
    """A source that asks it."""
    wanted = {"base_url": server.url, "identifier_system": SYSTEM, "attempts": 2, "within_s": 5.0} | settings
    return FhirSource(FhirSettings.model_validate(wanted), {})


def gather(server: Server, series: Series = SERIES, **settings: object) -> Findings:
    """What the source says."""
    return source(server, **settings).gather(series)


def test_values_come_in_the_models_units_with_source_and_time(server: Server) -> None:
    """Converted from whatever the laboratory uses."""
    server.add(lab("718-7", 13.5, "g/dL", "2024-05-05T08:30:00+02:00"))
    server.add(lab("24108-3", 37, "U/mL"))
    found = {value.variable: value for value in gather(server).values}
    assert found[V.HAEMOGLOBIN].value == pytest.approx(135)
    assert (found[V.HAEMOGLOBIN].unit, found[V.HAEMOGLOBIN].source) == ("g/L", "fhir")
    assert found[V.HAEMOGLOBIN].observed_at == datetime.fromisoformat("2024-05-05T08:30:00+02:00")
    assert found[V.CA19_9].value == 37


def test_the_newest_before_the_study_counts(server: Server) -> None:
    """Over all pages; what is later or too old is not used."""
    server.page_size = 2
    for day, value in [("2024-04-20", 1), ("2024-05-06", 3), ("2024-05-01", 2), ("2024-05-07", 9), ("2020-01-01", 8)]:
        server.add(lab("24108-3", value, "U/mL", day))
    assert [value.value for value in gather(server).values] == [3]
    assert len([path for path in server.requests if "page=1" in path]) == 1


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (observation("24108-3", valueQuantity=quantity(0.6, "U/mL", comparator="<")), ValueReason.CENSORED),
        (observation("24108-3", valueQuantity={"value": 37}), ValueReason.UNIT_MISSING),
        (lab("24108-3", 37, "ng/mL"), ValueReason.UNIT_NOT_ACCEPTED),
        (lab("24108-3", 37, "U/mL", status="preliminary"), ValueReason.NOT_FINAL),
        (lab("24108-3", 37, "U/mL", "2024-04-01"), ValueReason.STALE),
    ],
)
def test_what_cannot_be_used_is_held_with_its_reason(
    server: Server, resource: dict[str, Any], reason: ValueReason
) -> None:
    """The same reasons as from everywhere else."""
    server.add(resource)
    found = gather(server)
    assert found.values == ()
    assert [one.reason for one in found.held] == [reason]


def test_words_and_components_are_read(server: Server) -> None:
    """A stage as a coded concept, by its code or its words, also as a component of a TNM observation."""
    stage = {"coding": [{"system": "http://snomed.info/sct", "code": "53623008", "display": "N1"}]}
    grade = {"coding": [{"system": "http://snomed.info/sct", "code": "1663004"}], "text": "Poorly differentiated"}
    part = {"code": {"coding": [{"system": LOINC, "code": "21906-3"}]}, "valueCodeableConcept": stage}
    server.add(observation("33732-9", valueCodeableConcept=grade))
    server.add(observation("21908-9", component=[part]))
    found = {value.variable: value.value for value in gather(server).values}
    assert found == {V.DIFFERENTIATION: "poor", V.CLINICAL_N: "N1"}


def condition(code: str = "C25.0", **changes: object) -> dict[str, Any]:
    """A confirmed tumour of the pancreas."""
    return {
        "resourceType": "Condition",
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "recordedDate": "2024-04-20",
    } | changes


def report(conclusion: str, category: str = "PAT", **changes: object) -> dict[str, Any]:
    """A pathologist's."""
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": category}]}],
        "code": {"text": "Biopsy"},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2024-04-20",
        "conclusion": conclusion,
    } | changes


def test_site_stage_and_histology_come_from_diagnoses_and_reports(server: Server) -> None:
    """By code, as the stage of a diagnosis, and as unambiguous phrases of a pathologist."""
    server.add(condition(stage=[{"summary": {"text": "cT3 cN1 cM0"}}]))
    server.add(report("Moderately differentiated adenocarcinoma."))
    lauren = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/icd-o-3", "code": "8145/3"}]}
    server.add(report("See the codes and forms.", conclusionCode=[lauren]))
    found = gather(server)
    assert {(one.variable, one.value) for one in found.values} == {
        (V.LESION_SITE, "head"), (V.CLINICAL_T, "T3"), (V.CLINICAL_N, "N1"), (V.DIFFERENTIATION, "moderate"),
        (V.LAUREN_TYPE, "diffuse"),
    }  # fmt: skip
    assert found.unanswered == ()


def test_a_form_of_plain_text_is_read(server: Server) -> None:
    """The whole report as an attachment; a PDF is left alone."""
    text = base64.b64encode(b"Lauren: mixed").decode()
    forms = ({"contentType": "text/plain; charset=utf-8", "data": text}, {"contentType": "application/pdf"})
    for form in (forms[0], forms[1] | {"data": base64.b64encode(b"pN1").decode()}):
        server.add(report("See the form.", presentedForm=[form]))
    assert [(one.variable, one.value) for one in gather(server).values] == [(V.LAUREN_TYPE, "mixed")]


@pytest.mark.parametrize(
    ("resource", "held"),
    [
        (condition(verificationStatus={"coding": [{"code": "provisional"}]}), {V.LESION_SITE: "NOT_FINAL"}),
        (condition(verificationStatus={"coding": [{"code": "refuted"}]}), {}),
        (condition("C25.9"), {}),
        (condition("X", stage=[{"summary": {"text": "pN1"}}]), {V.CLINICAL_N: "NO_TIME"}),
        (condition(recordedDate="2022-04-20"), {V.LESION_SITE: "STALE"}),
        (report("Suspicious for pN1"), {V.CLINICAL_N: "AMBIGUOUS"}),
        (report("pN1", status="preliminary"), {V.CLINICAL_N: "NOT_FINAL"}),
        (report("pN1", status="entered-in-error"), {}),
        (report("pN1", category="RAD"), {}),
        (report("pN1", effectiveDateTime="2024-05-09"), {}),
    ],
)
def test_doubtful_diagnoses_and_reports_are_held_or_left(
    server: Server, resource: dict[str, Any], held: dict[V, str]
) -> None:
    """Not confirmed, refuted, undated, old, ambiguous, preliminary, of radiology, or of an operation afterwards."""
    server.add(resource)
    found = gather(server)
    assert found.values == ()
    assert {one.variable: one.reason.name for one in found.held} == held


def test_kinds_that_may_not_be_seen_cost_no_laboratory_value(server: Server) -> None:
    """What could not be asked is said; the rest counts."""
    server.add(lab("2039-6", 4.2, "ng/mL"))
    server.forbidden = ("Condition", "DiagnosticReport")
    found = gather(server)
    assert [one.variable for one in found.values] == [V.CEA]
    assert found.unanswered == ("Condition HTTP_403", "DiagnosticReport HTTP_403")
    assert gather(server, resources=["Observation"]).unanswered == ()


def test_a_server_that_others_wrote_is_asked_the_same(server: Server) -> None:
    """Medplum validates, searches, sorts and pages: the same values come as from the strict server."""
    labs = [lab("24108-3", float(day), "U/mL", f"2024-04-{day:02}") for day in range(7, 30)]
    labs += [lab("2039-6", 4.2, "ug/L"), lab("718-7", 8.0, "mmol/L"), lab("751-8", 5200.0, "/uL", "2024-05-09")]
    late = condition("C25.2", recordedDate="2024-05-01", stage=[{"summary": {"text": "cT3 cN1"}}])
    with medplum() as other:
        other.add(patient())
        other.add(patient("p2", identifier=[{"system": SYSTEM, "value": "another"}]))
        for resource in (*labs, condition(), late, report("Poorly differentiated adenocarcinoma")):
            other.add(resource)
            server.add(resource)
        settings = FhirSettings(base_url=other.url, identifier_system=SYSTEM)
        asked = FhirSource(settings, {}).gather(SERIES)
    assert {one.variable: one.value for one in asked.values} == {
        V.CA19_9: 29.0,
        V.CEA: pytest.approx(4.2),
        V.HAEMOGLOBIN: pytest.approx(8.0 * 16.114),
        V.LESION_SITE: "body-tail",
        V.CLINICAL_T: "T3",
        V.CLINICAL_N: "N1",
        V.DIFFERENTIATION: "poor",
    }
    assert asked.unanswered == ()
    assert sorted(asked.values, key=str) == sorted(gather(server).values, key=str)


def test_a_patient_who_is_not_known_gives_nothing(server: Server) -> None:
    """No error: the server knows others."""
    server.resources.clear()
    assert gather(server) == Findings()


def test_a_server_that_ignores_what_it_is_asked_is_not_believed(server: Server) -> None:
    """Its other patients and their results are not this patient's."""
    other = patient("p2", identifier=[{"system": SYSTEM, "value": "9999"}])
    stranger = lab("24108-3", 99, "U/mL", subject={"reference": "Patient/p2"})
    server.resources += [other, stranger]
    server.search = lambda kind, _query: {  # type: ignore[method-assign]
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": one} for one in server.resources if one["resourceType"] == kind],
    }
    assert gather(server) == Findings()


@pytest.mark.parametrize(
    "changes", [{"birthDate": "1901-01-01"}, {"name": [{"family": "Other", "given": ["Jane"]}]}, {"gender": "other"}]
)
def test_somebody_else_under_the_same_number_is_not_used(server: Server, changes: dict[str, object]) -> None:
    """Name, birth date and sex must not contradict; what is neither male nor female contradicts nothing."""
    server.resources[0] = patient(**changes)
    server.add(lab("24108-3", 37, "U/mL"))
    if changes == {"gender": "other"}:
        assert gather(server).values
        return
    with pytest.raises(SourceSilent, match="PATIENT_CONTRADICTED"):
        gather(server)


def test_two_patients_with_one_number_are_nobody(server: Server) -> None:
    """Which of them is meant is for a person to say."""
    server.add(patient("p2"))
    with pytest.raises(SourceSilent, match="PATIENT_AMBIGUOUS"):
        gather(server)


def test_an_id_with_separators_is_one_id(server: Server) -> None:
    """It cannot ask for another patient's."""
    odd = replace(SERIES, patient=replace(SERIES.patient, patient_id="1,urn:oid:1.2.3|4711"))
    assert gather(server, odd) == Findings()
    assert "%5C%2C" in server.requests[0]


def test_a_resource_that_is_not_valid_is_left_out(server: Server) -> None:
    """The others count."""
    server.resources.append(lab("2039-6", 4, "ng/mL", status=["broken"]))
    server.add(lab("24108-3", 37, "U/mL"))
    server.search_kept = server.search  # type: ignore[attr-defined]
    server.search = lambda kind, _query: {  # type: ignore[method-assign]
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": one} for one in server.resources if one["resourceType"] == kind] + ["nonsense", {}],
    }
    assert [value.variable for value in gather(server).values] == [V.CA19_9]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_is_a_code(server: Server, status: int) -> None:
    """Tried once, and nothing of the answer is quoted."""
    server.fail_with = [status]
    with pytest.raises(SourceSilent) as fault:
        gather(server)
    assert str(fault.value) == f"HTTP_{status}"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_is_tried_again_and_then_a_code(server: Server, status: int) -> None:
    """Once more is enough here; twice is too often."""
    server.add(lab("24108-3", 37, "U/mL"))
    server.fail_with = [status]
    assert gather(server).values
    server.fail_with = [status, status]
    with pytest.raises(SourceSilent, match=f"HTTP_{status}"):
        gather(server)


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("text/html", b"<html>login</html>", "NOT_JSON"),
        ("application/fhir+json", b"<html>login</html>", "NOT_JSON"),
        ("application/fhir+json", b"[" * 100_000, "NOT_JSON"),
        ("application/fhir+json", b'"text"', "NOT_JSON"),
        ("application/fhir+json", b'{"resourceType": "OperationOutcome"}', "NOT_A_BUNDLE"),
        ("application/fhir+json", b" " * 9_000_000, "TOO_LARGE"),
    ],
)
def test_what_is_no_answer_is_a_code(server: Server, content_type: str, body: bytes, code: str) -> None:
    """HTML of a login page, broken, deep, foreign and endless documents."""
    server.answer_with = (content_type, body)
    with pytest.raises(SourceSilent, match=code):
        gather(server)


def test_a_slow_server_costs_no_more_than_its_time(server: Server) -> None:
    """The others are analysed meanwhile."""
    server.slow_s = 60.0
    began = time.monotonic()
    with pytest.raises(SourceSilent, match="TIMEOUT"):
        gather(server, within_s=0.5)
    assert time.monotonic() - began < 30.0


def test_a_server_that_is_not_there_is_a_code() -> None:
    """Nobody listens."""
    with fhir_server(Server()) as gone:
        pass
    with pytest.raises(SourceSilent, match="UNREACHABLE"):
        gather(gone)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "https://elsewhere.example/fhir", "file:///etc/passwd"]
)
def test_pages_come_from_the_same_server(server: Server, url: str) -> None:
    """A server cannot have this node ask others, nor hand it the token for them."""
    server.next_url = url
    with pytest.raises(SourceSilent, match="FOREIGN_PAGE"):
        gather(server)


def test_pages_end(server: Server) -> None:
    """A server whose next page is always the same is given up on."""
    server.next_url = f"{server.url}/Patient?identifier=x"
    with pytest.raises(SourceSilent, match="TOO_MANY_PAGES"):
        gather(server)


def secured(server: Server, secret: str = CLIENT[1]) -> FhirSource:
    """A source that asks for tokens."""
    server.needs_token = True
    return source(server, token_url=f"{server.url}/token", client_id=CLIENT[0], client_secret=secret)


def test_a_token_is_asked_for_once(server: Server) -> None:
    """With client credentials, and used until it expires."""
    server.add(lab("24108-3", 37, "U/mL"))
    asking = secured(server)
    assert asking.gather(SERIES).values
    assert asking.gather(SERIES).values
    assert len(server.tokens) == 1


def test_a_token_that_was_withdrawn_is_replaced(server: Server) -> None:
    """Once, at once."""
    server.add(lab("24108-3", 37, "U/mL"))
    asking = secured(server)
    asking.gather(SERIES)
    server.tokens.append("another")
    assert asking.gather(SERIES).values
    assert len(server.tokens) == 3


def test_wrong_credentials_are_a_code(server: Server) -> None:
    """And the secret shows nowhere."""
    asking = secured(server, "wrong-secret")
    with pytest.raises(SourceSilent) as fault:
        asking.gather(SERIES)
    assert str(fault.value) == "TOKEN_HTTP_401"
    assert "wrong-secret" not in repr(asking._settings)
    server.problems.clear()


@pytest.mark.parametrize("changes", [{"PatientID": ""}, {"StudyDate": ""}])
def test_without_number_or_day_nobody_is_asked(server: Server, changes: dict[str, str]) -> None:
    """What could not be matched is not fetched."""
    assert gather(server, series_of(ct_slices(3, **changes))) == Findings()
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://fhir.example/r4", "ftp://127.0.0.1/"])
def test_patients_data_travel_encrypted(url: str) -> None:
    """Plain http is for loopback alone."""
    with pytest.raises(ValueError, match="must be https"):
        FhirSettings(base_url=url, identifier_system=SYSTEM)
