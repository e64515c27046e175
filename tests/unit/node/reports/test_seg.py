"""The segmentation."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread

from node.domain.reporting import Report
from node.errors import Fatal
from node.reports.naming import tracking_uid
from node.reports.seg import SegmentationWriter
from tests.unit.node.reports.factory import ORIGIN, SPACING_XYZ_MM

MakeReport = Callable[..., Report]
READER = Path(sys.executable).parent / "segimage2itkimage"  # dcmqi, a test dependency


def _written(report: Report) -> Dataset:
    return dcmread(io.BytesIO(SegmentationWriter().write(report)[0].content))


def _by_source_slice(report: Report, dataset: Dataset) -> np.ndarray:
    """The frames on the volume's grid, placed by their own position in space."""
    grid = np.zeros(report.volume.geometry.shape_zyx, dtype=bool)
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for frame, item in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array([[float(v) for v in item.PlanePositionSequence[0].ImagePositionPatient]])
        x, y, z = report.volume.geometry.to_index(position)[0]
        assert (round(x, 3), round(y, 3)) == (0, 0)
        grid[round(z)] = frame > 0
    return grid


def test_the_mask_reads_back_where_it_was(make_report: MakeReport) -> None:
    """Read back by position, the segment holds exactly the voxels of the region."""
    report = make_report()
    assert np.array_equal(_by_source_slice(report, _written(report)), report.roi.mask)


def test_a_region_with_a_hole_between_slices_reads_back(make_report: MakeReport) -> None:
    """A slice without the region in the middle of it is left out, and the others stay where they are."""
    report = make_report()
    mask = report.roi.mask.copy()
    mask[5, 3:9, 60:79] = True
    report = replace(report, roi=replace(report.roi, mask=mask))
    dataset = _written(report)
    assert dataset.NumberOfFrames == 3
    assert np.array_equal(_by_source_slice(report, dataset), mask)


def test_each_frame_names_the_slice_it_is_of(make_report: MakeReport) -> None:
    """A viewer finds the source image of each frame by its UID."""
    report = make_report()
    named = {
        item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for item in _written(report).PerFrameFunctionalGroupsSequence
    }
    assert named == {report.volume.instance_uids[k] for k in (2, 3)}


def test_it_is_binary_in_the_frame_of_reference_of_the_ct(make_report: MakeReport) -> None:
    """The form that viewers show as an overlay: BINARY, whole images, the frame of reference of the source."""
    report = make_report()
    dataset = _written(report)
    assert dataset.SegmentationType == "BINARY"
    assert (dataset.Rows, dataset.Columns) == report.roi.mask.shape[1:]
    assert dataset.FrameOfReferenceUID == report.volume.geometry.frame_of_reference_uid


def test_the_segment_is_a_lesion_in_the_organ(make_report: MakeReport) -> None:
    """The segment claims a lesion in an organ, no diagnosis, and carries the tracking UID of the report."""
    report = make_report()
    (segment,) = _written(report).SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    assert segment.AnatomicRegionSequence[0].CodeValue == "69695003"
    assert segment.TrackingUID == tracking_uid(report)
    assert segment.SegmentLabel == "Tumour"


def test_a_received_contour_is_not_claimed_as_automatic(make_report: MakeReport) -> None:
    """A region that came in a SEG or RTSTRUCT says so; one that a segmenter found is automatic."""
    report = make_report()
    (segment,) = _written(report).SegmentSequence
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert "2.25.42" in segment.SegmentDescription
    (segment,) = _written(replace(report, roi=replace(report.roi, source_instance_uid=None))).SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_a_label_stays_one_value(make_report: MakeReport) -> None:
    """A label from elsewhere with a backslash, another script or too many words still fits its attribute."""
    report = make_report()
    roi = replace(report.roi, label="a\\b 肿瘤 " + "x" * 80)
    (segment,) = _written(replace(report, roi=roi)).SegmentSequence
    assert segment.SegmentLabel == ("a/b ?? " + "x" * 80)[:64]


def test_an_empty_region_is_not_written(make_report: MakeReport) -> None:
    """A region without a voxel is a fault of the node, not an empty object."""
    report = make_report()
    empty = replace(report.roi, mask=np.zeros_like(report.roi.mask))
    with pytest.raises(Fatal):
        SegmentationWriter().write(replace(report, roi=empty))


def test_another_toolkit_reads_the_same_mask_at_the_same_place(make_report: MakeReport, tmp_path: Path) -> None:
    """The toolkit dcmqi gives back every voxel, and the geometry to a hundredth of a millimetre."""
    report = make_report()
    path = tmp_path / "region.dcm"
    path.write_bytes(SegmentationWriter().write(report)[0].content)
    command = [str(READER), "--inputDICOM", str(path), "--outputDirectory", str(tmp_path), "--outputType", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = SimpleITK.ReadImage(str(next(tmp_path.glob("*.nrrd"))))
    marked = np.flatnonzero(report.roi.mask.any(axis=(1, 2)))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image) > 0, report.roi.mask[marked])
    np.testing.assert_allclose(image.GetSpacing(), SPACING_XYZ_MM, atol=0.01)
    origin = (ORIGIN[0], ORIGIN[1], ORIGIN[2] + marked[0] * SPACING_XYZ_MM[2])
    np.testing.assert_allclose(image.GetOrigin(), origin, atol=0.01)
