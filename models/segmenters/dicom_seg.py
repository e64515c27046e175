"""The contours that people and other programs put into the archive: SEG and RTSTRUCT, placed on the volume's grid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.segmenters.contours import scan_convert
from models.segmenters.planes import place_planes
from node.domain.coding import Anatomy
from node.domain.imaging import AnnotatedRegion, Annotation, BoolArray, Geometry, Roi, Volume, each_with_others
from node.domain.reasons import ReasonCode
from node.errors import Refused

NAME: Final = "dicom-seg"
_DAY: Final = len("YYYYMMDD")


@dataclass(frozen=True, slots=True, eq=False)
class _Lesion:
    """A lesion on the grid and where it was read from."""

    annotation: Annotation
    region: AnnotatedRegion
    organ: Anatomy
    mask: BoolArray
    voxels: int


class ArchiveSegmenter:
    """Takes lesions from annotations. The newest annotation of an organ speaks for it."""

    name = NAME

    def locate(self, volume: Volume, annotations: Sequence[Annotation], organs: Sequence[Anatomy]) -> tuple[Roi, ...]:
        """The lesions in ``organs``, largest first; empty without annotations.

        Raises Refused: ROI_NO_LESION when the annotations mark none in ``organs``, ROI_AMBIGUOUS when two that are
        equally new differ, ROI_GEOMETRY when one does not fit the volume, ROI_EMPTY when no voxel is inside.
        """
        if not annotations:
            return ()
        relevant = [organ for organ in organs if any(_lesions_in(annotation, organ) for annotation in annotations)]
        if not relevant:
            regions = sum(len(annotation.regions) for annotation in annotations)
            wanted = " or ".join(organ.key for organ in organs)
            raise Refused(
                ReasonCode.ROI_NO_LESION,
                f"{len(annotations)} annotation(s) with {regions} region(s), none of a lesion in the {wanted}",
            )
        placed = [lesion for organ in relevant for lesion in _newest(volume.geometry, annotations, organ)]
        lesions = [lesion for lesion in placed if lesion.voxels]
        if not lesions:
            raise Refused(ReasonCode.ROI_EMPTY, f"none of {len(placed)} lesion region(s) holds a voxel of the series")
        lesions.sort(key=lambda lesion: (-lesion.voxels, lesion.annotation.instance_uid, lesion.region.number))
        return each_with_others([_roi(volume.geometry, lesion) for lesion in lesions])


def _lesions_in(annotation: Annotation, organ: Anatomy) -> list[AnnotatedRegion]:
    """The lesion regions of ``annotation`` in ``organ``."""
    return [region for region in annotation.regions if region.is_lesion and region.anatomy is organ]


def _newest(geometry: Geometry, annotations: Iterable[Annotation], organ: Anatomy) -> list[_Lesion]:
    """The lesions in ``organ`` of the newest annotation that has any; equally new ones must agree."""
    having = sorted(
        (annotation for annotation in annotations if _lesions_in(annotation, organ)),
        key=lambda annotation: annotation.instance_uid,
    )
    latest = max(annotation.created_at for annotation in having)
    first, *others = (_place(geometry, annotation, organ) for annotation in having if annotation.created_at == latest)
    if any(not np.array_equal(_union(first), _union(other)) for other in others):
        raise Refused(
            ReasonCode.ROI_AMBIGUOUS,
            f"{len(others) + 1} annotations of the {organ.key} are equally new and mark different voxels",
        )
    return first


def _place(geometry: Geometry, annotation: Annotation, organ: Anatomy) -> list[_Lesion]:
    """The lesions of one annotation on the grid."""
    frame = annotation.frame_of_reference_uid
    if frame and frame != geometry.frame_of_reference_uid:
        raise Refused(ReasonCode.ROI_GEOMETRY, "the annotation has another frame of reference than the series")
    masks = [(region, rasterise(geometry, region)) for region in _lesions_in(annotation, organ)]
    return [_Lesion(annotation, region, organ, mask, int(np.count_nonzero(mask))) for region, mask in masks]


def rasterise(geometry: Geometry, region: AnnotatedRegion) -> BoolArray:
    """The region as a mask [slice, row, column] of the grid."""
    mask = np.zeros(geometry.shape_zyx, dtype=np.bool_)
    if region.planes:
        mask |= place_planes(geometry, region.planes)
    if region.contours:
        mask |= scan_convert(geometry, region.contours)
    return mask


def _union(lesions: Iterable[_Lesion]) -> BoolArray:
    """All voxels of ``lesions``."""
    union: BoolArray = np.logical_or.reduce([lesion.mask for lesion in lesions])
    return union


def _roi(geometry: Geometry, lesion: _Lesion) -> Roi:
    """The lesion as a region of interest."""
    region = lesion.region
    return Roi(
        mask=lesion.mask,
        geometry=geometry,
        anatomy=lesion.organ,
        label=region.label,
        source=NAME,
        source_instance_uid=lesion.annotation.instance_uid,
        anatomy_is_coded=region.anatomy_is_coded,
        made_by=_drawn_by(lesion.annotation),
    )


def _drawn_by(annotation: Annotation) -> str:
    """Whose contour it is, as far as the object says: ``SEG by Phantom workstation, 2024-01-01``."""
    maker = annotation.manufacturer.strip() or "an unnamed maker"
    day = annotation.created_at[:_DAY]
    made = f", {day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == _DAY and day.isdigit() else ""
    return f"{annotation.kind} by {maker}{made}"
