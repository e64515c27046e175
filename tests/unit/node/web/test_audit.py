"""The audit trail as a page."""

import csv
import io
import json

import pytest

from node.domain.access import Role
from node.web.audit import _cell
from tests.page import Browser, PageUnderTest


def test_rows_are_found_by_who_what_and_about_what(full: PageUnderTest) -> None:
    """The newest first; what matches nothing is said."""
    browser = Browser(full.client())
    assert "peer:instance:receive" in browser.get("/audit").text
    assert "worker:report:compose" not in browser.post("/audit", action="peer").text.split("<tbody>")[1]
    about = browser.post("/audit", subject=full.jobs["refused"]).text.split("<tbody>")[1]
    assert full.jobs["refused"] in about
    assert full.jobs["analysed"] not in about
    assert "No row is like that" in browser.post("/audit", actor="nobody").text
    assert "No row is like that" in browser.post("/audit", until="2020-01-01").text


def test_looking_at_the_trail_is_in_the_trail(full: PageUnderTest) -> None:
    """By operators, not by those whom it is about."""
    assert full.signed_in(Role.READER).get("/audit").status_code == 403
    assert full.signed_in(Role.OPERATOR).get("/audit").status_code == 200
    assert full.actions()[-1] == "person:audit:view"


def test_the_chain_is_verified_on_the_page(full: PageUnderTest) -> None:
    """And is whole."""
    assert "every one as it was written" in Browser(full.client()).post("/audit/verify").text


def test_the_export_has_every_row(full: PageUnderTest) -> None:
    """As CSV and as JSON lines; the export itself is the last row."""
    browser = Browser(full.client())
    rows = list(csv.DictReader(io.StringIO(browser.post("/audit/export").text)))
    assert [int(row["id"]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["action"] == "person:audit:export"
    lines = browser.post("/audit/export", form="json", action="person:audit:export").text.splitlines()
    assert [json.loads(line)["details"] for line in lines] == [{"form": "csv"}, {"form": "json"}]
    assert full.signed_in(Role.OPERATOR).post("/audit/export").status_code == 403


def test_verdicts_are_exported(full: PageUnderTest) -> None:
    """Keyed to case, model and reader."""
    browser = Browser(full.client())
    browser.post(f"/jobs/{full.jobs['analysed']}/verdict", kind="roi-wrong", reason="=cmd()")
    row = next(csv.DictReader(io.StringIO(browser.post("/verdicts/export").text)))
    assert (row["job"], row["kind"], row["reason"]) == (full.jobs["analysed"], "roi-wrong", "'=cmd()")
    document = json.loads(browser.post("/verdicts/export", form="json").text)
    assert (document["reason"], document["at"][-6:]) == ("=cmd()", "+00:00")
    (given,) = full.client().get("/api/v1/feedback").text.splitlines()
    assert list(row) == list(document) == list(json.loads(given))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_spreadsheet_takes_a_cell_for_a_formula(text: str) -> None:
    """Whatever a peer calls itself."""
    assert _cell(text) == f"'{text}"
    assert _cell("plain") == "plain"


def test_a_row_number_beyond_all_counting_is_no_mistake_of_ours(page: PageUnderTest) -> None:
    """It is refused, not looked for."""
    assert page.signed_in(Role.ADMIN).post("/audit", before=str(10**30)).status_code == 422
