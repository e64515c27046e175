"""A page to test: a data folder with cases of every kind, made by the store and the writers without a worker."""

import re
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from pydicom import Dataset, dcmread
from sqlalchemy import text

from node.dicom.reading import instance_from
from node.domain.access import Role
from node.domain.audit import AuditAction
from node.domain.identifiers import AeTitle, JobId, SeriesUID
from node.domain.intake import ReceivedInstance
from node.domain.lifecycle import JobState, Step
from node.domain.prediction import Prediction
from node.domain.reasons import Reason, ReasonCode
from node.reports.case_document import case_document
from node.reports.registry import WRITERS, resolve
from node.settings import Settings, WebSettings
from node.store.findings import Found
from node.store.jobs import EndedStep
from node.stores import Stores, open_database
from node.web import passwords
from node.web.app import make_app
from node.web.site import Site
from tests import factories
from tests.fakes import HereDecoder
from tests.unit.node.reports.factory import CtSpec, attribution, build_report, gtrnet, nomogram

PASSWORD = "correct horse battery"  # noqa: S105 — of nobody
HASHED = passwords.hashed(PASSWORD)
TOKEN = re.compile(r'<meta name="csrf" content="([0-9a-f]{64})">')


@dataclass
class PageUnderTest:
    """A site and what is in it."""

    settings: Settings
    site: Site
    jobs: dict[str, JobId] = field(default_factory=dict)

    @property
    def stores(self) -> Stores:
        """What it keeps."""
        return self.site.stores

    def client(self, **options: Any) -> TestClient:
        """A browser without a screen, nobody signed in."""
        base = options.pop("base_url", "http://127.0.0.1")
        return TestClient(make_app(self.site), base_url=base, follow_redirects=False, **options)

    def signed_in(self, role: Role) -> "Browser":
        """A browser with somebody of that role, whose name is the role's, signed in."""
        self.stores.users.add(role.value, HASHED, role)
        browser = Browser(self.client())
        answer = browser.post("/login", name=role.value, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        return browser

    def actions(self) -> list[str]:
        """What the audit trail says was done, in order."""
        return [event.action.value for event in self.stores.audit.events()]


class Browser:
    """A client that sends the token of the last page with its forms, as a browser does."""

    def __init__(self, client: TestClient) -> None:
        """Of ``client``."""
        self.client = client

    def get(self, path: str, **options: Any) -> Any:
        """A page."""
        return self.client.get(path, **options)

    def post(self, path: str, **form: str) -> Any:
        """A form, sent from a page of ours."""
        found = TOKEN.search(self.client.get("/login").text)
        assert found
        return self.client.post(path, data={"csrf": found[1], **form}, headers={"sec-fetch-site": "same-origin"})


def open_page(folder: Path, template: Path | None = None, **web: Any) -> PageUnderTest:
    """An empty site in ``folder``; ``template``: a migrated SQLite file to begin with."""
    settings = Settings(data_dir=folder, web=WebSettings(**{"port": 0} | web))
    if template is not None:
        shutil.copy(template, folder / "celadon.db")
    else:
        open_database(settings).upgrade()
    stores = Stores.open(settings)
    return PageUnderTest(settings, Site.open(settings, stores, HereDecoder()))


def receive(page: PageUnderTest, datasets: list[Dataset]) -> SeriesUID:
    """Take in the images of one series, and take it as complete."""
    for dataset in datasets:
        made = instance_from(dataset, str(dataset.file_meta.TransferSyntaxUID))
        page.stores.inbox.accept(ReceivedInstance(made, factories.as_file(dataset), AeTitle("PACS"), "127.0.0.1"))
    uid = SeriesUID(str(datasets[0].SeriesInstanceUID))
    assert page.stores.jobs.complete(uid, "test", len(datasets))
    return uid


def analysed(
    page: PageUnderTest, prediction: Prediction | None = None, spec: CtSpec | None = None, *, is_silent: bool = False
) -> JobId:
    """A case that was analysed, with every object that there is, and a finding; ``is_silent``: blinded, undelivered."""
    with tempfile.TemporaryDirectory() as folder:
        report = build_report(Path(folder), prediction or gtrnet(), spec)
        receive(page, [dcmread(one.path) for one in report.series.instances if one.path])
        claim = page.stores.jobs.claim("worker 1")
        assert claim is not None
        for step in (Step.TRIAGE, Step.ASSEMBLE, Step.LOCATE_ROI, Step.GATHER_CLINICAL, Step.PREDICT):
            page.stores.jobs.record_steps(claim, EndedStep(factories.step_record(step)))
        objects = [made for name in WRITERS for made in resolve(name).write(report)]
        found = Found(case_document(report), is_blinded=is_silent)
    done = page.stores.results.commit(
        claim,
        objects,
        predictor=prediction.algorithm.name.lower() if prediction else "gtrnet",
        destinations=() if is_silent else ("archive",),
        steps=[EndedStep(factories.step_record(), (factories.event(AuditAction.COMPOSED, job_id=claim.job_id),))],
        found=found,
    )
    assert done
    return claim.job_id


def refused(page: PageUnderTest, series: str = "2.25.7102", **header: Any) -> JobId:
    """A case that was not analysed, because its slices are too thick."""
    receive(page, factories.ct_slices(4, series=series, **header))
    claim = page.stores.jobs.claim("worker 1")
    assert claim is not None
    event = factories.event(AuditAction.SERIES_REFUSED, job_id=claim.job_id)
    reason = Reason(ReasonCode.ANNOTATION_ORPHAN, "for a test")
    assert page.stores.jobs.finish(claim, JobState.NOT_ANALYSED, reason, event)
    return claim.job_id


def waiting(page: PageUnderTest, series: str = "2.25.7103", **header: Any) -> JobId:
    """A case that waits."""
    uid = receive(page, factories.ct_slices(3, series=series, **header))
    return JobId.of(uid, 1)


def furnished(page: PageUnderTest) -> PageUnderTest:
    """The page with a case of each kind in ``jobs``: ``analysed``, ``refused`` and ``waiting``."""
    explained = replace(gtrnet(), attribution=attribution(), nomogram=nomogram())
    page.jobs["analysed"] = analysed(page, explained)
    page.jobs["refused"] = refused(page, PatientID="PAT-8", PatientName="Second^Patient", AccessionNumber="ACC-8")
    page.jobs["waiting"] = waiting(
        page, PatientID="PAT-9", PatientName="Third^Patient", AccessionNumber="ACC-9", RequestedProcedurePriority="STAT"
    )
    return page


def many(page: PageUnderTest, count: int) -> None:
    """Rows of ``count`` finished cases, written straight into the database."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    series = (
        "INSERT INTO series (series_uid, study_uid, patient_id, issuer, modality, calling_ae, first_received_at, "
        "last_received_at, in_conflict, patient_name, accession, search) "
        "VALUES (:uid, :uid, :patient, '', 'CT', 'PACS', :now, :now, false, :name, :accession, :search)"
    )
    jobs = (
        "INSERT INTO jobs (id, series_uid, version, state, step, reason, detail, predictor, manifest, token, strikes, "
        "lease_owner, created_at, completed_at, finished_at) "
        "VALUES (:id, :uid, 1, :state, '', '', '', 'porcelain', '', 1, 0, '', :at, :at, :at)"
    )
    rows = []
    for number in range(count):
        name, patient, accession = f"Name{number % 997}^Given", f"PAT-{number:07}", f"A{number:08}"
        rows.append(
            {
                "uid": f"2.25.9{number:07}", "id": f"many{number:08}", "patient": patient, "name": name, "now": now,
                "accession": accession, "search": f"{patient}\n{accession}\n{name}".lower(),
                "state": "not-analysed" if number % 50 == 0 else "done",
                "at": f"2025-{1 + number % 12:02}-{1 + number % 28:02} {number % 24:02}:00:00.{number % 1000000:06}",
            }
        )  # fmt: skip
    with page.stores.database.write() as connection:
        connection.execute(text(series), rows)
        connection.execute(text(jobs), rows)
