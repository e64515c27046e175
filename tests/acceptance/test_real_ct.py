"""Real patients without a contour, through the whole node: whatever the shipped segmenter makes of them, it says so.

There is no tumour contour in these data, and the shipped segmenter has seen phantoms alone: that a series ends as
out of distribution, or without a lesion, is a right answer. What is asserted is that it ends, and how it is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread

from node.demo.private_node import PrivateNode
from node.dicom.query import fetch, find_series
from node.dicom.sending import send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.identifiers import SeriesUID, StudyUID
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.factories import ct_slice, write
from tests.real_series import FULL_SERIES
from tests.waiting import wait_ended

ME = "SCANNER"
ENDS_WITHIN_S = 240.0

pytestmark = pytest.mark.skipif(FULL_SERIES is None, reason="the shared data are not beside the project")


@dataclass(frozen=True)
class Site:
    """A node and the archive that it delivers to."""

    node: PrivateNode
    archive: SmallPacs

    def verdict(self, paths: list[Path], series_uid: str) -> JobRecord:
        """What the node says of a series."""
        assert all(one.is_stored for one in send_files(paths, self.node.peer, ME))
        return wait_ended(self.node.stores, series_uid, seconds=ENDS_WITHIN_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node as it ships: its segmenters and predictors are those of the defaults."""
    folder = tmp_path_factory.mktemp("real")
    with SmallPacs(folder / "archive") as archive, start_node(folder / "node", pacs=archive.peer) as node:
        yield Site(node, archive)
        assert node.process.poll() is None
        assert "Traceback" not in node.log_file.read_text(encoding="utf-8", errors="replace")


def torso(pixel_mm: float, name: str) -> list[Dataset]:
    """The torso as a CT series with pixels of ``pixel_mm``, its slices 3 mm apart as they are."""
    assert FULL_SERIES is not None
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(FULL_SERIES.parent / "ct-torso-3mm.nii.gz")), "LPS")
    size = [
        round(side * step / pixel_mm) for side, step in zip(image.GetSize()[:2], image.GetSpacing()[:2], strict=True)
    ]
    spacing = (pixel_mm, pixel_mm, image.GetSpacing()[2])
    fine = SimpleITK.Resample(
        image, [*size, image.GetSize()[2]], SimpleITK.Transform(), SimpleITK.sitkLinear, image.GetOrigin(), spacing,
        image.GetDirection(), -1024,
    )  # fmt: skip
    hu = SimpleITK.GetArrayFromImage(fine)
    series, study = SeriesUID.derived("torso", name), StudyUID.derived("torso", name)
    slices = []
    for index, plane in enumerate(hu):
        place = fine.TransformIndexToPhysicalPoint((0, 0, index))
        one = ct_slice(index, series=series, rows=hu.shape[1], columns=hu.shape[2], StudyInstanceUID=study)
        one.ImagePositionPatient = [f"{value:.4f}" for value in place]
        one.PixelSpacing, one.SliceThickness = [pixel_mm, pixel_mm], spacing[2]
        one.PixelData = np.clip(np.rint(plane) + 1024, 0, 4095).astype("<u2").tobytes()
        slices.append(one)
    return slices


def ends_well(site: Site, job: JobRecord) -> None:
    """With a coded reason and nothing delivered, or with results that say whose contour they rest on, for research."""
    print(f"\n{job.state} {job.reason} {job.detail}")  # noqa: T201  what happened belongs in the record of the run
    delivered = find_series(site.archive.peer, ME, job.study_uid)
    if job.state is JobState.NOT_ANALYSED:
        assert job.reason in ReasonCode.__members__
        assert delivered == ()
        return
    assert job.state is JobState.DONE
    assert delivered
    assert all("not for clinical use" in one.series_description for one in delivered)


@pytest.mark.timeout(600)
def test_a_real_abdomen_without_contour_comes_to_an_honest_end(site: Site, tmp_path: Path) -> None:
    """Twenty slices of the upper abdomen at 96 s: never held for a person, never a crash."""
    assert FULL_SERIES is not None
    paths = sorted(FULL_SERIES.glob("*.dcm"))
    job = site.verdict(paths, dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)
    ends_well(site, job)
    located = [step for step in site.node.stores.jobs.steps(job.job_id) if step.step.value == "locate-roi"]
    assert located, "the images themselves were looked at"
    if job.state is JobState.DONE:
        (report,) = [one for one in find_series(site.archive.peer, ME, job.study_uid) if one.modality == "SR"]
        (file,) = fetch(site.archive.peer, ME, tmp_path, job.study_uid, report.series_uid)
        assert "Its contour is from" in str(dcmread(file))


def test_a_real_torso_with_large_pixels_is_not_analysed(site: Site, tmp_path: Path) -> None:
    """3 mm pixels are larger than the models were made for."""
    slices = torso(3.0, "coarse")
    job = site.verdict(write(slices, tmp_path), slices[0].SeriesInstanceUID)
    assert (job.state, job.reason) == (JobState.NOT_ANALYSED, ReasonCode.PIXEL_SPACING.name)


@pytest.mark.timeout(600)
def test_a_real_torso_on_finer_pixels_comes_to_an_honest_end(site: Site, tmp_path: Path) -> None:
    """Resampled to 1 mm pixels it meets the contract, and the segmenters are asked."""
    slices = torso(1.0, "fine")
    job = site.verdict(write(slices, tmp_path), slices[0].SeriesInstanceUID)
    ends_well(site, job)
    assert [step.step.value for step in site.node.stores.jobs.steps(job.job_id)][:2] == ["triage", "assemble"]
