"""Clinical values apart from a case: looked for, entered, decided."""

import pytest

from node.clinical.reading import read
from node.domain.access import Role
from node.domain.audit import AuditAction
from node.domain.clinical import ClinicalVariable
from node.domain.clinical_intake import Intake, RawValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from tests import factories
from tests.page import PageUnderTest, waiting

NOW = factories.event().at


def came(page: PageUnderTest, text: str, unit: str, name: str = "", issuer: str = "HOSPITAL") -> None:
    """A value from a laboratory."""
    raw = RawValue(ClinicalVariable.CA19_9, text, unit)
    whose = PatientIdentity("PAT-7", issuer, name)
    page.stores.clinical.accept(Intake((ReceivedValue(whose, read(raw, NOW), "hl7", "17"),)))


def test_what_waits_is_listed_and_decided_by_a_person(full: PageUnderTest) -> None:
    """A number of somebody of another name: used once a reader has said so."""
    came(full, "820", "U/mL", name="Somebody^Else")
    browser = full.signed_in(Role.READER)
    text = browser.get("/clinical").text
    assert "820 U/mL" in text
    assert "PAT-7" in text
    (known,) = full.stores.clinical.all()
    answer = browser.post(f"/clinical/{known.id}", usable="true")
    assert "is+used" in answer.headers["location"]
    assert "No value waits" in browser.get("/clinical").text
    (decided,) = full.stores.clinical.all()
    assert decided.decided_by == "reader"
    assert "person:clinical:decide" in full.actions()


def test_a_patient_is_found_by_number_and_a_value_entered(full: PageUnderTest) -> None:
    """With the name of whoever entered it; what is nonsense is said and not kept."""
    came(full, "37", "U/mL")
    browser = full.signed_in(Role.READER)
    text = browser.post("/clinical", patient_id="PAT-7").text
    assert "Müller, Jörg" in text
    assert "37 U/mL" in text
    form = {"patient_id": "PAT-7", "issuer": "HOSPITAL", "variable": "cea", "value": "3.1", "unit": "ug/L"}
    assert "kept" in browser.post("/clinical/enter", **form).headers["location"]
    assert "problem" in browser.post("/clinical/enter", **form | {"value": "much"}).headers["location"]
    assert "problem" in browser.post("/clinical/enter", **form | {"observed": "yesterday"}).headers["location"]
    assert "problem" in browser.post("/clinical/enter", **form | {"patient_id": "PAT-404"}).headers["location"]
    text = browser.post("/clinical", patient_id="PAT-7").text
    assert "entered (reader)" in text
    assert text.count(">cea<") == 2, "once as a choice, once as a value"
    seen = [event for event in full.stores.audit.events() if event.action is AuditAction.PATIENT_VIEWED]
    case = full.stores.worklist.line(full.jobs["analysed"])
    assert case is not None
    assert [(event.actor, event.series_uid) for event in seen] == [("person reader", case.series_uid)] * 2
    entered = [event for event in full.stores.audit.events() if event.action is AuditAction.CLINICAL_ENTERED]
    assert [event.actor for event in entered] == ["person reader"]


def test_values_of_two_patients_of_one_number_stand_apart(page: PageUnderTest) -> None:
    """Two hospitals have given it; each has a form and a table of their own."""
    for series, issuer, text in (("2.25.7301", "HERE", "37"), ("2.25.7302", "ELSEWHERE", "820")):
        waiting(page, series, PatientID="PAT-7", IssuerOfPatientID=issuer, PatientName=f"Of^{issuer}")
        came(page, text, "U/mL", issuer=issuer)
    _, *sections = page.signed_in(Role.READER).post("/clinical", patient_id="PAT-7").text.split("<section")
    found = {("ELSEWHERE" in one, "37 U/mL" in one, "820 U/mL" in one) for one in sections}
    assert found == {(False, True, False), (True, False, True)}


def test_whoever_may_not_enter_values_does_not_see_the_page(full: PageUnderTest) -> None:
    """A viewer sees them on the case."""
    assert full.signed_in(Role.VIEWER).get("/clinical").status_code == 403
    assert "Nobody of that number" in full.signed_in(Role.ADMIN).post("/clinical", patient_id="x").text


@pytest.mark.parametrize("value_id", ["404", "99999999999999999999", "x"])
def test_there_is_nothing_to_decide_about_what_is_not_there(full: PageUnderTest, value_id: str) -> None:
    """It is said, or is no such page."""
    answer = full.signed_in(Role.READER).post(f"/clinical/{value_id}", usable="true")
    assert answer.status_code in (303, 422)
