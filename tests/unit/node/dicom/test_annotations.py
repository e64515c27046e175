"""Reading contours: every form of SEG and RTSTRUCT that comes in, and content that is not what it claims to be."""

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
    generate_uid,
)

from node.demo.series import DemoCase, make_case
from node.dicom.annotations import read_annotation, referenced_series
from node.domain.coding import Anatomy
from node.domain.imaging import AnnotationKind
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable

ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
PANCREAS = Code("15776009", "SCT", "Pancreas")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
SPACING_MM = 0.9765625


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> DemoCase:
    """The bundled pancreas case."""
    return make_case("pancreas", tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def images(case: DemoCase) -> list[FileDataset]:
    """The first three slices of the bundled case."""
    return [dcmread(path) for path in case.ct_paths[:3]]


def describe(number: int, label: str, category: Code = ABNORMAL, type_: Code = NEOPLASM) -> SegmentDescription:
    """A segment description without anatomic region."""
    return SegmentDescription(number, label, category, type_, SegmentAlgorithmTypeValues.MANUAL)


def write_seg(
    folder: Path,
    images: list[FileDataset],
    mask: np.ndarray,
    kind: SegmentationTypeValues,
    segments: list[SegmentDescription],
    transfer_syntax: str = ExplicitVRLittleEndian,
    change: Callable[[Dataset], None] = lambda _: None,
    **options: object,
) -> Path:
    """A SEG file made by highdicom, changed by ``change`` before it is written."""
    seg = Segmentation(
        images,
        mask,
        kind,
        segments,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=transfer_syntax,
        **options,
    )
    change(seg)
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def block(value: int = 1, dtype: type = np.uint8) -> np.ndarray:
    """Three slices in which the middle one has a 4 x 6 block at row 100, column 200."""
    mask = np.zeros((3, 512, 512), dtype)
    mask[1, 100:104, 200:206] = value
    return mask


def test_binary_seg_gives_cropped_planes_at_their_place(tmp_path: Path, images: list[FileDataset]) -> None:
    """A plane is cropped to what is marked, and its position is the patient position of its first pixel."""
    path = write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, [describe(1, "Tumor")])
    annotation = read_annotation(path)
    (plane,) = annotation.regions[0].planes
    x, y, z = (float(value) for value in images[1].ImagePositionPatient)
    assert plane.mask.shape == (4, 6)
    assert plane.mask.all()
    assert plane.position_lps_mm == pytest.approx((x + 200 * SPACING_MM, y + 100 * SPACING_MM, z))
    assert plane.spacing_mm == (SPACING_MM, SPACING_MM)
    assert plane.orientation == (1, 0, 0, 0, 1, 0)


def test_oblique_seg_is_cropped_along_its_own_axes(tmp_path: Path, images: list[FileDataset]) -> None:
    """The position of a cropped plane follows the plane's orientation, not the patient's axes."""

    def tilt(seg: Dataset) -> None:
        seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    path = write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, [describe(1, "Tumor")], change=tilt)
    (plane,) = read_annotation(path).regions[0].planes
    x, y, z = (float(value) for value in images[1].ImagePositionPatient)
    assert plane.position_lps_mm == pytest.approx((x, y + 200 * SPACING_MM, z - 100 * SPACING_MM))


