"""The same patient stored another way: the same region in the same place, or a coded reason, through the whole node.

One real series with a stand-in region is stored feet first, prone, from the head down, tilted, sheared, with a gap, and
as reformats. Patient, contour and every voxel's brightness stay where they are in space; only the storage changes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from node.demo.private_node import PrivateNode
from node.demo.series import DemoCase, make_case
from node.dicom.query import fetch, find_series
from node.dicom.sending import send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.factories import with_meta
from tests.trial.readback import Report, read_report
from tests.waiting import wait_ended

ME = "SCANNER"
NEAR = 0.05
"""By how much a mirrored image may move the probability."""
Slices = list[Dataset]
Turn = Callable[[Slices], Slices]


@dataclass(frozen=True)
class Came:
    """What came of a series."""

    job: JobRecord
    places: frozenset[tuple[float, float, float]]
    """The voxels of the delivered segmentation, in millimetres of the patient (LPS)."""
    report: Report | None


@dataclass(frozen=True)
class Site:
    """A node, its archive and the series that is turned."""

    node: PrivateNode
    archive: SmallPacs
    case: DemoCase
    folder: Path

    def send(self, name: str, turn: Turn) -> Came:
        """Store the series after ``turn``, with the contour that was drawn on it, under UIDs of its own."""
        folder = self.folder / name
        folder.mkdir()
        slices = turn([_plain(path) for path in self.case.ct_paths])
        study, series = StudyUID.derived("turned", name), SeriesUID.derived("turned", name)
        paths = []
        for number, one in enumerate(slices):
            one.StudyInstanceUID, one.SeriesInstanceUID = study, series
            one.SOPInstanceUID = InstanceUID.derived("turned", name, str(number))
            paths.append(folder / f"{number:03d}.dcm")
            with_meta(one).save_as(paths[-1], enforce_file_format=True)
        contour = dcmread(self.case.seg_path)
        contour.StudyInstanceUID, contour.SeriesInstanceUID = study, SeriesUID.derived("turned", name, "contour")
        contour.SOPInstanceUID = InstanceUID.derived("turned", name, "contour")
        contour.file_meta.MediaStorageSOPInstanceUID = contour.SOPInstanceUID
        contour.ReferencedSeriesSequence[0].SeriesInstanceUID = series
        contour.save_as(folder / "contour.dcm")
        assert all(one.is_stored for one in send_files([folder / "contour.dcm", *paths], self.node.peer, ME))
        job = wait_ended(self.node.stores, series, seconds=240.0)
        return Came(job, *self._results(study, folder))

    def _results(self, study: StudyUID, folder: Path) -> tuple[frozenset[tuple[float, float, float]], Report | None]:
        found: list[Path] = []
        for one in find_series(self.archive.peer, ME, study):
            if one.modality in ("SR", "SEG"):
                found += fetch(self.archive.peer, ME, folder / "results", study, one.series_uid)
        regions = [made for path in found if (made := dcmread(path)).SOPClassUID == SegmentationStorage]
        return frozenset(place for region in regions for place in _places(region)), read_report(found)


def _plain(path: Path) -> Dataset:
    """A slice with its pixels as they are, uncompressed."""
    image = dcmread(path)
    image.decompress()
    return image


def _places(region: Dataset) -> Iterator[tuple[float, float, float]]:
    """Where the voxels of a segmentation lie (PS3.3 section C.7.6.2.1.1), to a tenth of a millimetre."""
    shared = region.SharedFunctionalGroupsSequence[0]
    frames = np.atleast_3d(region.pixel_array).reshape(-1, region.Rows, region.Columns)
    for frame, groups in zip(frames, region.PerFrameFunctionalGroupsSequence, strict=True):
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
        spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=float)
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        rows, columns = np.nonzero(frame)
        places = origin + np.outer(columns * spacing[1], orientation[:3]) + np.outer(rows * spacing[0], orientation[3:])
        yield from ((round(x, 1) + 0.0, round(y, 1) + 0.0, round(z, 1) + 0.0) for x, y, z in places.tolist())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with short patience."""
    folder = tmp_path_factory.mktemp("turned")
    # One predictor starts in half the time.
    extra = '[completion]\nquiet_max_s = 2.0\n[[rules]]\npredictor = "porcelain"\n'
    with SmallPacs(folder / "archive") as archive, start_node(folder / "node", pacs=archive.peer, extra=extra) as node:
        yield Site(node, archive, make_case("pancreas", folder / "case", "turned"), folder)


@pytest.fixture(scope="module")
def upright(site: Site) -> Came:
    """The series as the scanner stored it."""
    came = site.send("as stored", lambda slices: slices)
    assert came.job.state is JobState.DONE
    assert len(came.places) > 100
    return came


def _flip(image: Dataset, *, columns: bool = False, rows: bool = False) -> Dataset:
    """The same plane with its columns, its rows or both stored the other way round."""
    pixels = image.pixel_array
    axes = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
    position = np.array(image.ImagePositionPatient, dtype=float)
    for flips, axis, array_axis, spacing in (
        (columns, 0, 1, float(image.PixelSpacing[1])),
        (rows, 1, 0, float(image.PixelSpacing[0])),
    ):
        if flips:
            pixels = np.flip(pixels, array_axis)
            position = position + axes[axis] * spacing * (pixels.shape[array_axis] - 1)
            axes[axis] = -axes[axis]
    return _placed(image, pixels, axes, position)


