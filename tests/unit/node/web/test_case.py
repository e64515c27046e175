"""The case as a page: pictures, reasons, values, verdicts."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from node.domain.access import Role
from node.domain.audit import AuditAction
from node.domain.lifecycle import JobState
from node.domain.reporting import ObjectKind
from tests import factories
from tests.page import Browser, PageUnderTest, receive, waiting


def test_a_case_shows_the_answer_with_its_limits_and_reasons(full: PageUnderTest) -> None:
    """Everything that the objects say, on one page."""
    text = Browser(full.client()).get(f"/jobs/{full.jobs['analysed']}").text
    for words in (
        "not for clinical use", "cT3", "62.1 %", "Shapley", "Nomogram", "Total points", "dicom-header",
        "archive: waiting to be sent",
        "locate-roi", "Your verdict", "Grad-CAM",
    ):  # fmt: skip
        assert words in text, words


def test_looking_is_in_the_trail_once_a_case_and_not_once_a_slice(full: PageUnderTest) -> None:
    """With job, series and study."""
    browser = full.signed_in(Role.VIEWER)
    browser.get(f"/jobs/{full.jobs['analysed']}")
    for index in range(3):
        assert browser.get(f"/jobs/{full.jobs['analysed']}/slices/{index}.png").status_code == 200
    rows = [event for event in full.stores.audit.events() if event.action.value == "person:case:view"]
    assert [(row.actor, row.job_id) for row in rows] == [("person viewer", full.jobs["analysed"])]
    assert rows[0].study_uid
    assert rows[0].series_uid


def test_pictures_fetched_without_the_page_are_in_the_trail_too(full: PageUnderTest) -> None:
    """There is no way round."""
    full.signed_in(Role.VIEWER).get(f"/jobs/{full.jobs['analysed']}/slices/0.png")
    assert "person:case:view" in full.actions()


def test_a_slice_is_the_ct_in_its_window(full: PageUnderTest) -> None:
    """110 HU is 67 % of the abdominal window and 23 % of the model's; 40 HU is black in the model's."""
    client = full.client()

    def pixels(window: str) -> np.ndarray:
        answer = client.get(f"/jobs/{full.jobs['analysed']}/slices/2.png", params={"window": window})
        return np.asarray(Image.open(BytesIO(answer.content)))

    abdomen, model = pixels("abdomen"), pixels("model")
    assert abdomen.shape == (64, 80)
    assert (abdomen[20, 25], model[20, 25]) == (round(255 * 235 / 350), round(255 * 70 / 310))
    assert (abdomen[0, 0], model[0, 0]) == (round(255 * 165 / 350), 0)


def test_the_outline_lies_around_the_region(full: PageUnderTest) -> None:
    """Transparent everywhere else, the region itself included."""
    path = f"/jobs/{full.jobs['analysed']}/slices/2/outline.png"
    drawn = np.asarray(Image.open(BytesIO(full.client().get(path).content)))[..., 3] > 0
    assert drawn.shape == (128, 160)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (31, 64, 39, 80)
    assert not drawn[32:64, 40:80].any()


@pytest.mark.parametrize("damage", [b"", b"no DICOM at all", None])
def test_a_damaged_result_is_said_and_the_case_is_shown(full: PageUnderTest, damage: bytes | None) -> None:
    """Garbage, nothing, or half of it: no region drawn is not a region that is nowhere."""
    job = full.jobs["analysed"]
    (path,) = (one.path for one in full.stores.results.of(job) if one.kind is ObjectKind.SEGMENTATION)
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    client = full.client()
    answer = client.get(f"/jobs/{job}/slices/2/outline.png")
    assert (answer.status_code, answer.text.partition(":")[0]) == (409, "STORED_FILE_DAMAGED")
    assert client.get(f"/jobs/{job}/slices/2/evidence.png").status_code == 200
    shown = client.get(f"/jobs/{job}")
    assert shown.status_code == 200
    assert "The region cannot be shown" in shown.text
    assert "The evidence map cannot be shown" not in shown.text


@pytest.mark.parametrize(
    "path",
    ["slices/99.png", "slices/-1.png", "slices/0.png?window=none", "slices/0/outline.png", "slices/2/none.png",
     "slices/..%2f..%2fetc.png"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(full: PageUnderTest, path: str) -> None:
    """Whatever is asked for."""
    assert full.client().get(f"/jobs/{full.jobs['analysed']}/{path}").status_code in (404, 422)
    assert full.client().get("/jobs/none").status_code == 404


def test_a_verdict_is_kept_with_model_and_reader(full: PageUnderTest) -> None:
    """And amended by a second."""
    browser = full.signed_in(Role.READER)
    path = f"/jobs/{full.jobs['analysed']}/verdict"
    browser.post(path, kind="disagree", own_class="CT2", reason="the fat plane is kept")
    browser.post(path, kind="agree")
    words = full.stores.verdicts.of(full.jobs["analysed"])
    assert [(word.reader, word.kind.value, word.conclusion) for word in words] == [
        ("reader", "disagree", "CT3"),
        ("reader", "agree", "CT3"),
    ]
    document = full.stores.findings.of(full.jobs["analysed"])
    assert document is not None
    assert {word.digest for word in words} == {document["algorithm"]["digest"]}
    assert "All 2 words" in browser.get(f"/jobs/{full.jobs['analysed']}").text


@pytest.mark.parametrize("form", [{"kind": "disagree"}, {"kind": "none"}, {}, {"kind": "disagree", "own_class": "CT3"}])
def test_an_incomplete_verdict_is_said_and_not_kept(full: PageUnderTest, form: dict[str, str]) -> None:
    """In words, on the page that it came from."""
    browser = Browser(full.client())
    answer = browser.post(f"/jobs/{full.jobs['analysed']}/verdict", **form)
    assert 'role="alert"' in browser.get(answer.headers["location"]).text
    assert full.stores.verdicts.of(full.jobs["analysed"]) == ()


def test_a_case_without_result_cannot_be_judged(full: PageUnderTest) -> None:
    """There is nothing to agree with."""
    Browser(full.client()).post(f"/jobs/{full.jobs['refused']}/verdict", kind="agree")
    assert full.stores.verdicts.of(full.jobs["refused"]) == ()


def test_a_value_that_is_entered_has_the_case_analysed_again(full: PageUnderTest) -> None:
    """With the name of who entered it; the page leads to the new version."""
    browser = full.signed_in(Role.READER)
    answer = browser.post(
        f"/jobs/{full.jobs['analysed']}/clinical",
        variable="cea",
        value="5.2",
        unit="ng/mL",
        observed="2024-05-01T10:00",
    )
    assert full.jobs["analysed"] not in answer.headers["location"]
    newer = browser.get(answer.headers["location"])
    assert "the analysis begins again" in newer.text
    assert "Versions:" in newer.text


def test_a_value_that_is_entered_is_of_the_patient_of_the_images(page: PageUnderTest) -> None:
    """Another hospital has given the same number, to somebody of the same name."""
    same = {"PatientID": "7", "PatientName": "Same^Name"}
    waiting(page, "2.25.7301", IssuerOfPatientID="ELSEWHERE", **same)
    job = waiting(page, "2.25.7302", IssuerOfPatientID="HERE", **same)
    Browser(page.client()).post(f"/jobs/{job}/clinical", variable="cea", value="5", unit="ng/mL")
    (known,) = page.stores.clinical.all()
    assert known.received.patient.issuer == "HERE"


@pytest.mark.parametrize(
    "form",
    [{"variable": "cea", "value": "5"}, {"variable": "none", "value": "1"},
     {"variable": "cea", "value": "5", "unit": "ng/mL", "observed": "soon"}],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_said(full: PageUnderTest, form: dict[str, str]) -> None:
    """Without a unit, of no variable, of no day."""
    browser = Browser(full.client())
    answer = browser.post(f"/jobs/{full.jobs['analysed']}/clinical", **form)
    assert 'role="alert"' in browser.get(answer.headers["location"]).text


def test_what_stands_in_a_header_is_text_wherever_it_is_shown(page: PageUnderTest) -> None:
    """Names, numbers and descriptions that look like markup."""
    payload = "<img src=x onerror=alert(1)>"
    job = waiting(page, PatientName=payload, PatientID=payload, AccessionNumber=payload[:16], SeriesDescription=payload)
    for path in ("/", f"/jobs/{job}"):
        text = Browser(page.client()).get(path).text
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text


def test_links_to_viewers_hold_what_they_are_for_and_nothing_more(full: PageUnderTest) -> None:
    """Values are quoted: an accession number cannot end the address."""
    web = full.settings.web.model_copy(update={"viewers": {"OHIF": "https://v/?s={study_uid}&a={accession}"}})
    object.__setattr__(full.site, "settings", full.settings.model_copy(update={"web": web}))
    receive(full, factories.ct_slices(2, series="2.25.7200", AccessionNumber="A&b=c#d"))
    job = next(one.job_id for one in full.stores.jobs.jobs() if one.series_uid == "2.25.7200")
    assert "https://v/?s=2.25.7001&amp;a=A%26b%3Dc%23d" in Browser(full.client()).get(f"/jobs/{job}").text


def test_how_far_a_case_is_can_be_asked_for_alone(full: PageUnderTest) -> None:
    """A page that shows an older state says so."""
    path = f"/jobs/{full.jobs['refused']}/state"
    assert "load it again" in full.client().get(path, params={"seen": "waiting"}).text
    assert "load it again" not in full.client().get(path, params={"seen": "not-analysed"}).text


def test_a_result_is_withdrawn_with_a_reason_and_a_tick_and_not_otherwise(full: PageUnderTest) -> None:
    """By an operator; the trail says who and why."""
    job = full.jobs["analysed"]
    browser = full.signed_in(Role.OPERATOR)
    for form in ({"reason": "wrong patient"}, {"confirmed": "true"}, {"confirmed": "true", "reason": " \n"}):
        browser.post(f"/jobs/{job}/retract", **form)
        line = full.stores.worklist.line(job)
        assert line is not None
        assert line.state is JobState.DELIVERING
    answer = browser.post(f"/jobs/{job}/retract", confirmed="true", reason="the contour was of another patient")
    assert "nothing+had+been+sent" in answer.headers["location"]
    line = full.stores.worklist.line(job)
    assert line is not None
    assert line.state is JobState.RETRACTED
    told = [event for event in full.stores.audit.events() if event.action is AuditAction.JOB_RETRACTED]
    assert [(event.actor, event.details["why"]) for event in told] == [
        ("person operator", "the contour was of another patient")
    ]
    text = browser.get(f"/jobs/{job}").text
    assert "archive: withdrawn" in text
    assert "/retract" not in text


def test_a_result_that_was_sent_is_followed_by_what_takes_it_back(full: PageUnderTest) -> None:
    """A rejection note and a notice for the archive that has it, in the table of objects."""
    job = full.jobs["analysed"]
    with full.stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE outbox SET state = 'stored', attempts = 1")
    browser = full.signed_in(Role.OPERATOR)
    answer = browser.post(f"/jobs/{job}/retract", confirmed="true", reason="the contour was of another patient")
    assert "rejection+note" in answer.headers["location"]
    text = browser.get(f"/jobs/{job}").text
    assert "rejection-note" in text
    assert text.count("archive: stored") >= 9
    assert text.count("archive: waiting to be sent") >= 2


def test_each_object_says_how_far_it_has_come(full: PageUnderTest) -> None:
    """Up to the archive's commitment, with its moment."""
    with full.stores.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE outbox SET state = 'committed', attempts = 3, stored_at = '2025-01-02 03:04:05.000000', "
            "committed_at = '2025-01-02 03:05:06.000000' WHERE id = 1"
        )
    text = full.signed_in(Role.VIEWER).get(f"/jobs/{full.jobs['analysed']}").text
    assert "archive: committed" in text
    assert "2025-01-02" in text
    assert ", 3 attempts" in text


