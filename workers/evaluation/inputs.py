"""The files of a case as the steps of the node take them: a series, its pixels, and contours that reference it.

A file of voxels becomes a series of made-up images with its geometry, so that triage asks of it what it asks of a
scanner's series; its mask becomes an annotation. What follows cannot tell the difference.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.errors import InvalidDicomError

from models.evaluation.volumes import is_volume_file, read_ct, read_mask
from node.dicom.reading import instance_from, read_header
from node.dicom.sandbox import Decoder
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import (
    AnnotatedRegion,
    Annotation,
    AnnotationKind,
    BoolArray,
    Geometry,
    Instance,
    MaskPlane,
    PatientIdentity,
    Series,
    Volume,
)
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack
from node.errors import Quarantined, Refused
from node.triage import contract
from node.triage.selection import candidate, ranked
from workers.evaluation.manifest import CohortCase
from workers.steps.assemble import assemble
from workers.steps.locate_roi import read_annotations, usable

_NAMESPACE: Final = "cohort"
_AXIAL: Final = "ORIGINAL\\PRIMARY\\AXIAL"


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """One case, opened; pixels are read when they are asked for."""

    series: Series
    assemble: Callable[[Stack], Volume]
    """From the stack that triage makes of the series."""
    annotations: Callable[[], tuple[Annotation, ...]]
    """The contours to be analysed."""
    observers: Callable[[], dict[str, Annotation]]
    """Further observers' contours, by name."""