def test_object_level_values_are_read(tmp_path: Path, case: DemoCase, images: list[FileDataset]) -> None:
    """Identity, references, frame of reference, manufacturer and creation time come from the object."""
    path = write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, [describe(1, "Tumor")])
    annotation = read_annotation(path)
    assert annotation.kind is AnnotationKind.SEG
    assert annotation.study_uid == case.study_uid
    assert annotation.patient.patient_id == case.patient_id
    assert annotation.referenced_series == (case.series_uid,)
    assert annotation.frame_of_reference_uid == images[0].FrameOfReferenceUID
    assert annotation.manufacturer == "Test"
    assert len(annotation.created_at) == 14
    assert annotation.created_at.isdecimal()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_fractional_seg_is_cut_at_half_of_its_maximum(tmp_path: Path, images: list[FileDataset], syntax: str) -> None:
    """A voxel of a FRACTIONAL segmentation belongs from half of the maximum fractional value on."""
    mask = block(dtype=np.float32)
    mask[1, 100:102, 200:206] = 0.4
    mask[1, 102:104, 200:206] = 0.5
    path = write_seg(
        tmp_path,
        images,
        mask,
        SegmentationTypeValues.FRACTIONAL,
        [describe(1, "Tumor")],
        syntax,
        max_fractional_value=200,
    )
    (plane,) = read_annotation(path).regions[0].planes
    assert plane.mask.shape == (2, 6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_labelmap_seg_is_taken_apart_by_segment(tmp_path: Path, images: list[FileDataset], syntax: str) -> None:
    """A LABELMAP frame gives a plane to each segment in it."""
    mask = block(value=1)
    mask[1, 300:303, 200:202] = 2
    path = write_seg(
        tmp_path,
        images,
        mask,
        SegmentationTypeValues.LABELMAP,
        [describe(1, "Tumor"), describe(2, "Pancreas", STRUCTURE, PANCREAS)],
        syntax,
    )
    by_number = {region.number: region for region in read_annotation(path).regions}
    assert by_number[1].planes[0].mask.shape == (4, 6)
    assert by_number[2].planes[0].mask.shape == (3, 2)
    assert by_number[1].is_lesion
    assert not by_number[2].is_lesion


def test_multi_segment_seg_gives_each_its_own_planes(tmp_path: Path, images: list[FileDataset]) -> None:
    """Frames go to the segment they reference, and a segment without frames is a region without planes."""
    mask = np.stack([block(), np.zeros_like(block()), np.roll(block(), 1, axis=0)], axis=-1)
    segments = [describe(1, "Tumor"), describe(2, "Nothing"), describe(3, "Pancreas", STRUCTURE, PANCREAS)]
    regions = read_annotation(write_seg(tmp_path, images, mask, SegmentationTypeValues.BINARY, segments)).regions
    assert [len(region.planes) for region in regions] == [1, 0, 1]
    assert regions[2].planes[0].position_lps_mm[2] == float(images[2].ImagePositionPatient[2])


def test_frames_cropped_by_the_writer_keep_their_position(case: DemoCase) -> None:
    """A SEG whose frames cover only a part of the image is placed by its own plane positions."""
    region = read_annotation(case.seg_path).regions[0]
    assert sum(int(plane.mask.sum()) for plane in region.planes) == 1327
    lowest = min(region.planes, key=lambda plane: plane.position_lps_mm[2])
    assert int(lowest.mask.sum()) == 637
    assert lowest.position_lps_mm[2] == -804.5


def test_stand_in_is_a_coded_lesion_in_its_organ(case: DemoCase) -> None:
    """The bundled stand-in says by code what Celadon looks for, and by label what it is."""
    region = read_annotation(case.seg_path).regions[0]
    assert (region.anatomy, region.anatomy_is_coded, region.is_lesion) == (Anatomy.PANCREAS, True, True)
    assert "stand-in" in region.label


def test_whole_organ_segment_is_not_a_lesion(tmp_path: Path, images: list[FileDataset]) -> None:
    """A segment coded as an anatomical structure is an organ, whatever its label says."""
    segments = [describe(1, "pancreas tumor protocol", STRUCTURE, PANCREAS)]
    region = read_annotation(write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, segments)).regions[0]
    assert (region.anatomy, region.anatomy_is_coded, region.is_lesion) == (Anatomy.PANCREAS, True, False)


def test_single_frame_with_everything_shared_is_read(tmp_path: Path, images: list[FileDataset]) -> None:
    """Plane position and segment may stand in the shared functional groups."""

    def share(seg: Dataset) -> None:
        own, shared = seg.PerFrameFunctionalGroupsSequence[0], seg.SharedFunctionalGroupsSequence[0]
        shared.PlanePositionSequence = own.PlanePositionSequence
        del seg.PerFrameFunctionalGroupsSequence

    path = write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, [describe(1, "Tumor")], change=share)
    assert len(read_annotation(path).regions[0].planes) == 1