def test_an_outcome_is_kept_with_who_entered_it(full: PageUnderTest) -> None:
    """Of the classes that answer this result's question; what makes no sense is said and not kept."""
    job = full.jobs["analysed"]
    browser = full.signed_in(Role.READER)
    form = browser.get(f"/jobs/{job}").text.partition('id="outcome"')[2]
    assert '<option value="T3">' in form
    assert "NTR_HIGH" not in form
    browser.post(f"/jobs/{job}/outcome", answer="T9")
    assert "Not known yet" in browser.get(f"/jobs/{job}").text
    browser.post(f"/jobs/{job}/outcome", answer="T2", determined="2025-01-02", source="pathology")
    text = browser.get(f"/jobs/{job}").text
    assert "determined 2025-01-02, pathology" in text
    assert "entered by reader" in text
    assert "person:outcome:enter" in full.actions()


def test_a_single_model_states_no_interval(full: PageUnderTest) -> None:
    """Beside the scores, and not in small print; a nomogram's range over what is unknown is called that."""
    text = full.signed_in(Role.VIEWER).get(f"/jobs/{full.jobs['analysed']}").text
    beside = text.partition('<table class="scores"')[2].partition("</table>")[2].partition("</p>")[0]
    assert "Point estimates of a single model: no confidence interval is given." in beside
    assert "faint" not in beside
    assert "ranges over what is unknown" in text
