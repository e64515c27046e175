"""One patient, from the PACS and back to the PACS: a real CT, a real Orthanc, the whole node."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from node.demo.contents import read_result
from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.demo.private_node import PrivateNode
from node.demo.series import DemoCase, make_case
from node.dicom.query import fetch, find_series
from node.domain.audit import AuditAction, AuditOutcome
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.real_series import FULL_SERIES, full_case
from tests.servers import require
from tests.waiting import wait_ended

ME = "ACCEPTANCE"
STATUS, DISCLAIMER = "phantom", "trained on phantoms, not on patients: for tests only"
EVERY_KIND = {
    SegmentationStorage: 1,
    Comprehensive3DSRStorage: 1,
    SecondaryCaptureImageStorage: 5,
    ParametricMapStorage: 1,
}


_IDENTIFYING = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
)
_QUANTITIES = {"NTR_HIGH", "T1", "T2", "T3", "T4"}


@dataclass(frozen=True)
class Hospital:
    """A PACS and a node that know each other."""

    pacs: DemoPacs
    node: PrivateNode


@dataclass(frozen=True)
class Visit:
    """A case that went the whole way: what was sent, the job, and what lies in the PACS afterwards."""

    case: DemoCase
    job: JobRecord
    results: list[Dataset]
    files: list[Path]

    def of(self, sop_class: str) -> list[Dataset]:
        """The results of one kind."""
        return [dataset for dataset in self.results if sop_class == dataset.SOPClassUID]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Orthanc routing to a node on free ports, for all tests of this file."""
    require("Orthanc", orthanc_program())
    require("storescu", shutil.which("storescu"))
    with start_pacs() as pacs, start_node(tmp_path_factory.mktemp("node"), pacs=pacs.peer) as node:
        pacs.route_to(node.peer)
        yield Hospital(pacs, node)


def _visit(hospital: Hospital, case: DemoCase, folder: Path) -> Visit:
    hospital.pacs.store([case.seg_path])
    hospital.pacs.store(case.ct_paths)
    job = wait_ended(hospital.node.stores, case.series_uid)
    files = _fetch(hospital, case, folder)
    return Visit(case, job, [dcmread(path) for path in files], files)


def _fetch(hospital: Hospital, case: DemoCase, folder: Path) -> list[Path]:
    """Everything in the study that was not sent, found by C-FIND and fetched by C-GET."""
    sent = {case.series_uid, dcmread(case.seg_path).SeriesInstanceUID}
    found = find_series(hospital.pacs.peer, ME, case.study_uid)
    series = [one.series_uid for one in found if one.series_uid not in sent]
    return [path for uid in series for path in fetch(hospital.pacs.peer, ME, folder, case.study_uid, uid)]


@pytest.fixture(scope="module", params=["pancreas", "stomach"])
def visit(request: pytest.FixtureRequest, hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """The bundled real CT with a contour of each organ, gone the whole way."""
    folder = tmp_path_factory.mktemp(request.param)
    return _visit(hospital, make_case(request.param, folder / "case", "acceptance"), folder / "results")


def test_the_job_is_done_by_the_predictor_of_its_organ(visit: Visit) -> None:
    """The contour's anatomic code decides which predictor runs."""
    expected = {"pancreas": "porcelain", "stomach": "gtrnet"}
    assert visit.job.state is JobState.DONE
    assert visit.job.predictor == expected[visit.case.organ.key]


def test_the_study_in_the_pacs_holds_every_kind_of_result(visit: Visit) -> None:
    """A region, a structured report, a summary, a page of reasons, three key images and the evidence map come back."""
    assert Counter(dataset.SOPClassUID for dataset in visit.results) == EVERY_KIND


def test_results_belong_to_the_patient_and_study_of_the_images(visit: Visit) -> None:
    """Every attribute that identifies is copied byte for byte from the CT."""
    source = dcmread(visit.case.ct_paths[0])
    for dataset in visit.results:
        for keyword in _IDENTIFYING:
            assert dataset.get(keyword) == source.get(keyword), (dataset.Modality, keyword)


def test_the_segmentation_is_the_contour_that_was_sent(visit: Visit) -> None:
    """The region that was analysed is the region that was drawn, voxel for voxel at the same place."""
    sent, received = dcmread(visit.case.seg_path), visit.of(SegmentationStorage)[0]
    assert received.FrameOfReferenceUID == sent.FrameOfReferenceUID
    assert _occupied(received) == _occupied(sent)


def _occupied(seg: Dataset) -> set[tuple[float, float, float]]:
    """The positions in millimetres of all voxels that are set."""
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0]
    spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
    points: set[tuple[float, float, float]] = set()
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        x, y, z = (float(value) for value in groups.PlanePositionSequence[0].ImagePositionPatient)
        for row, column in zip(*np.nonzero(frame), strict=True):
            points.add((round(x + spacing[1] * column, 2), round(y + spacing[0] * row, 2), round(z, 2)))
    return points


def test_the_report_holds_the_probabilities_that_were_predicted(visit: Visit, hospital: Hospital) -> None:
    """The numbers in the SR in the PACS are those on the audit trail."""
    events = hospital.node.stores.audit.events(job_id=visit.job.job_id)
    predicted = next(event for event in events if event.action is AuditAction.PREDICTED)
    report = next(path for path, dataset in zip(visit.files, visit.results, strict=True) if dataset.Modality == "SR")
    numbers = read_result(report).numbers
    found = [float(value.split()[0]) for name, value in numbers.items() if name.startswith("Probability")]
    expected = [float(value) * 100 for name, value in predicted.details.items() if name in _QUANTITIES]
    assert sorted(found) == pytest.approx(sorted(expected), abs=0.06)


