"""Silent mode on the page: what was found is nowhere to be seen before somebody has unblinded it."""

import re
from dataclasses import replace

import pytest

from node.domain.access import Role
from node.domain.identifiers import JobId
from tests.page import Browser, PageUnderTest, analysed
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram

ANSWERS = ("62.1", "0.621", "cT3", "CT3", "Shapley", "Total points", "is-evidence")
"""What the result says, in the ways in which pages, objects and documents say it."""


@pytest.fixture
def silent(page: PageUnderTest) -> PageUnderTest:
    """A page with a result of silent mode."""
    page.jobs["silent"] = analysed(
        page, replace(gtrnet(), attribution=attribution(), nomogram=nomogram()), is_silent=True
    )
    return page


def looks(page: PageUnderTest, browser: Browser, job: JobId) -> dict[str, str]:
    """What everything that an administrator may ask for says."""
    found = page.stores.results.of(job)
    pages = {
        path: browser.get(path).text
        for path in (
            "/", f"/jobs/{job}", f"/jobs/{job}/state", "/audit", "/monitoring", "/metrics", "/api/v1/jobs",
            f"/api/v1/jobs/{job}", f"/api/v1/jobs/{job}/feedback", "/api/v1/status", "/api/v1/feedback",
            *(f"/api/v1/jobs/{job}/objects/{one.uid}" for one in found),
            *(f"/jobs/{job}/slices/2/{layer}.png" for layer in ("outline", "evidence")),
        )
    }  # fmt: skip
    for path in ("/", "/worklist/rows", "/audit", "/audit/export", "/verdicts/export"):
        for form in ("csv", "json"):
            pages[f"POST {path} {form}"] = browser.post(path, form=form).text
    return pages


def test_no_page_api_export_or_picture_tells_a_blinded_answer(silent: PageUnderTest) -> None:
    """Not even to an administrator."""
    job = silent.jobs["silent"]
    browser = silent.signed_in(Role.ADMIN)
    for path, text in looks(silent, browser, job).items():
        # The form of the outcome names every class there is.
        seen = re.sub(r'(?s)<section class="card" id="outcome">.*?</section>', "", text)
        assert not [answer for answer in ANSWERS if answer in seen], path
    assert "Blinded" in browser.get(f"/jobs/{job}").text
    assert "blinded" in browser.get("/").text
    for made in silent.stores.results.of(job):
        assert browser.get(f"/api/v1/jobs/{job}/objects/{made.uid}").status_code == 404
    assert browser.get(f"/jobs/{job}/slices/2/evidence.png").status_code == 404
    assert browser.get(f"/jobs/{job}/slices/2.png").status_code == 200


def test_nothing_of_it_is_in_the_outbox(silent: PageUnderTest) -> None:
    """And nothing can be withdrawn that nobody was sent."""
    job = silent.jobs["silent"]
    assert silent.stores.outbox.rows(job) == ()
    browser = silent.signed_in(Role.OPERATOR)
    browser.post(f"/jobs/{job}/retract", reason="wrong", confirmed="true")
    assert silent.stores.outbox.rows(job) == ()
    assert "person:job:retract" not in silent.actions()


def test_a_blinded_result_cannot_be_judged(silent: PageUnderTest) -> None:
    """A verdict names what the model has said."""
    job = silent.jobs["silent"]
    silent.signed_in(Role.READER).post(f"/jobs/{job}/verdict", kind="agree")
    assert silent.stores.verdicts.of(job) == ()


def test_an_administrator_unblinds_with_a_reason_and_everybody_sees_who(silent: PageUnderTest) -> None:
    """From then on the page is as any other."""
    job = silent.jobs["silent"]
    admin = silent.signed_in(Role.ADMIN)
    admin.post(f"/jobs/{job}/unblind", reason=" ")
    assert silent.stores.findings.is_blinded(job)
    answer = admin.post(f"/jobs/{job}/unblind", reason="the trial is over")
    assert answer.status_code == 303
    text = silent.signed_in(Role.VIEWER).get(f"/jobs/{job}").text
    assert "62.1 %" in text
    assert "Unblinded by admin" in text
    assert "the trial is over" in text
    assert "person:result:unblind" in silent.actions()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.READER, Role.OPERATOR])
def test_nobody_else_unblinds(silent: PageUnderTest, role: Role) -> None:
    """Nor somebody without a name, where nobody is set up."""
    job = silent.jobs["silent"]
    Browser(silent.client()).post(f"/jobs/{job}/unblind", reason="the trial is over")
    assert silent.stores.findings.is_blinded(job)
    assert silent.signed_in(role).post(f"/jobs/{job}/unblind", reason="the trial is over").status_code == 403
    assert silent.stores.findings.is_blinded(job)
