"""Bad input at a running node: each ends in a state with a coded reason or a failure status at the door.

One node for all tests, and after each of them it must still be the same living node; nothing of what is refused may
reach the archive.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage

from node.demo.private_node import PrivateNode
from node.demo.series import make_case
from node.dicom.peer import Peer
from node.dicom.query import find_series, find_studies
from node.dicom.sending import SendResult, echo, send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.audit import AuditAction
from node.domain.identifiers import StudyUID
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.factories import ct_slices, with_meta, write
from tests.waiting import wait_ended

ME = "SCANNER"
QUIET_S = 2.0
SLICES = 6

NO_REGION = {ReasonCode.ROI_NOT_FOUND.name, ReasonCode.OUT_OF_DISTRIBUTION.name}
"""What the segmenter says of a real patient: it has seen phantoms alone."""


@dataclass(frozen=True)
class Site:
    """A node and the archive that it delivers to."""

    node: PrivateNode
    archive: Peer

    def send(self, paths: Sequence[Path]) -> tuple[SendResult, ...]:
        """Store files at the node."""
        return send_files(paths, self.node.peer, ME)

    def verdict(self, datasets: Sequence[Dataset], folder: Path) -> JobRecord:
        """What the node says of a series that it accepts."""
        assert all(result.is_stored for result in self.send(write(datasets, folder)))
        return wait_ended(self.node.stores, datasets[0].SeriesInstanceUID)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with short patience, and an archive that takes everything."""
    folder = tmp_path_factory.mktemp("site")
    extra = f"[completion]\nquiet_max_s = {QUIET_S}\n"
    with SmallPacs(folder / "archive") as archive, start_node(folder / "node", pacs=archive.peer, extra=extra) as node:
        yield Site(node, archive.peer)


@pytest.fixture(autouse=True)
def _unharmed(site: Site) -> Iterator[None]:
    """Whatever a test sends: the same processes live on, and the archive holds nothing of a study that was refused."""
    yield
    assert site.node.process.poll() is None
    echo(site.node.peer, ME)
    log = site.node.log_file.read_text()
    assert "process died" not in log
    assert "Traceback" not in log


def _study(name: str) -> dict[str, str]:
    """UIDs of a study of its own for each test."""
    return {"StudyInstanceUID": StudyUID.derived("bad", name), "series": StudyUID.derived("bad", name, "series")}


def _nothing_delivered(site: Site, study_uid: str) -> bool:
    return find_studies(site.archive, ME, study_uid=study_uid) == ()


def test_a_scout_is_not_analysed(site: Site, tmp_path: Path) -> None:
    """Localizer images end as not-analysed, LOCALIZER."""
    slices = ct_slices(SLICES, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **_study("scout"))
    job = site.verdict(slices, tmp_path)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.LOCALIZER.name)
    assert _nothing_delivered(site, job.study_uid)


def test_a_secondary_capture_is_not_analysed(site: Site, tmp_path: Path) -> None:
    """A screenshot in the study ends as not-analysed, SECONDARY_CAPTURE."""
    shots = ct_slices(1, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", **_study("capture"))
    job = site.verdict([with_meta(shot) for shot in shots], tmp_path)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.SECONDARY_CAPTURE.name)
    assert _nothing_delivered(site, job.study_uid)


def test_an_mr_is_not_analysed(site: Site, tmp_path: Path) -> None:
    """Another modality ends as not-analysed, NOT_CT."""
    slices = ct_slices(SLICES, SOPClassUID=MRImageStorage, Modality="MR", **_study("mr"))
    job = site.verdict([with_meta(one) for one in slices], tmp_path)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.NOT_CT.name)
    assert _nothing_delivered(site, job.study_uid)


def test_a_series_with_a_missing_slice_waits_and_is_not_analysed(site: Site, tmp_path: Path) -> None:
    """A gap is waited on for the longest time, then ends as not-analysed, MISSING_SLICE, and says where it is."""
    slices = ct_slices(SLICES, **_study("gap"))
    del slices[3]
    job = site.verdict(slices, tmp_path)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.MISSING_SLICE.name)
    assert "after slice 3 of 5" in job.detail
    assert job.completed_at is not None
    assert (job.completed_at - job.last_received_at).total_seconds() >= QUIET_S
    assert _nothing_delivered(site, job.study_uid)