def _placed(
    image: Dataset, pixels: npt.NDArray[np.generic], axes: npt.NDArray[np.float64], position: npt.NDArray[np.float64]
) -> Dataset:
    image.ImageOrientationPatient = [f"{value:.6g}" for value in axes.ravel()]
    image.ImagePositionPatient = [f"{value:.6f}" for value in position]
    image.Rows, image.Columns = pixels.shape
    image.PixelData = np.ascontiguousarray(pixels).tobytes()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def feet_first(slices: Slices) -> Slices:
    """Supine, feet into the gantry: the patient's left is where the right was, and the table comes out head last."""
    turned = [_flip(one, columns=True) for one in reversed(slices)]
    for number, one in enumerate(turned, 1):
        one.PatientPosition, one.InstanceNumber = "FFS", number
    return turned


def prone(slices: Slices) -> Slices:
    """On the belly."""
    for one in slices:
        _flip(one, columns=True, rows=True).PatientPosition = "HFP"
    return slices


def upside_down(slices: Slices) -> Slices:
    """Rows from the back to the front: the normal points to the feet."""
    return [_flip(one, rows=True) for one in slices]


@pytest.mark.parametrize("turn", [feet_first, prone, upside_down], ids=lambda turn: turn.__name__)
def test_however_it_is_stored_the_region_is_the_same_in_space(site: Site, upright: Came, turn: Turn) -> None:
    """The same voxels of the patient, to a tenth of a millimetre, and the same conclusion.

    The network is given the voxels in the patient's axes, however they are stored.
    """
    came = site.send(turn.__name__, turn)
    assert (came.job.state, came.job.reason) == (JobState.DONE, "")
    assert came.places == upright.places
    assert came.report is not None
    assert upright.report is not None
    assert came.report.ntr_high == upright.report.ntr_high
    said, said_upright = (one.report.probabilities["P_NTR_HIGH"] for one in (came, upright) if one.report)
    assert said == pytest.approx(said_upright, abs=NEAR)


def test_a_mirrored_patient_is_noticed_by_this_test(site: Site, upright: Came) -> None:
    """Pixels that are flipped without a word in the header are another patient: the region lies elsewhere in them."""

    def mirrored(slices: Slices) -> Slices:
        for one in slices:
            one.PixelData = np.ascontiguousarray(one.pixel_array[:, ::-1]).tobytes()
            one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return slices

    came = site.send("mirrored", mirrored)
    assert came.report is not None
    assert upright.report is not None
    assert came.report.probabilities != pytest.approx(upright.report.probabilities, abs=1e-9)


def tilted(slices: Slices) -> Slices:
    """A gantry that leans 10 degrees: parallel planes, not stacked along their normal."""
    for one in slices:
        one.GantryDetectorTilt = "-10"
        one.ImageOrientationPatient = [
            1,
            0,
            0,
            0,
            round(float(np.cos(np.pi / 18)), 6),
            round(float(np.sin(np.pi / 18)), 6),
        ]
    return slices


def sheared(slices: Slices) -> Slices:
    """Every slice half a millimetre further to the left than the one before."""
    for number, one in enumerate(slices):
        x, *rest = one.ImagePositionPatient
        one.ImagePositionPatient = [f"{float(x) + 0.5 * number:.4f}", *rest]
    return slices


def with_a_gap(slices: Slices) -> Slices:
    """A slice in the middle is missing."""
    return [*slices[:4], *slices[5:]]


def uneven(slices: Slices) -> Slices:
    """The upper half was taken half a slice higher: the patient breathed, or the table moved."""
    step = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    for one in slices[len(slices) // 2 :]:
        *plane, z = one.ImagePositionPatient
        one.ImagePositionPatient = [*plane, f"{float(z) + 0.5 * step:.4f}"]
    return slices


def reformat(axes: Sequence[float], along: Sequence[float]) -> Turn:
    """Planes in another direction, under a header that says nothing of a reformat."""

    def turn(slices: Slices) -> Slices:
        for number, one in enumerate(slices):
            start = np.array([-200.0, -200.0, -200.0]) + 2.0 * number * np.array(along)
            one.ImageOrientationPatient, one.ImagePositionPatient = list(axes), [f"{value:.2f}" for value in start]
        return slices

    return turn


def derived(slices: Slices) -> Slices:
    """A reformat that says so."""
    for one in slices:
        one.ImageType = ["DERIVED", "SECONDARY", "MPR"]
    return slices


@pytest.mark.parametrize(
    ("name", "turn", "reason"),
    [
        ("tilted", tilted, ReasonCode.MIXED_ORIENTATION),
        ("sheared", sheared, ReasonCode.MIXED_ORIENTATION),
        ("gap", with_a_gap, ReasonCode.MISSING_SLICE),
        ("uneven", uneven, ReasonCode.MISSING_SLICE),
        ("sagittal", reformat((0, 1, 0, 0, 0, -1), (1, 0, 0)), ReasonCode.NOT_AXIAL),
        ("coronal", reformat((1, 0, 0, 0, 0, -1), (0, 1, 0)), ReasonCode.NOT_AXIAL),
        ("marked as a reformat", derived, ReasonCode.DERIVED_IMAGE),
    ],
)
def test_what_is_no_straight_stack_of_axial_slices_is_not_analysed(
    site: Site, name: str, turn: Turn, reason: ReasonCode
) -> None:
    """With the reason that fits, and nothing is delivered."""
    came = site.send(name, turn)
    assert (came.job.state, came.job.reason) == (JobState.NOT_ANALYSED, reason.name)
    assert came.places == frozenset()
    assert came.report is None


def test_the_node_has_seen_all_of_it_without_a_crash(site: Site) -> None:
    """The same process, and no traceback in its log."""
    assert site.node.process.poll() is None
    assert "Traceback" not in site.node.log_file.read_text(encoding="utf-8", errors="replace")
