"""The API for programs."""

import pytest

from node.clinical.entered import entered
from node.domain.access import Role
from node.domain.audit import CLINICAL_VALUE, AuditAction
from node.domain.clinical_intake import Intake
from node.domain.imaging import PatientIdentity
from tests import factories
from tests.page import HASHED, PageUnderTest


@pytest.fixture
def token(full: PageUnderTest) -> dict[str, str]:
    """The header of a reader's program."""
    full.stores.users.add("anna", HASHED, Role.READER)
    return {"authorization": f"Bearer {full.stores.users.add_token('anna', 'test', 1)}"}


def test_a_token_is_asked_for_once_there_are_users(full: PageUnderTest, token: dict[str, str]) -> None:
    """A wrong one is none."""
    client = full.client()
    assert client.get("/api/v1/jobs").status_code == 401
    assert client.get("/api/v1/jobs", headers={"authorization": "Bearer celadon_wrong"}).status_code == 401
    assert client.get("/api/v1/jobs", headers=token).status_code == 200


def test_jobs_are_listed_page_by_page(full: PageUnderTest) -> None:
    """What a page gives as next is where the following one begins."""
    client = full.client()
    first = client.get("/api/v1/jobs", params={"limit": 2}).json()
    second = client.get("/api/v1/jobs", params={"limit": 2, "after": first["next"]}).json()
    listed = {one["job"] for one in first["jobs"] + second["jobs"]}
    assert listed == set(full.jobs.values())
    assert second["next"] is None
    for after in ("x~y", "2026-01-01T00:00:00+00:00~a\x00b", "0001-01-01T00:00:00+14:00~a", "2026-01-01T00:00:00~a"):
        # 409, as the document says: by its schema any text may stand there.
        answer = client.get("/api/v1/jobs", params={"after": after})
        assert (answer.status_code, answer.json()["detail"][:5]) == (409, "after"), after
    assert "409" in client.get("/api/openapi.json").json()["paths"]["/api/v1/jobs"]["get"]["responses"]
    found = client.get("/api/v1/jobs", params={"patient": "PAT-8"}).json()["jobs"]
    assert [one["job"] for one in found] == [full.jobs["refused"]]
    assert client.get("/api/v1/jobs", params={"state": "waiting"}).json()["jobs"][0]["urgent"] is True


def test_a_job_comes_with_steps_objects_finding_and_feedback(full: PageUnderTest) -> None:
    """Everything that the page shows."""
    detail = full.client().get(f"/api/v1/jobs/{full.jobs['analysed']}").json()
    assert detail["job"]["state"] == "delivering"
    assert [one["step"] for one in detail["steps"]][-1] == "compose"
    assert {one["kind"] for one in detail["objects"]} >= {"summary", "segmentation", "structured-report"}
    assert detail["objects"][0]["deliveries"][0]["state"] == "pending"
    assert detail["finding"]["conclusion"]["code"] == "CT3"
    assert full.client().get("/api/v1/jobs/none").status_code == 404


def test_an_object_is_the_bytes_that_are_sent(full: PageUnderTest) -> None:
    """Of this job alone: another's object is not found under it."""
    made = full.stores.results.of(full.jobs["analysed"])[0]
    answer = full.client().get(f"/api/v1/jobs/{full.jobs['analysed']}/objects/{made.uid}")
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.content == made.path.read_bytes()
    assert full.client().get(f"/api/v1/jobs/{full.jobs['refused']}/objects/{made.uid}").status_code == 404
    assert full.client().get(f"/api/v1/jobs/{full.jobs['analysed']}/objects/..%2F..%2Fceladon.db").status_code == 404


def test_feedback_is_added_and_read_back(full: PageUnderTest, token: dict[str, str]) -> None:
    """Under the name of the token's person, whatever is sent."""
    path = f"/api/v1/jobs/{full.jobs['analysed']}/feedback"
    added = full.client().post(path, json={"kind": "disagree", "own_class": "CT2", "reason": "why"}, headers=token)
    assert added.status_code == 201
    assert (added.json()["reader"], added.json()["conclusion"]) == ("anna", "CT3")
    assert full.client().get(path, headers=token).json() == [added.json()]
    assert full.client().post(path, json={"kind": "disagree"}, headers=token).status_code == 409
    assert full.client().post(path, json={"kind": "agree", "reader": "berta"}, headers=token).status_code == 422


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"content-type": "text/plain"}]
)
def test_a_page_elsewhere_cannot_use_the_api_of_an_open_node(full: PageUnderTest, headers: dict[str, str]) -> None:
    """On loopback without users a browser is let in: what other pages have it send is not."""
    path = f"/api/v1/jobs/{full.jobs['analysed']}/feedback"
    content = {"content": b'{"kind": "agree"}', "headers": {"content-type": "application/json"} | headers}
    assert full.client().post(path, **content).status_code == 403  # type: ignore[arg-type]  # as httpx takes them


def test_status_and_clinical_values_are_there(full: PageUnderTest) -> None:
    """And reading a patient's values is in the trail."""
    status = full.client().get("/api/v1/status").json()
    assert (status["jobs"]["delivering"], status["queue_depth"], status["well"]) == (1, 1, True)
    assert full.client().get("/api/v1/clinical/PAT-7").json()["values"] == []
    assert "person:clinical:view" in full.actions()
    whose = PatientIdentity("PAT-7", "HOSPITAL")
    value = entered(whose, "ca19_9", "37", "U/mL", "anna", factories.event().at, None)
    (value_id,) = full.stores.clinical.accept(Intake((value,))).value_ids
    found = full.client().get("/api/v1/clinical/PAT-7", params={"issuer": "HOSPITAL"}).json()
    assert [one["variable"] for one in found["values"]] == ["ca19_9"]
    last = full.stores.audit.events()[-1]
    assert (last.action, last.details) == (AuditAction.PATIENT_VIEWED, {CLINICAL_VALUE: value_id})


def test_all_feedback_is_for_admins(full: PageUnderTest, token: dict[str, str]) -> None:
    """One line a verdict."""
    full.client().post(f"/api/v1/jobs/{full.jobs['analysed']}/feedback", json={"kind": "agree"}, headers=token)
    assert full.client().get("/api/v1/feedback", headers=token).status_code == 403
    full.stores.users.add("anna", HASHED, Role.ADMIN)
    assert len(full.client().get("/api/v1/feedback", headers=token).text.splitlines()) == 1
