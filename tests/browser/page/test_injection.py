"""What a header, a message or a reader says is text: none of it runs, not even where the page's policy is off.

Each payload goes into every text column and every text of a result at once; ``ATTACKS=all`` looks at all of them, else
at a sample.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom.datadict import dictionary_VR, keyword_for_tag
from sqlalchemy import String, insert, select, update

from node.clinical.hl7_content import Reader
from node.clinical.hl7_text import read_messages
from node.dicom.reading import DOOR_TAGS
from node.domain.access import Role
from node.domain.identifiers import JobId
from node.store import tables
from tests import factories
from tests.browser.page.conftest import PATIENCE_MS, serve
from tests.page import HASHED, PASSWORD, PageUnderTest, furnished, open_page, receive
from tests.payloads import EVERY

SAMPLE = EVERY if os.environ.get("ATTACKS") == "all" else EVERY[:: max(1, len(EVERY) // 12)]
_ASCII_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "TM"})
"""Of the default repertoire alone (PS3.5 section 6.1.2.3)."""
_TEXT_VRS = _ASCII_VRS | {"LO", "PN", "SH"}
HEADER = {
    keyword_for_tag(tag): dictionary_VR(tag)
    for tag in sorted(DOOR_TAGS)
    # Another modality is no image, another character set another text.
    if dictionary_VR(tag) in _TEXT_VRS and keyword_for_tag(tag) not in ("Modality", "SpecificCharacterSet")
}
"""Every text that this node reads of a header, with its VR."""
LONGEST = 64
"""Characters of a patient's number (PS3.5 table 6.2-1)."""
PLAIN = "PAT-17"
KEPT = frozenset(
    {
        "id", "job_id", "state", "step", "reason", "predictor", "modality", "kind", "source", "sha256", "manifest",
        "destination", "lease_owner", "supersedes",
    }
)  # fmt: skip
"""Columns with words of ours alone, which nobody else can write."""
_TELLS = "window.ran = 0; window.pwned = () => { window.ran += 1; };"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, PageUnderTest]]:
    """A page of its own, with a series for each payload in every text of its header."""
    folder = tmp_path_factory.mktemp("attacked")
    page = furnished(open_page(folder))
    page.stores.users.add("admin", HASHED, Role.ADMIN)
    for number, payload in enumerate(EVERY):
        ascii_text = payload.encode("ascii", "ignore").decode()
        texts = {keyword: ascii_text if vr in _ASCII_VRS else payload for keyword, vr in HEADER.items()}
        texts["PatientID"] = number_of(payload)
        receive(page, [factories.ct_slice(0, series=f"2.25.81{number:03}", **texts)])
    # Somebody whose own header does nothing, for what laboratories send.
    receive(page, [factories.ct_slice(0, series="2.25.81999", PatientID=PLAIN, PatientName="Test^Name")])
    with serve(folder) as url:
        yield url, page


@pytest.fixture(params=[False, True], ids=["as it is", "without its policy"])
def admin(chromium: Browser, attacked: tuple[str, PageUnderTest], request: pytest.FixtureRequest) -> Iterator[Page]:
    """Somebody who may see everything; whatever runs counts in ``window.ran``, and a dialogue fails the test."""
    context = chromium.new_context(base_url=attacked[0], bypass_csp=request.param)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_TELLS)
    page = context.new_page()
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto("/login")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    yield page
    context.close()
    assert said == []


def assert_nothing_ran(page: Page, what: str) -> None:
    """No payload has called, after everything that waits for a moment has had it."""
    page.wait_for_load_state("load")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    assert page.evaluate("window.ran") == 0, what
    assert page.locator("script:not([src])").count() == 0, what


def test_the_trap_works(chromium: Browser) -> None:
    """A page that took a header for HTML would be seen."""
    context = chromium.new_context()
    context.add_init_script(_TELLS)
    page = context.new_page()
    page.goto("data:text/html,<img src=x onerror=pwned()>")
    page.wait_for_function("window.ran > 0")
    context.close()


def test_no_header_runs_in_the_list(admin: Page) -> None:
    """All of them, page by page, as text."""
    admin.goto("/")
    rows, more = admin.locator("#rows tr"), admin.get_by_role("button", name="Show more")
    while more.count():
        before = rows.count()
        more.click()
        expect(rows).not_to_have_count(before)
    assert rows.count() >= len(EVERY)
    assert_nothing_ran(admin, "the worklist")
    assert "<script>pwned()</script>" in admin.locator("#rows").inner_text()


def test_no_search_for_it_runs_either(admin: Page) -> None:
    """What was typed comes back in the field."""
    for payload in SAMPLE:
        admin.goto("/")
        admin.get_by_label("Find").fill(payload[:64])
        admin.keyboard.press("Enter")
        assert_nothing_ran(admin, payload)


def test_nothing_that_a_case_shows_runs(admin: Page, attacked: tuple[str, PageUnderTest]) -> None:
    """Header, clinical values, steps, objects, deliveries, verdicts, outcomes, notes: every text is a payload."""
    page, job = attacked[1], attacked[1].jobs["analysed"]
    whole = page.stores.findings.of(job)
    for payload in SAMPLE:
        poison(page, job, whole, payload)
        for path in (f"/jobs/{job}", f"/jobs/{job}/state", "/", "/audit", "/monitoring"):
            answer = admin.goto(path)
            assert answer is not None
            assert answer.status == 200, (path, payload)
            assert_nothing_ran(admin, f"{path}: {payload}")