def test_every_object_says_that_the_model_knows_no_patients(visit: Visit, hospital: Hospital) -> None:
    """Nobody can take the numbers for more than they are: descriptions, report text, audit trail and log say so."""
    for dataset in visit.results:
        assert STATUS in dataset.SeriesDescription
        assert dataset.SeriesDescription.endswith("(unverified)")
    assert any(DISCLAIMER in text for text in _texts(visit.of(Comprehensive3DSRStorage)[0]))
    assert all(capture.BurnedInAnnotation == "YES" for capture in visit.of(SecondaryCaptureImageStorage))
    events = hospital.node.stores.audit.events(job_id=visit.job.job_id)
    assert next(e for e in events if e.action is AuditAction.PREDICTED).details["disclaimer"] == DISCLAIMER
    assert DISCLAIMER in hospital.node.log_file.read_text()


def _texts(item: Dataset) -> Iterator[str]:
    """Every text in a content tree."""
    for child in item.get("ContentSequence", ()):
        yield str(child.get("TextValue", ""))
        yield from _texts(child)


def test_a_validator_finds_no_error(visit: Visit) -> None:
    """Dciodvfy has nothing against any object as it lies in the PACS."""
    validator = require("dciodvfy", shutil.which("dciodvfy"))
    for path in visit.files:
        run = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], path


def test_every_step_is_on_the_audit_trail(visit: Visit, hospital: Hospital) -> None:
    """Received, complete, triaged, assembled, ROI, clinical, predicted by which bundle, composed, delivered."""
    events = hospital.node.stores.audit.events()
    mine = [event for event in events if visit.case.series_uid == event.series_uid or event.job_id == visit.job.job_id]
    counts = Counter(event.action for event in mine)
    assert counts[AuditAction.INSTANCE_RECEIVED] == len(visit.case.ct_paths)
    for action in (
        AuditAction.SERIES_COMPLETED, AuditAction.JOB_CLAIMED, AuditAction.SERIES_TRIAGED, AuditAction.SERIES_ASSEMBLED,
        AuditAction.ROI_LOCATED, AuditAction.CLINICAL_GATHERED, AuditAction.PREDICTED, AuditAction.COMPOSED,
    ):  # fmt: skip
        assert counts[action] == 1, action
    delivered = [event for event in mine if event.action is AuditAction.DELIVERED]
    assert {event.instance_uid for event in delivered} == {dataset.SOPInstanceUID for dataset in visit.results}
    assert all(event.outcome is AuditOutcome.SUCCESS for event in mine)
    assert all(event.actor and event.at.utcoffset() is not None for event in mine)
    digest = next(event for event in mine if event.action is AuditAction.PREDICTED).details["digest"]
    assert re.fullmatch(r"[0-9a-f]{64}", str(digest))


def test_results_that_come_back_start_nothing(visit: Visit, hospital: Hospital) -> None:
    """The study has one job for the CT and one for the contour: results are not analysed in turn."""
    jobs = [job for job in hospital.node.stores.jobs.jobs() if job.study_uid == visit.case.study_uid]
    assert sorted(job.modality for job in jobs) == ["CT", "SEG"]


def test_a_contour_drawn_later_has_the_series_analysed_again(hospital: Hospital, tmp_path: Path) -> None:
    """A CT without contour is not analysed, with the reason; the contour that follows makes a version that is."""
    case = make_case("pancreas", tmp_path / "case", "drawn-later")
    stores = hospital.node.stores
    hospital.pacs.store(case.ct_paths)
    first = wait_ended(stores, case.series_uid)
    # The segmenter has seen phantoms alone: that it knows neither such a patient nor a lesion there, are right answers.
    assert first.state is JobState.NOT_ANALYSED
    assert first.reason in {ReasonCode.ROI_NOT_FOUND.name, ReasonCode.OUT_OF_DISTRIBUTION.name}
    assert _fetch(hospital, case, tmp_path / "none") == []
    hospital.pacs.store([case.seg_path])
    second = wait_ended(stores, case.series_uid, version=2)
    assert (second.state, second.supersedes) == (JobState.DONE, first.job_id)
    superseded = stores.jobs.job(first.job_id)
    assert superseded is not None
    assert superseded.state is JobState.SUPERSEDED
    assert len(_fetch(hospital, case, tmp_path / "results")) == sum(EVERY_KIND.values())


@pytest.mark.skipif(FULL_SERIES is None, reason="the full real series is not beside the project")
@pytest.mark.parametrize("organ", ["pancreas", "stomach"])
def test_the_full_series_goes_the_same_way(hospital: Hospital, tmp_path: Path, organ: str) -> None:
    """Twenty real slices with a region from their own organ map end as results in the same study."""
    visit = _visit(hospital, full_case(organ, tmp_path / "case"), tmp_path / "results")
    assert visit.job.state is JobState.DONE
    assert Counter(dataset.SOPClassUID for dataset in visit.results) == EVERY_KIND
    assert {dataset.PatientID for dataset in visit.results} == {visit.case.patient_id}
