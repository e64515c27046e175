"""Contours that a person or a program drew, read: DICOM SEG and RTSTRUCT as domain values.

Segmentations (PS3.3 section A.51, C.8.20) may be BINARY, FRACTIONAL (a voxel belongs from half of the maximum on) or
LABELMAP; structure sets (PS3.3 section A.19, C.8.8) give their closed planar contours. Nothing here knows a volume:
planes and contours keep their own place in space.
"""

import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.dicom.region_codes import RegionEvidence, anatomy_of, is_lesion
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import (
    AnnotatedRegion,
    Annotation,
    AnnotationKind,
    BoolArray,
    Contour,
    MaskPlane,
    PatientIdentity,
)
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable

_SOP_CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.66.4": AnnotationKind.SEG,
    "1.2.840.10008.5.1.4.1.1.66.7": AnnotationKind.SEG,  # Label Map Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.481.3": AnnotationKind.RTSTRUCT,
}

# Contour Geometric Type (PS3.3 section C.8.8.6.1) that encloses an area.
_CLOSED: Final = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_FEWEST_POINTS: Final = 3

REFERENCE_SEQUENCES: Final = (
    "ReferencedSeriesSequence",
    "StudiesContainingOtherReferencedInstancesSequence",
    "ReferencedFrameOfReferenceSequence",
)
"""Where ``referenced_series`` looks."""

# What a frame may claim before it is decoded: far above any CT, far below what exhausts a machine.
_MOST_PIXELS_A_FRAME: Final = 8192 * 8192
_MOST_FRAMES: Final = 100_000

