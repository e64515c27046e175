"""The application as a whole: what every answer carries, and what errors say."""

import json

import pytest
from fastapi.routing import APIRoute

from node.domain.access import Role
from node.errors import Retryable
from node.web.app import make_app
from tests.page import Browser, PageUnderTest

OPEN = {"/login", "/logout", "/health/live", "/health/ready", "/metrics"}


def routes(page: PageUnderTest) -> list[tuple[str, str]]:
    """Every method and path, with something in place of what is asked for."""
    found = []
    for route in make_app(page.site).routes:
        candidates = getattr(route, "original_router", None)
        nested = candidates.routes if candidates is not None else [route]
        for one in nested:
            if isinstance(one, APIRoute):
                path = one.path.format(job_id="x", index=0, layer="outline", uid="1.2", patient="p", value_id=1)
                found += [(method, path) for method in one.methods]
    return found


def test_nothing_but_the_sign_in_answers_to_somebody_unknown(page: PageUnderTest) -> None:
    """Every route there is, asked by nobody once there are users."""
    page.stores.users.add("anna", "hash", Role.READER)
    client = page.client()
    asked = [(method, path) for method, path in routes(page) if path not in OPEN]
    assert len(asked) > 15
    for method, path in asked:
        answer = client.request(method, path)
        let_in = answer.status_code == 200
        assert not let_in, (method, path)
        assert answer.status_code in (303, 401, 403), (method, path, answer.status_code)


def test_what_changes_something_needs_the_token_of_a_page(full: PageUnderTest) -> None:
    """Every form that there is, sent without it by somebody who may everything."""
    client = full.client()
    client.get("/")
    forms = [path for method, path in routes(full) if method == "POST" and not path.startswith("/api/")]
    assert len(forms) > 5
    for path in forms:
        assert client.post(path, data={"kind": "agree"}).status_code == 403, path
    assert "person:verdict:give" not in full.actions()


def test_every_answer_forbids_what_stands_in_the_page_to_run(full: PageUnderTest) -> None:
    """A strict policy on pages, pictures, errors and files."""
    client = full.client()
    for path in (
        "/",
        f"/jobs/{full.jobs['analysed']}",
        "/none",
        "/static/celadon.js",
        "/api/v1/status",
        "/health/live",
    ):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_pages_are_not_kept_by_a_shared_browser(full: PageUnderTest) -> None:
    """What tells of a patient is not stored; the page's own files may be."""
    client = full.client()
    assert client.get("/").headers["cache-control"] == "no-store"
    assert client.get(f"/jobs/{full.jobs['analysed']}/slices/0.png").headers["cache-control"] == "no-store"
    assert client.get("/static/celadon.css").headers.get("cache-control") != "no-store"


def test_no_page_has_anything_inline(full: PageUnderTest) -> None:
    """Neither scripts nor styles nor handlers: the policy would only break them."""
    browser = Browser(full.client())
    for path in ("/", f"/jobs/{full.jobs['analysed']}", f"/jobs/{full.jobs['refused']}", "/audit", "/login"):
        text = browser.get(path).text
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick" not in text
        assert text.count("<script") == text.count("<script src=") == 2


def test_a_mistake_of_ours_tells_nothing_of_the_patient(
    full: PageUnderTest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither to the browser nor to the log."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("Canary^Patient")

    monkeypatch.setattr(type(full.stores.worklist), "page", fail)
    answer = full.client(raise_server_exceptions=False).get("/")
    assert answer.status_code == 500
    said = capsys.readouterr()
    assert "Canary" not in answer.text + said.out + said.err


def test_a_database_that_does_not_answer_is_told_in_words(full: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, not a trace."""

    def fail(*_: object, **__: object) -> None:
        raise Retryable("database: locked")

    monkeypatch.setattr(type(full.stores.worklist), "page", fail)
    answer = full.client().get("/api/v1/jobs")
    assert answer.status_code == 503
    assert "Try again" in answer.json()["detail"]


def test_a_page_says_so_too_although_nobody_can_be_asked_who_is_there(
    full: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions are in the same database."""
    browser = full.signed_in(Role.VIEWER)

    def fail(*_: object, **__: object) -> None:
        raise Retryable("database: locked")

    monkeypatch.setattr(type(full.stores.users), "of_session", fail)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "Try again" in answer.text


def test_what_was_sent_wrongly_is_not_repeated(page: PageUnderTest) -> None:
    """It may be a patient's."""
    answer = page.client().get("/api/v1/jobs", params={"limit": "Canary^Patient"})
    assert answer.status_code == 422
    assert "Canary" not in json.dumps(answer.json())


def test_the_api_describes_itself(page: PageUnderTest) -> None:
    """With every path that programs are promised, and how they sign in."""
    document = page.client().get("/api/openapi.json").json()
    assert {
        "/api/v1/jobs", "/api/v1/jobs/{job_id}", "/api/v1/jobs/{job_id}/feedback",
        "/api/v1/jobs/{job_id}/objects/{uid}", "/api/v1/clinical/{patient}", "/api/v1/status",
    } <= document["paths"].keys()  # fmt: skip
    assert document["paths"]["/api/v1/jobs"]["get"]["security"] == [{"token": []}]
    assert not [path for path in document["paths"] if path.startswith(("/audit", "/jobs", "/login"))]
