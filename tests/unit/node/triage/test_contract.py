"""The input contract, clause by clause: what a series must be before a model sees it."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage, PositronEmissionTomographyImageStorage

from node.domain.reasons import ReasonCode
from node.errors import Refused
from node.triage.contract import (
    SECONDARY_CAPTURE_CLASSES,
    THICKEST_MM,
    THINNEST_MM,
    check,
    is_annotation,
    may_meet,
    notes,
)
from tests.factories import ct_slice, ct_slices, series_of, with_meta

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

Attributes = dict[str, object]


def reason(slices: list[Dataset]) -> ReasonCode:
    """Why the series of ``slices`` is refused."""
    with pytest.raises(Refused) as refused:
        check(series_of(slices))
    return refused.value.reason.code


def spaced(step_mm: float, start_mm: float = 0.0, count: int = 4) -> list[Dataset]:
    """Slices so far apart, their positions written with one decimal place, as scanners do."""
    return [
        ct_slice(index, ImagePositionPatient=["-10", "-8", f"{start_mm + step_mm * index:.2f}"])
        for index in range(count)
    ]


def test_an_axial_ct_series_comes_back_as_an_ordered_stack() -> None:
    """The lowest slice first, whatever order they came in."""
    slices = ct_slices(5)
    made = check(series_of(slices[::-1]))
    assert [one.uid for one in made.instances] == [one.SOPInstanceUID for one in slices]
    assert made.geometry.spacing_xyz_mm == pytest.approx((0.8, 0.8, 2.0))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, ReasonCode.LOCALIZER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "localizer "]}, ReasonCode.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, ReasonCode.DERIVED_IMAGE),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MIP"]}, ReasonCode.DERIVED_IMAGE),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, ReasonCode.DERIVED_IMAGE),
        ({"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}, ReasonCode.DERIVED_IMAGE),
        ({"RescaleSlope": None}, ReasonCode.NO_RESCALE),
        ({"RescaleIntercept": None}, ReasonCode.NO_RESCALE),
        ({"RescaleType": "ED"}, ReasonCode.NO_RESCALE),
        ({"Modality": "MR"}, ReasonCode.NOT_CT),
        ({"Modality": "PT"}, ReasonCode.NOT_CT),
        ({"Modality": ""}, ReasonCode.NOT_CT),
        ({"Rows": 0}, ReasonCode.NOT_AN_IMAGE),
        ({"ImagePositionPatient": None}, ReasonCode.NO_GEOMETRY),
        ({"ImageOrientationPatient": None}, ReasonCode.NO_GEOMETRY),
        ({"PixelSpacing": None}, ReasonCode.NO_GEOMETRY),
        ({"PixelSpacing": [0, 0.8]}, ReasonCode.NO_GEOMETRY),
        ({"FrameOfReferenceUID": None}, ReasonCode.MIXED_GEOMETRY),
        ({"FrameOfReferenceUID": "not a uid"}, ReasonCode.MIXED_GEOMETRY),
    ],
    ids=str,
)
def test_a_clause_that_every_slice_breaks_is_the_reason(changes: Attributes, expected: ReasonCode) -> None:
    """Each clause has a reason of its own."""
    assert reason(ct_slices(5, **changes)) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, ReasonCode.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, ReasonCode.DERIVED_IMAGE),
        ({"RescaleSlope": None}, ReasonCode.NO_RESCALE),
        ({"Rows": 0}, ReasonCode.NOT_AN_IMAGE),
        ({"SOPClassUID": MRImageStorage}, ReasonCode.NOT_CT),
        ({"ImagePositionPatient": None}, ReasonCode.NO_GEOMETRY),
        ({"PixelSpacing": [0.9, 0.9]}, ReasonCode.MIXED_GEOMETRY),
        ({"FrameOfReferenceUID": "2.25.1"}, ReasonCode.MIXED_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.99, 0.141]}, ReasonCode.MIXED_ORIENTATION),
        ({"ImagePositionPatient": [-10, -8, 103.9]}, ReasonCode.DUPLICATE_POSITION),
    ],
    ids=str,
)
def test_one_slice_that_breaks_a_clause_is_enough(changes: Attributes, expected: ReasonCode) -> None:
    """A single odd image in a series refuses all of it: nothing is silently left out."""
    slices = [with_meta(one) for one in ct_slices(5)]
    slices[3] = ct_slice(3, **changes)
    if expected is ReasonCode.DUPLICATE_POSITION:
        slices[3].ImagePositionPatient = slices[2].ImagePositionPatient
    assert reason(slices) is expected


@pytest.mark.parametrize("sop_class", sorted(SECONDARY_CAPTURE_CLASSES))
def test_a_secondary_capture_says_so_whatever_its_modality(sop_class: str) -> None:
    """A screenshot labelled CT is refused as what it is."""
    assert reason(ct_slices(5, SOPClassUID=sop_class)) is ReasonCode.SECONDARY_CAPTURE


@pytest.mark.parametrize("sop_class", [MRImageStorage, PositronEmissionTomographyImageStorage])
def test_other_image_classes_are_not_ct_whatever_their_modality(sop_class: str) -> None:
    """The SOP class counts, not only what the modality says."""
    assert reason(ct_slices(5, SOPClassUID=sop_class)) is ReasonCode.NOT_CT


@pytest.mark.parametrize(
    "orientation",
    [[1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0.866025, 0.5]],
    ids=["coronal", "sagittal", "oblique"],
)
def test_other_planes_are_not_axial(orientation: list[float]) -> None:
    """Coronal, sagittal and oblique series are refused, also when they are evenly spaced."""
    normal = np.cross(orientation[:3], orientation[3:])
    slices = [
        ct_slice(index, ImageOrientationPatient=orientation, ImagePositionPatient=list(2.0 * index * normal))
        for index in range(5)
    ]
    assert reason(slices) is ReasonCode.NOT_AXIAL


@pytest.mark.parametrize("orientation", [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0], [1, 0, 0, 0, -1, 0]])
def test_axial_is_axial_from_either_side(orientation: list[float]) -> None:
    """Prone, feet first, mirrored: the plane is what counts."""
    assert len(check(series_of(ct_slices(5, ImageOrientationPatient=orientation))).instances) == 5


def test_a_tilted_gantry_is_refused() -> None:
    """Slices that shift sideways against each other are no straight stack."""
    slices = [ct_slice(index, ImagePositionPatient=[-10, -8 + 0.5 * index, 2.0 * index]) for index in range(5)]
    assert reason(slices) is ReasonCode.MIXED_ORIENTATION


def test_two_slices_are_no_volume() -> None:
    """A key slice needs two neighbours."""
    assert reason(ct_slices(2)) is ReasonCode.TOO_FEW_SLICES
    assert len(check(series_of(ct_slices(3))).instances) == 3


def test_a_missing_slice_is_a_missing_slice() -> None:
    """A gap inside is found; what is missing at an end cannot be."""
    slices = ct_slices(6)
    del slices[2]
    assert reason(slices) is ReasonCode.MISSING_SLICE


@pytest.mark.parametrize("step_mm", [THINNEST_MM, 0.75, 1.0, 3.0, THICKEST_MM])
@pytest.mark.parametrize("start_mm", [0.0, -2.3, -8.2, -16.1, -804.5])
def test_the_distances_of_the_cohort_are_allowed_at_both_ends(step_mm: float, start_mm: float) -> None:
    """Exactly the thinnest and the thickest pass, wherever the table stood: decimal text does not add up exactly."""
    assert len(check(series_of(spaced(step_mm, start_mm))).instances) == 4


@pytest.mark.parametrize("step_mm", [0.4, 5.2, 10.0])
def test_other_distances_are_refused(step_mm: float) -> None:
    """The distance between slices counts, not what Slice Thickness says."""
    assert reason(spaced(step_mm)) is ReasonCode.SLICE_THICKNESS


def test_slice_thickness_may_be_more_than_the_distance() -> None:
    """Overlapping slices are common."""
    assert len(check(series_of(ct_slices(5, SliceThickness=4))).instances) == 5


@pytest.mark.parametrize("thickness", [0.6, 5.5, 8])
def test_slices_thinner_or_thicker_than_the_cohorts_are_refused(thickness: float) -> None:
    """However close together they lie."""
    assert reason(ct_slices(5, SliceThickness=thickness)) is ReasonCode.SLICE_THICKNESS


@pytest.mark.parametrize("thickness", [0.75, 5, None, "", 0])
def test_the_thickness_of_the_cohorts_is_allowed_and_an_absent_one_too(thickness: object) -> None:
    """Zero and nothing say nothing."""
    assert len(check(series_of(ct_slices(5, SliceThickness=thickness))).instances) == 5


def test_pixels_too_large_for_a_gastric_wall_are_refused() -> None:
    """A matrix of 256 over a whole body."""
    assert reason(ct_slices(5, PixelSpacing=[1.9, 1.9])) is ReasonCode.PIXEL_SPACING


@pytest.mark.parametrize(
    ("start", "taken", "refused"),
    [
        ("140216", "140330", False),
        ("140216.694022", "140353.284000", False),
        ("140216", "140250", True),
        ("140216", "140616", True),
        ("140216", "140216", False),
        ("140216", "160000", False),
    ],
    ids=["74 s", "the real series", "34 s", "240 s", "no delay", "implausible"],
)
def test_a_bolus_time_of_another_phase_is_refused(start: str, taken: str, refused: bool) -> None:
    """What the header cannot say is left to the attenuation."""
    slices = ct_slices(5, ContrastBolusStartTime=start, AcquisitionTime=taken)
    if refused:
        assert reason(slices) is ReasonCode.PHASE_NOT_PORTAL_VENOUS
    else:
        assert len(check(series_of(slices)).instances) == 5


def test_the_series_description_is_no_evidence_of_a_phase() -> None:
    """Neither for nor against."""
    assert len(check(series_of(ct_slices(5, SeriesDescription="ARTERIAL"))).instances) == 5


def test_what_does_not_refuse_is_noted() -> None:
    """Field of view, kernel, contrast."""
    series = series_of(ct_slices(5, ConvolutionKernel="B70f"))
    found = [one.code for one in notes(series, check(series))]
    assert found == [ReasonCode.FIELD_OF_VIEW, ReasonCode.SHARP_KERNEL, ReasonCode.NO_CONTRAST_NAMED]


@pytest.mark.parametrize(
    ("thickness", "detail"),
    [(4, "4.00 mm thick, 2.00 mm apart: they overlap"), (1, "1.00 mm thick, 2.00 mm apart: they leave gaps")],
)
def test_slices_that_do_not_lie_side_by_side_are_noted(thickness: float, detail: str) -> None:
    """Overlapping ones, and such with gaps between; a thickness that nobody gave says nothing."""
    series = series_of(ct_slices(5, SliceThickness=thickness))
    (found,) = [one for one in notes(series, check(series)) if one.code is ReasonCode.ODD_THICKNESS]
    assert found.detail == detail
    for unremarkable in (2, 2.1, None):
        even = series_of(ct_slices(5, SliceThickness=unremarkable))
        assert ReasonCode.ODD_THICKNESS not in {one.code for one in notes(even, check(even))}


def test_what_comes_in_may_meet_the_contract_unless_its_kind_is_wrong() -> None:
    """One slice of an axial CT may; a scout or an MR may not, however many come."""
    assert may_meet(series_of(ct_slices(1)))
    assert not may_meet(series_of(ct_slices(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])))
    assert not may_meet(series_of(ct_slices(5, Modality="MR")))


def test_an_ordinary_abdomen_has_no_notes() -> None:
    """400 mm across, soft kernel, contrast named."""
    slices = ct_slices(5, rows=500, columns=500, ConvolutionKernel=["Br38f", "3"], ContrastBolusAgent="APPLIED")
    series = series_of(slices)
    assert notes(series, check(series)) == ()


@pytest.mark.parametrize("rescale_type", [None, "HU", "US"])
def test_a_rescale_without_type_is_to_hounsfield_units(rescale_type: str | None) -> None:
    """For CT the default is HU (PS3.3 section C.8.2.1.1.2), and older scanners write unspecified."""
    assert len(check(series_of(ct_slices(5, RescaleType=rescale_type))).instances) == 5


def test_a_primary_axial_derived_image_is_allowed() -> None:
    """Derived alone says little: monoenergetic and denoised reconstructions are axial slices too."""
    assert len(check(series_of(ct_slices(5, ImageType=["DERIVED", "PRIMARY", "AXIAL"]))).instances) == 5


def test_the_first_broken_clause_is_the_reason() -> None:
    """A scout of two images is a scout, not a series with too few slices."""
    assert reason(ct_slices(2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])) is ReasonCode.LOCALIZER


@pytest.mark.parametrize(("modality", "expected"), [("SEG", True), ("RTSTRUCT", True), ("CT", False), ("SR", False)])
def test_contours_are_known_by_their_modality(modality: str, *, expected: bool) -> None:
    """SEG and RTSTRUCT are contours; everything else is judged as images."""
    assert is_annotation(series_of(ct_slices(1, Modality=modality))) is expected


def test_a_report_is_not_an_image() -> None:
    """An SR that was sent to the node is refused for what it is."""
    absent = dict.fromkeys(("Rows", "Columns", "PixelData"))
    report = ct_slice(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.34", Modality="SR", **absent)
    assert reason([report]) is ReasonCode.NOT_AN_IMAGE