def _no_position(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


def _short_pixels(seg: Dataset) -> None:
    seg.PixelData = seg.PixelData[:100]


def _no_rows(seg: Dataset) -> None:
    del seg.Rows


def _vast(seg: Dataset) -> None:
    seg.Rows = seg.Columns = 65535


def _frames_without_groups(seg: Dataset) -> None:
    seg.NumberOfFrames = 7


def _no_study(seg: Dataset) -> None:
    del seg.StudyInstanceUID


def _bad_uid(seg: Dataset) -> None:
    seg.SOPInstanceUID = "1.02.3"


def _zero_spacing(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 0]


def _unknown_type(seg: Dataset) -> None:
    seg.SegmentationType = "OTHER"


@pytest.mark.parametrize(
    "damage",
    [
        _no_position,
        _short_pixels,
        _no_rows,
        _vast,
        _frames_without_groups,
        _no_study,
        _bad_uid,
        _zero_spacing,
        _unknown_type,
    ],
)
def test_broken_seg_is_refused_with_a_code(
    tmp_path: Path, images: list[FileDataset], damage: Callable[[Dataset], None]
) -> None:
    """A SEG whose content contradicts itself is refused as unreadable, and nothing of the patient is in the reason."""
    path = write_seg(tmp_path, images, block(), SegmentationTypeValues.BINARY, [describe(1, "Tumor")], change=damage)
    with pytest.raises(Refused) as refused:
        read_annotation(path)
    assert refused.value.reason.code is ReasonCode.ANNOTATION_UNREADABLE
    assert "DEMO" not in str(refused.value)


@pytest.mark.parametrize("length", [0, 100, 300, 2000])
def test_truncated_seg_is_refused(tmp_path: Path, case: DemoCase, length: int) -> None:
    """A SEG that was cut off anywhere is refused as unreadable."""
    path = tmp_path / "cut.dcm"
    path.write_bytes(case.seg_path.read_bytes()[:length])
    with pytest.raises(Refused, match="ANNOTATION_UNREADABLE"):
        read_annotation(path)


def test_missing_file_may_be_tried_again(tmp_path: Path) -> None:
    """A file that cannot be opened is the surroundings' fault."""
    with pytest.raises(Retryable):
        read_annotation(tmp_path / "absent.dcm")


def test_an_image_is_not_an_annotation(case: DemoCase) -> None:
    """A CT image is refused as unreadable."""
    with pytest.raises(Refused, match="not a segmentation"):
        read_annotation(case.ct_paths[0])


def test_deflated_objects_are_refused_before_they_are_inflated(tmp_path: Path, case: DemoCase) -> None:
    """A deflated SEG is not read: its size before inflation says nothing about its size after it."""
    seg = dcmread(case.seg_path)
    seg.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    seg.save_as(tmp_path / "deflated.dcm")
    with pytest.raises(Refused, match="deflated"):
        read_annotation(tmp_path / "deflated.dcm")


# Structure sets


def contour(points: list[tuple[float, float, float]], kind: str = "CLOSED_PLANAR") -> Dataset:
    """One contour item."""
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [value for point in points for value in point]
    return item


SQUARE = [(0.0, 0.0, 5.0), (10.0, 0.0, 5.0), (10.0, 10.0, 5.0), (0.0, 10.0, 5.0)]


def rtstruct(images: list[FileDataset], rois: list[tuple[str, str, list[Dataset]]]) -> FileDataset:
    """A structure set with one ROI for each (name, interpreted type, contours)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        setattr(dataset, keyword, images[0].get(keyword))
    dataset.SeriesInstanceUID, dataset.Modality = generate_uid(), "RTSTRUCT"
    dataset.StructureSetDate, dataset.StructureSetTime = "20240131", "0915"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    for number, (name, interpreted, contours) in enumerate(rois, start=1):
        roi, drawn, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber = drawn.ReferencedROINumber = observed.ReferencedROINumber = number
        roi.ROIName, observed.RTROIInterpretedType = name, interpreted
        drawn.ContourSequence = contours
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observed)
    return dataset


def save(dataset: FileDataset, folder: Path) -> Path:
    """The file of a data set."""
    dataset.save_as(folder / "rtstruct.dcm")
    return folder / "rtstruct.dcm"


def test_rtstruct_gives_closed_contours_and_its_references(tmp_path: Path, images: list[FileDataset]) -> None:
    """A structure set gives each ROI its closed planar contours, in millimetres, and says what it was drawn on."""
    path = save(rtstruct(images, [("GTV pancreas", "GTV", [contour(SQUARE)])]), tmp_path)
    annotation = read_annotation(path)
    (region,) = annotation.regions
    assert annotation.kind is AnnotationKind.RTSTRUCT
    assert annotation.referenced_series == (images[0].SeriesInstanceUID,)
    assert annotation.frame_of_reference_uid == images[0].FrameOfReferenceUID
    assert annotation.created_at == "20240131091500"
    assert region.contours[0].points_lps_mm.tolist() == [list(point) for point in SQUARE]
    assert (region.anatomy, region.anatomy_is_coded, region.is_lesion) == (Anatomy.PANCREAS, False, True)


def test_open_contours_and_points_are_left_out(tmp_path: Path, images: list[FileDataset]) -> None:
    """Beside a closed contour, open ones, points and degenerate ones are left out."""
    mixed = [contour(SQUARE), contour(SQUARE, "OPEN_PLANAR"), contour(SQUARE[:1], "POINT"), contour(SQUARE[:2])]
    marker = [contour(SQUARE[:1], "POINT")]
    regions = read_annotation(
        save(rtstruct(images, [("GTV", "GTV", mixed), ("Clip", "MARKER", marker)]), tmp_path)
    ).regions
    assert [len(region.contours) for region in regions] == [1, 0]


def test_rtstruct_of_points_only_is_refused(tmp_path: Path, images: list[FileDataset]) -> None:
    """A structure set in which nothing is closed encloses no lesion and is refused."""
    path = save(rtstruct(images, [("GTV", "GTV", [contour(SQUARE[:1], "POINT")])]), tmp_path)
    with pytest.raises(Refused, match="no closed planar contour"):
        read_annotation(path)


def test_roi_without_contours_is_an_empty_region(tmp_path: Path, images: list[FileDataset]) -> None:
    """A structure set template without any contour is read; its regions are empty."""
    (region,) = read_annotation(save(rtstruct(images, [("GTV", "GTV", [])]), tmp_path)).regions
    assert region.contours == ()


@pytest.mark.parametrize("data", [[1.0, 2.0, 3.0, 4.0], [float("inf")] * 9])
def test_contour_data_that_are_not_points_are_refused(
    tmp_path: Path, images: list[FileDataset], data: list[float]
) -> None:
    """Contour data must be finite numbers, three for each point."""
    item = contour(SQUARE)
    item.ContourData = ["1e999" if np.isinf(value) else value for value in data]
    with pytest.raises(Refused, match="ANNOTATION_UNREADABLE"):
        read_annotation(save(rtstruct(images, [("GTV", "GTV", [item])]), tmp_path))


def test_roi_codes_come_before_its_name(tmp_path: Path, images: list[FileDataset]) -> None:
    """A coded ROI identification decides the organ, whatever the ROI is called."""
    dataset = rtstruct(images, [("ROI-1", "GTV", [contour(SQUARE)])])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "7148", "FMA", "Stomach"
    dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence = [code]
    (region,) = read_annotation(save(dataset, tmp_path)).regions
    assert (region.anatomy, region.anatomy_is_coded) == (Anatomy.STOMACH, True)


# Header-only reading


def test_referenced_series_needs_no_pixels(case: DemoCase) -> None:
    """The references of a SEG are found in its header alone."""
    assert referenced_series(dcmread(case.seg_path, stop_before_pixels=True)) == (case.series_uid,)


def test_referenced_series_of_another_study_count(case: DemoCase) -> None:
    """A SEG in another study than its images says so in another sequence."""
    series, study, dataset = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = case.series_uid
    study.ReferencedSeriesSequence = [series]
    dataset.StudiesContainingOtherReferencedInstancesSequence = [study]
    assert referenced_series(dataset) == (case.series_uid,)


@pytest.mark.parametrize("uid", ["", "not a uid", "1.2.03", "9" * 70])
def test_odd_references_are_left_out(uid: str) -> None:
    """A reference that is not a UID is left out and raises nothing."""
    odd, good, dataset = Dataset(), Dataset(), Dataset()
    odd.add_new("SeriesInstanceUID", "UI", uid)
    good.SeriesInstanceUID = "1.2.3"
    dataset.ReferencedSeriesSequence = [odd, Dataset(), good, good]
    assert referenced_series(dataset) == ("1.2.3",)


def test_a_reference_sequence_of_another_kind_is_left_out() -> None:
    """Bytes where a sequence belongs are no reference and raise nothing."""
    dataset = Dataset()
    dataset[0x00081115] = RawDataElement(
        Tag(0x00081115), "SQ", 7, b"\xff" * 7, 0, is_implicit_VR=False, is_little_endian=True
    )
    assert referenced_series(dataset) == ()


def test_highdicom_is_only_needed_to_test() -> None:
    """The reader itself knows nothing of highdicom; this test module does."""
    assert hd.__version__
    assert "highdicom" not in Path(read_annotation.__code__.co_filename).read_text(encoding="utf-8")