def test_the_missing_slice_makes_a_version_that_is_looked_at_again(site: Site, tmp_path: Path) -> None:
    """A slice that comes after the verdict opens a second version with all slices."""
    slices = ct_slices(SLICES, **_study("late"))
    late = slices.pop(3)
    first = site.verdict(slices, tmp_path / "first")
    assert first.reason == ReasonCode.MISSING_SLICE.name
    site.send(write([late], tmp_path / "late"))
    second = wait_ended(site.node.stores, first.series_uid, version=2)
    assert second.reason in NO_REGION
    assert second.supersedes == first.job_id


def test_two_patients_under_one_series_uid_are_held_for_a_person(site: Site, tmp_path: Path) -> None:
    """Slices of another patient in a series quarantine it, PATIENT_CONFLICT: nobody's images are analysed."""
    names = _study("two patients")
    slices = ct_slices(SLICES, **names)
    for image in slices[SLICES // 2 :]:
        image.PatientID, image.PatientName = "PAT-2", "Somebody^Else"
    job = site.verdict(slices, tmp_path)
    assert (job.state, job.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    assert site.node.stores.jobs.steps(job.job_id) == ()
    assert _nothing_delivered(site, job.study_uid)


def test_a_truncated_file_is_refused_at_the_door(site: Site, tmp_path: Path) -> None:
    """A file that ends early is answered with a failure status, put on the audit trail, and not stored."""
    images = ct_slices(1, **_study("truncated"))
    path = write(images, tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-100])
    refused = site.send([path])[0]
    assert (refused.state, refused.status) == (DeliveryState.FAILED, 0xC000)
    assert not site.node.stores.inbox.holds(images[0].SeriesInstanceUID)
    events = site.node.stores.audit.events()
    reasons = {event.reason for event in events if event.action is AuditAction.INSTANCE_REFUSED}
    assert reasons & {ReasonCode.NOT_PARSEABLE, ReasonCode.PIXEL_DATA_LENGTH}


def test_a_truncated_compressed_file_is_refused_at_the_door(site: Site, tmp_path: Path) -> None:
    """A JPEG 2000 file that ends in the middle of its code stream is refused too."""
    case = make_case("pancreas", tmp_path, "truncated")
    path = case.ct_paths[0]
    path.write_bytes(path.read_bytes()[:-5000])
    assert site.send([path])[0].status == 0xC000
    assert not site.node.stores.inbox.holds(case.series_uid)


def test_a_contour_of_something_else_is_never_the_roi(site: Site, tmp_path: Path) -> None:
    """A SEG that references another series is an orphan, and the CT beside it has no contour."""
    case = make_case("pancreas", tmp_path / "case", "elsewhere")
    seg = dcmread(case.seg_path)
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.404"
    seg.save_as(case.seg_path)
    site.send([case.seg_path, *case.ct_paths])
    contour = wait_ended(site.node.stores, seg.SeriesInstanceUID)
    images = wait_ended(site.node.stores, case.series_uid)
    assert (contour.state, contour.reason) == (JobState.NOT_ANALYSED, ReasonCode.ANNOTATION_ORPHAN.name)
    assert images.state is JobState.NOT_ANALYSED
    assert images.reason in NO_REGION
    assert _nothing_delivered(site, case.study_uid)


def test_a_contour_of_another_patient_is_never_the_roi(site: Site, tmp_path: Path) -> None:
    """A SEG that references the series under another patient's ID is quarantined, and the CT has no contour."""
    case = make_case("pancreas", tmp_path / "case", "other-patient")
    seg = dcmread(case.seg_path)
    seg.PatientID = "SOMEBODY-ELSE"
    seg.save_as(case.seg_path)
    site.send([*case.ct_paths, case.seg_path])
    images = wait_ended(site.node.stores, case.series_uid)
    contour = wait_ended(site.node.stores, seg.SeriesInstanceUID)
    assert images.state is JobState.NOT_ANALYSED
    assert images.reason in NO_REGION
    assert (contour.state, contour.reason) == (JobState.QUARANTINED, ReasonCode.PATIENT_CONFLICT.name)
    assert _nothing_delivered(site, case.study_uid)


def test_after_all_of_it_a_good_case_is_done(site: Site, tmp_path: Path) -> None:
    """The worker that refused everything else analyses the next patient."""
    case = make_case("stomach", tmp_path, "good")
    site.send([case.seg_path, *case.ct_paths])
    job = wait_ended(site.node.stores, case.series_uid)
    assert job.state is JobState.DONE
    # Only results are in the archive here: the CT was sent straight to the node.
    assert len(find_series(site.archive, ME, case.study_uid)) == 5