# What pydicom raises on content that is not what it claims to be.
_BROKEN: Final = (
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read_annotation(path: Path) -> Annotation:
    """The annotation in the file ``path``.

    A segment without frames gives a region without planes. Planes are cropped to what is marked in them.
    Raises Refused (ANNOTATION_UNREADABLE) when the content is broken or not an annotation, Retryable when the file
    cannot be read.
    """
    with _translated():
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise _unreadable("deflated objects are not read")
        return _annotation(dcmread(path))


def referenced_series(dataset: Dataset) -> tuple[SeriesUID, ...]:
    """The series that a SEG or RTSTRUCT references, each once, in order; what is odd is left out, nothing is raised.

    The pixel data need not be there (PS3.3 sections C.12.2 and C.8.8.5).
    """
    direct = _items(dataset, "ReferencedSeriesSequence")
    elsewhere = _descend(dataset, "StudiesContainingOtherReferencedInstancesSequence", "ReferencedSeriesSequence")
    structures = _descend(
        dataset, "ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence"
    )
    found: dict[SeriesUID, None] = {}
    for item in (*direct, *elsewhere, *structures):
        try:
            found[SeriesUID(str(item.SeriesInstanceUID))] = None
        except (OSError, *_BROKEN):
            continue
    return tuple(found)


def _annotation(dataset: Dataset) -> Annotation:
    """The whole object; raises what pydicom raises when something in it is broken."""
    kind = _SOP_CLASSES.get(str(dataset.get("SOPClassUID", "")))
    if kind is None:
        raise _unreadable("not a segmentation or structure set")
    is_seg = kind is AnnotationKind.SEG
    return Annotation(
        instance_uid=InstanceUID(str(dataset.SOPInstanceUID)),
        kind=kind,
        study_uid=StudyUID(str(dataset.StudyInstanceUID)),
        patient=_patient(dataset),
        referenced_series=referenced_series(dataset),
        frame_of_reference_uid=_frame_of_reference(dataset),
        manufacturer=_text(dataset, "Manufacturer"),
        created_at=_created_at(dataset, "Content" if is_seg else "StructureSet"),
        regions=_segments(dataset) if is_seg else _structures(dataset),
    )


def _patient(dataset: Dataset) -> PatientIdentity:
    return PatientIdentity(
        patient_id=_text(dataset, "PatientID"),
        issuer=_text(dataset, "IssuerOfPatientID"),
        name=_text(dataset, "PatientName"),
        birth_date=_text(dataset, "PatientBirthDate"),
        sex=_text(dataset, "PatientSex"),
    )


def _frame_of_reference(dataset: Dataset) -> str:
    """The object's own frame of reference, or for a structure set the first that it references or draws in."""
    candidates = [
        dataset,
        *_items(dataset, "ReferencedFrameOfReferenceSequence"),
    ]
    uids = [_text(candidate, "FrameOfReferenceUID") for candidate in candidates]
    uids += [_text(roi, "ReferencedFrameOfReferenceUID") for roi in _items(dataset, "StructureSetROISequence")]
    return next((uid for uid in uids if uid), "")


def _created_at(dataset: Dataset, prefix: str) -> str:
    """YYYYMMDDHHMMSS; what the object says of its content, else of its own creation."""
    for name in (prefix, "InstanceCreation"):
        date = _text(dataset, f"{name}Date").replace(".", "")
        if date:
            time = _text(dataset, f"{name}Time").replace(":", "").partition(".")[0]
            return date + time.ljust(6, "0")[:6]
    return ""


# Segmentations


def _segments(dataset: Dataset) -> tuple[AnnotatedRegion, ...]:
    """One region a segment, with its planes."""
    planes = _planes_by_segment(dataset)
    return tuple(_segment_region(item, planes) for item in _items(dataset, "SegmentSequence"))


def _segment_region(item: Dataset, planes: dict[int, list[MaskPlane]]) -> AnnotatedRegion:
    number = int(item.SegmentNumber)
    types = _codes(item, "SegmentedPropertyTypeCodeSequence")
    evidence = RegionEvidence(
        label=_text(item, "SegmentLabel"),
        places=(*_codes(item, "AnatomicRegionSequence"), *types),
        types=types,
        categories=_codes(item, "SegmentedPropertyCategoryCodeSequence"),
    )
    return _region(number, evidence, planes=tuple(planes.get(number, ())))


def _planes_by_segment(dataset: Dataset) -> dict[int, list[MaskPlane]]:
    """The marked planes of each segment, in frame order."""
    planes: dict[int, list[MaskPlane]] = defaultdict(list)
    frames = int(dataset.get("NumberOfFrames") or 0)
    if frames == 0 or not dataset.get("SegmentSequence"):
        return planes
    _check_size(dataset, frames)
    shared = _items(dataset, "SharedFunctionalGroupsSequence")
    own = _items(dataset, "PerFrameFunctionalGroupsSequence")
    if len(own) not in {0, frames}:
        raise _unreadable(f"{frames} frames but {len(own)} functional groups")
    for index, pixels in enumerate(iter_pixels(dataset, raw=True)):
        groups = (*own[index : index + 1], *shared)
        for number, mask in _masks(dataset, groups, pixels):
            if mask.any():
                planes[number].append(_plane(mask, groups))
    return planes


def _check_size(dataset: Dataset, frames: int) -> None:
    """Refuse what would not fit into memory, before anything is decoded."""
    if frames > _MOST_FRAMES or int(dataset.Rows) * int(dataset.Columns) > _MOST_PIXELS_A_FRAME:
        raise _unreadable(f"{frames} frames of {dataset.Rows} x {dataset.Columns} are more than is read")


def _masks(dataset: Dataset, groups: Sequence[Dataset], pixels: npt.NDArray[Any]) -> Iterator[tuple[int, BoolArray]]:
    """The segments in one frame and what each marks (PS3.3 section C.8.20.2.1)."""
    if dataset.SegmentationType == "LABELMAP":
        for number in np.unique(pixels):
            yield int(number), pixels == number
        return
    number = int(_group(groups, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    if dataset.SegmentationType == "FRACTIONAL":
        yield number, pixels * 2.0 >= float(dataset.MaximumFractionalValue)
    elif dataset.SegmentationType == "BINARY":
        yield number, pixels > 0
    else:
        raise _unreadable("an unknown segmentation type")


def _plane(mask: BoolArray, groups: Sequence[Dataset]) -> MaskPlane:
    """The mask, cropped to what is marked, where the frame's functional groups put it (PS3.3 section C.7.6.16.2)."""
    orientation = _numbers(_group(groups, "PlaneOrientationSequence").ImageOrientationPatient, 6)
    spacing = _numbers(_group(groups, "PixelMeasuresSequence").PixelSpacing, 2)
    position = _numbers(_group(groups, "PlanePositionSequence").ImagePositionPatient, 3)
    if min(spacing) <= 0:
        raise _unreadable("a pixel spacing that is not positive")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    along_row, along_column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    corner = np.asarray(position) + along_row * spacing[1] * columns[0] + along_column * spacing[0] * rows[0]
    return MaskPlane(
        mask=mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy(),
        position_lps_mm=(float(corner[0]), float(corner[1]), float(corner[2])),
        orientation=(orientation[0], orientation[1], orientation[2], orientation[3], orientation[4], orientation[5]),
        spacing_mm=(spacing[0], spacing[1]),
    )


def _group(groups: Sequence[Dataset], keyword: str) -> Dataset:
    """The one item of a functional group: the frame's own, else the shared one."""
    for group in groups:
        items = _items(group, keyword)
        if items:
            return items[0]
    raise _unreadable(f"a frame without {keyword}")


# Structure sets


def _structures(dataset: Dataset) -> tuple[AnnotatedRegion, ...]:
    """One region an ROI, with its closed contours."""
    drawn = {int(item.ReferencedROINumber): item for item in _items(dataset, "ROIContourSequence")}
    observed = {int(item.ReferencedROINumber): item for item in _items(dataset, "RTROIObservationsSequence")}
    regions = tuple(
        _structure_region(roi, drawn.get(int(roi.ROINumber)), observed.get(int(roi.ROINumber)))
        for roi in _items(dataset, "StructureSetROISequence")
    )
    has_any = any(_items(item, "ContourSequence") for item in drawn.values())
    if has_any and not any(region.contours for region in regions):
        raise _unreadable("no closed planar contour, only points or open lines")
    return regions


def _structure_region(roi: Dataset, drawn: Dataset | None, observed: Dataset | None) -> AnnotatedRegion:
    observation = observed if observed is not None else Dataset()
    identified = _codes(observation, "RTROIIdentificationCodeSequence")
    types = (*_codes(observation, "SegmentedPropertyTypeCodeSequence"), *identified)
    evidence = RegionEvidence(
        label=_text(roi, "ROIName") or _text(observation, "ROIObservationLabel"),
        places=(*_codes(observation, "AnatomicRegionSequence"), *types),
        types=types,
        categories=_codes(observation, "SegmentedPropertyCategoryCodeSequence"),
        interpreted_type=_text(observation, "RTROIInterpretedType").strip().upper(),
    )
    contours = () if drawn is None else tuple(_contours(drawn))
    return _region(int(roi.ROINumber), evidence, contours=contours)


def _contours(drawn: Dataset) -> Iterator[Contour]:
    """The closed planar contours of one ROI (PS3.3 section C.8.8.6); too few points enclose nothing."""
    for item in _items(drawn, "ContourSequence"):
        values = np.asarray(item.get("ContourData") or (), dtype=np.float64)
        if values.size % 3 or not np.isfinite(values).all():
            raise _unreadable("contour data that are not points in space")
        if str(item.get("ContourGeometricType", "")) in _CLOSED and values.size >= 3 * _FEWEST_POINTS:
            yield Contour(values.reshape(-1, 3))


# Both


def _region(
    number: int, evidence: RegionEvidence, planes: tuple[MaskPlane, ...] = (), contours: tuple[Contour, ...] = ()
) -> AnnotatedRegion:
    anatomy, is_coded = anatomy_of(evidence)
    return AnnotatedRegion(
        number=number,
        label=evidence.label,
        anatomy=anatomy,
        anatomy_is_coded=is_coded,
        is_lesion=is_lesion(evidence),
        planes=planes,
        contours=contours,
    )


def _codes(item: Dataset, keyword: str) -> tuple[Code, ...]:
    """The coded entries of a sequence (PS3.3 section 8.8); long and URN values count too."""
    return tuple(
        Code(
            _text(code, "CodeValue") or _text(code, "LongCodeValue") or _text(code, "URNCodeValue"),
            _text(code, "CodingSchemeDesignator"),
            _text(code, "CodeMeaning"),
        )
        for code in _items(item, keyword)
    )


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent, empty or not a sequence."""
    try:
        value = dataset.get(keyword)
    except (OSError, *_BROKEN):
        return []
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def _descend(dataset: Dataset, *keywords: str) -> list[Dataset]:
    """The items at the end of nested sequences."""
    items = [dataset]
    for keyword in keywords:
        items = [inner for item in items for inner in _items(item, keyword)]
    return items


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value)


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    """``count`` finite numbers."""
    numbers = tuple(float(one) for one in value)
    if len(numbers) != count or not all(math.isfinite(one) for one in numbers):
        raise _unreadable("a position, orientation or spacing that is not numbers")
    return numbers


def _unreadable(detail: str) -> Refused:
    return Refused(ReasonCode.ANNOTATION_UNREADABLE, detail)


@contextmanager
def _translated() -> Iterator[None]:
    """What pydicom raises, as what Celadon raises; its messages may quote values, so only the kind is kept."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:  # raised by pydicom about the content, not by the operating system
            raise _unreadable("broken content (OSError)") from exc
        raise Retryable(f"the annotation could not be read: {exc.strerror}") from exc
    except _BROKEN as exc:
        raise _unreadable(f"broken content ({type(exc).__name__})") from exc