def test_nothing_of_a_patient_who_is_looked_up_runs(admin: Page) -> None:
    """Number, issuer and name on the page of clinical values."""
    for payload in SAMPLE:
        admin.goto("/clinical")
        admin.get_by_label("Patient ID").fill(number_of(payload))
        admin.keyboard.press("Enter")
        heading = admin.get_by_role("heading", level=2).filter(has_text=number_of(payload))
        expect(heading.first).to_be_visible()
        assert_nothing_ran(admin, payload)


def test_no_feedback_runs(admin: Page, attacked: tuple[str, PageUnderTest]) -> None:
    """Sent as a program sends it, shown on the case and given away as a file."""
    page, job = attacked[1], attacked[1].jobs["analysed"]
    headers = {"authorization": f"Bearer {page.stores.users.add_token('admin', 'feedback', 1)}"}
    client = page.client()
    for payload in SAMPLE:
        sent = {"kind": "roi-wrong", "reason": payload}
        assert client.post(f"/api/v1/jobs/{job}/feedback", json=sent, headers=headers).status_code == 201
    admin.goto(f"/jobs/{job}")
    admin.get_by_text("none overwritten").click()
    shown = admin.locator("#verdict").inner_text()
    assert [payload for payload in SAMPLE if payload not in shown] == []
    assert_nothing_ran(admin, "the case")


def test_no_hl7_value_runs(admin: Page, attacked: tuple[str, PageUnderTest]) -> None:
    """As it came: on the page for those who look after it, and by the API as JSON that no browser takes for a page."""
    reader = Reader("HOSPITAL")
    for number, payload in enumerate(SAMPLE):
        text = payload.replace("\\", "\\E\\").replace("|", "\\F\\").replace("^", "\\S\\").replace("&", "\\T\\")
        lines = (
            f"MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506||ORU^R01|{number}|P|2.5.1",
            f"PID|1||{PLAIN}^^^HOSPITAL||Test^Name",
            "OBR|1",
            f"OBX|1|ST|24108-3^CA 19-9^LN||{text}|{text}|||||F",
        )
        (message,) = read_messages("\r".join(lines).encode(), "utf-8")
        attacked[1].stores.clinical.accept(reader.intake(message, datetime.now(UTC)))
    admin.goto("/clinical")
    admin.get_by_label("Patient ID").fill(PLAIN)
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", level=2)).to_contain_text(PLAIN)
    shown = admin.get_by_role("main").inner_text()
    assert [payload for payload in SAMPLE if payload not in shown] == []
    assert_nothing_ran(admin, "the values of the patient")
    answer = admin.goto(f"/api/v1/clinical/{PLAIN}?issuer=HOSPITAL")
    assert answer is not None
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "pwned" in answer.text()
    assert_nothing_ran(admin, "the API")


def number_of(payload: str) -> str:
    """A payload as a patient's number."""
    return payload[:LONGEST].strip()


def poison(page: PageUnderTest, job: JobId, document: Any, payload: str) -> None:
    """Write ``payload`` into every text that others can write, wherever it is kept."""
    with page.stores.database.write() as connection:
        # Verdicts are only ever added: the page has those of all payloads before as well.
        verdict = {"at": factories.event().at, "reader": payload, "kind": "disagree", "own_class": payload}
        connection.execute(insert(tables.verdicts).values(verdict | {"job_id": job, "reason": payload}))
        series = connection.scalar(select(tables.jobs.c.series_uid).where(tables.jobs.c.id == job))
        for table, where in (
            (tables.series, tables.series.c.series_uid == series),
            (tables.jobs, tables.jobs.c.id == job),
            (tables.results, tables.results.c.job_id == job),
            (tables.outbox, tables.outbox.c.job_id == job),
        ):
            texts = [column.name for column in table.c if isinstance(column.type, String) and is_others(column.name)]
            connection.execute(update(table).where(where).values(dict.fromkeys(texts, payload)))
        connection.execute(
            update(tables.job_steps).where(tables.job_steps.c.job_id == job).values(details={payload: payload})
        )
        poisoned = texts_of(document, payload)
        connection.execute(update(tables.findings).where(tables.findings.c.job_id == job).values(document=poisoned))
    page.stores.audit.record(factories.event(actor=payload[:128], job_id=job, details={payload: payload}))


def is_others(column: str) -> bool:
    """Whether somebody else than this program writes a column."""
    return column not in KEPT and not column.endswith("uid")


def texts_of(value: Any, payload: str, key: str = "") -> Any:
    """The document with every text replaced, but those that the page looks things up by."""
    if isinstance(value, dict):
        return {name: texts_of(one, payload, name) for name, one in value.items()}
    if isinstance(value, list):
        return [texts_of(one, payload, key) for one in value]
    kept = ("slices", "observed_at", "scores_keys")
    return payload if isinstance(value, str) and key not in kept else value