def open_case(case: CohortCase, anatomy: Anatomy, decoder: Decoder) -> Inputs:
    """The case's inputs; masks of voxels are taken to mark a lesion in ``anatomy``.

    Raises:
        Refused: no file is an image that can be read, or no series of a folder meets the contract.
        Quarantined: the series is of several patients.
    """
    if is_volume_file(case.image):
        return _of_voxels(case, anatomy, decoder)
    return _of_dicom(case, anatomy, decoder)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files of a path in the order of their names: itself, or everything below a folder."""
    return (path,) if path.is_file() else tuple(sorted(one for one in path.rglob("*") if one.is_file()))


def _of_dicom(case: CohortCase, anatomy: Anatomy, decoder: Decoder) -> Inputs:
    instances = tuple(_instances(files_of(case.image)))
    drawn = tuple(_instances(files_of(case.mask))) if case.mask and not is_volume_file(case.mask) else ()
    series = _chosen((*instances, *drawn))
    beside = tuple(one for one in instances if one.modality in contract.ANNOTATION_MODALITIES)

    def annotations() -> tuple[Annotation, ...]:
        if case.mask is not None:
            return (_annotation(case.mask, series, anatomy, decoder),)
        referring = [one for one in beside if series.uid in one.references]
        return read_annotations(referring, series, decoder)

    return Inputs(
        series=series,
        assemble=lambda stack: assemble(stack, decoder),
        annotations=annotations,
        observers=lambda: _observers(case, series, anatomy, decoder),
    )


def _of_voxels(case: CohortCase, anatomy: Anatomy, decoder: Decoder) -> Inputs:
    frame = FrameOfReferenceUID.derived(_NAMESPACE, case.name, "frame")
    volume = read_ct(case.image, frame)
    series = _made_up(case.name, volume.geometry)
    place = {one.uid: index for index, one in enumerate(series.instances)}

    def assembled(stack: Stack) -> Volume:
        uids = tuple(one.uid for one in stack.instances)
        return Volume(volume.hu[[place[uid] for uid in uids]], stack.geometry, uids)

    return Inputs(
        series=series,
        assemble=assembled,
        annotations=lambda: () if case.mask is None else (_annotation(case.mask, series, anatomy, decoder),),
        observers=lambda: _observers(case, series, anatomy, decoder),
    )


def _observers(case: CohortCase, series: Series, anatomy: Anatomy, decoder: Decoder) -> dict[str, Annotation]:
    return {name: _annotation(mask, series, anatomy, decoder) for name, mask in case.observers.items()}


def _instances(files: Iterable[Path]) -> Iterator[Instance]:
    """The DICOM objects among ``files``; what is no DICOM (a DICOMDIR's neighbours, a text) is passed over."""
    for file in files:
        try:
            header = read_header(file)
            if "SOPInstanceUID" in header:
                yield instance_from(header, str(header.file_meta.get("TransferSyntaxUID", "")), file)
        except (InvalidDicomError, ValueError, AttributeError):
            continue


def _chosen(instances: Sequence[Instance]) -> Series:
    """The series that the node would analyse: of those that meet the contract, the best one."""
    grouped: dict[SeriesUID, list[Instance]] = {}
    for one in instances:
        if one.modality not in contract.ANNOTATION_MODALITIES | contract.DOCUMENT_MODALITIES:
            grouped.setdefault(one.series_uid, []).append(one)
    if not grouped:
        raise Refused(ReasonCode.NOT_AN_IMAGE, "no file is a DICOM image")
    found, refusals = [], []
    for uid, members in sorted(grouped.items()):
        series = Series(uid, members[0].study_uid, members[0].patient, members[0].modality, tuple(members))
        if len({(one.patient.key(), one.study_uid) for one in members}) > 1:
            raise Quarantined(ReasonCode.PATIENT_CONFLICT)
        contours = [one for one in instances if uid in one.references]
        try:
            has_contour = bool(usable(contours, series))
            found.append((series, candidate(series, contract.check(series), has_contour=has_contour)))
        except Refused as refused:
            refusals.append((len(members), refused))
    if not found:
        raise max(refusals, key=lambda one: one[0])[1]
    best = ranked([one for _, one in found])[0]
    return next(series for series, one in found if one is best)


def _annotation(mask: Path, series: Series, anatomy: Anatomy, decoder: Decoder) -> Annotation:
    """A mask as an annotation of ``series``.

    Raises:
        Refused: it cannot be read, or is several objects of which nobody says which is meant.
        Quarantined: it is of another patient or study.
    """
    if is_volume_file(mask):
        frame = FrameOfReferenceUID.derived(_NAMESPACE, str(series.uid), "mask")
        return _of_mask(mask, *read_mask(mask, frame), series, anatomy)
    instances = tuple(_instances(files_of(mask)))
    if not instances:
        raise Refused(ReasonCode.ANNOTATION_UNREADABLE, f"{mask.name} is no SEG, RTSTRUCT or file of voxels")
    if len(instances) > 1:
        raise Refused(ReasonCode.ANNOTATION_UNREADABLE, f"{mask.name} holds {len(instances)} objects, not one")
    read = read_annotations(instances, series, decoder)
    if not read:
        raise Quarantined(ReasonCode.PATIENT_CONFLICT, f"the mask {mask.name} is of another patient or study")
    return read[0]


def _of_mask(file: Path, mask: BoolArray, geometry: Geometry, series: Series, anatomy: Anatomy) -> Annotation:
    across, down, _ = geometry.direction
    between_columns, between_rows, _ = geometry.spacing_xyz_mm
    corners = geometry.to_lps_mm(np.array([(0.0, 0.0, float(index)) for index in range(len(mask))]))
    planes = tuple(
        MaskPlane(plane, _vector(corner), (*across, *down), (between_rows, between_columns))
        for plane, corner in zip(mask, corners, strict=True)
        if plane.any()
    )
    return Annotation(
        instance_uid=InstanceUID.derived(_NAMESPACE, str(series.uid), str(file)),
        kind=AnnotationKind.SEG,
        study_uid=series.study_uid,
        patient=series.patient,
        referenced_series=(series.uid,),
        frame_of_reference_uid="",
        manufacturer="",
        created_at="",
        regions=(AnnotatedRegion(1, "lesion", anatomy, anatomy_is_coded=True, is_lesion=True, planes=planes),),
    )


def _made_up(case: str, geometry: Geometry) -> Series:
    """A series with the geometry of a file of voxels, and nothing that the file does not say."""
    across, down, _ = geometry.direction
    between_columns, between_rows, _ = geometry.spacing_xyz_mm
    slices, rows, columns = geometry.shape_zyx
    corners = geometry.to_lps_mm(np.array([(0.0, 0.0, float(index)) for index in range(slices)]))
    study, series = StudyUID.derived(_NAMESPACE, case, "study"), SeriesUID.derived(_NAMESPACE, case, "series")
    patient = PatientIdentity(case)
    instances = tuple(
        Instance(
            uid=InstanceUID.derived(_NAMESPACE, case, str(index)),
            sop_class_uid=contract.CT_IMAGE_STORAGE,
            transfer_syntax_uid="",
            series_uid=series,
            study_uid=study,
            patient=patient,
            modality="CT",
            frame_of_reference_uid=geometry.frame_of_reference_uid,
            image_position_mm=_vector(corner),
            image_orientation=(*across, *down),
            pixel_spacing_mm=(between_rows, between_columns),
            rows=rows,
            columns=columns,
            attributes={"ImageType": _AXIAL, "RescaleSlope": "1", "RescaleIntercept": "0"},
        )
        for index, corner in enumerate(corners)
    )
    return Series(series, study, patient, "CT", instances)


def _vector(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z
