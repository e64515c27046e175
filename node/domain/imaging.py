"""Images and regions in space: series, volume, annotation, region of interest.

Arrays are indexed ``[slice, row, column]`` (z, y, x). Positions and directions are in the DICOM patient coordinate
system, LPS, in millimetres (PS3.3 section C.7.6.2.1.1); ``*_xyz`` tuples are in that order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID, SeriesUID, StudyUID
from node.domain.parts import Part

Vector = tuple[float, float, float]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
HuArray = npt.NDArray[np.float32]

CUBIC_MILLIMETRES_PER_MILLILITRE: Final = 1000.0


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """Who the images are of, byte for byte as the archive wrote it (PS3.3 section C.7.1.1)."""

    patient_id: str
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""

    def key(self) -> tuple[str, str]:
        """What makes two identities the same patient: ID and issuer."""
        return self.patient_id.strip(), self.issuer.strip()


@dataclass(frozen=True, slots=True)
class Instance:
    """One received DICOM object: its identity, the header values that decisions rest on, and where its bytes are."""

    uid: InstanceUID
    sop_class_uid: str
    transfer_syntax_uid: str
    series_uid: SeriesUID
    study_uid: StudyUID
    patient: PatientIdentity
    modality: str
    frame_of_reference_uid: str = ""
    image_position_mm: Vector | None = None
    """Image Position (Patient) (0020,0032)."""
    image_orientation: tuple[float, float, float, float, float, float] | None = None
    """Image Orientation (Patient) (0020,0037): direction cosines of the row, then of the column."""
    pixel_spacing_mm: tuple[float, float] | None = None
    """Pixel Spacing (0028,0030): between rows, then between columns."""
    rows: int = 0
    columns: int = 0
    references: tuple[SeriesUID, ...] = ()
    """For a SEG or RTSTRUCT, the series that it references."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Further header values by DICOM keyword, as text; what rules and triage look at."""
    path: Path | None = None
    """The stored file, once there is one."""


@dataclass(frozen=True, slots=True)
class Series:
    """A complete series as the steps see it: its instances in spatial order where there is geometry."""

    uid: SeriesUID
    study_uid: StudyUID
    patient: PatientIdentity
    modality: str
    instances: tuple[Instance, ...]

    def attribute(self, keyword: str) -> str:
        """The value of ``keyword`` in the first instance, empty when it has none."""
        return self.instances[0].attributes.get(keyword, "") if self.instances else ""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A regular grid of voxels in patient space."""

    shape_zyx: tuple[int, int, int]
    spacing_xyz_mm: Vector
    """Between columns, between rows, between slices."""
    origin_lps_mm: Vector
    """The centre of voxel [0, 0, 0]."""
    direction: tuple[Vector, Vector, Vector]
    """Columns of the direction matrix: unit vectors of increasing column, row and slice index."""
    frame_of_reference_uid: FrameOfReferenceUID

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The 3x3 matrix that takes an index (x, y, z) to millimetres from the origin."""
        columns = np.asarray(self.direction, dtype=np.float64).T
        matrix: npt.NDArray[np.float64] = columns * np.asarray(self.spacing_xyz_mm, dtype=np.float64)
        return matrix

    @property
    def voxel_volume_mm3(self) -> float:
        """The volume of one voxel in cubic millimetres."""
        return float(abs(np.linalg.det(self.matrix)))

    def to_index(self, points_lps_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (n, 3) in LPS mm as continuous indices (n, 3) in the order x, y, z."""
        shifted = np.asarray(points_lps_mm, dtype=float) - np.asarray(self.origin_lps_mm, dtype=float)
        index: npt.NDArray[np.float64] = np.linalg.solve(self.matrix, shifted.T).T
        return index

    def to_lps_mm(self, index_xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Continuous indices (n, 3) in the order x, y, z as points (n, 3) in LPS mm."""
        offsets = np.asarray(index_xyz, dtype=np.float64) @ self.matrix.T
        points: npt.NDArray[np.float64] = offsets + np.asarray(self.origin_lps_mm, dtype=np.float64)
        return points


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units on a regular grid; ``instance_uids[k]`` is the image that slice ``k`` is of."""

    hu: HuArray
    geometry: Geometry
    instance_uids: tuple[InstanceUID, ...]


class AnnotationKind(StrEnum):
    """What kind of object a person or program drew the contours in."""

    SEG = "SEG"
    RTSTRUCT = "RTSTRUCT"


@dataclass(frozen=True, slots=True, eq=False)
class MaskPlane:
    """One frame of a segmentation: a binary mask with its own place in space."""

    mask: BoolArray
    """[row, column]."""
    position_lps_mm: Vector
    orientation: tuple[float, float, float, float, float, float]
    spacing_mm: tuple[float, float]
    """Between rows, then between columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One closed planar contour (PS3.3 section C.8.8.6): points (n, 3) in LPS mm."""

    points_lps_mm: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedRegion:
    """One segment of a SEG or one ROI of an RTSTRUCT, before it is placed on a volume's grid."""

    number: int
    label: str
    anatomy: Anatomy | None
    """The organ, from coded entries first, then from the label; None when neither says."""
    anatomy_is_coded: bool
    is_lesion: bool
    """Whether the region marks a lesion (by code, interpreted type or label) rather than a whole organ."""
    planes: tuple[MaskPlane, ...] = ()
    contours: tuple[Contour, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A received SEG or RTSTRUCT, read: who it is of, what it references, and its regions."""

    instance_uid: InstanceUID
    kind: AnnotationKind
    study_uid: StudyUID
    patient: PatientIdentity
    referenced_series: tuple[SeriesUID, ...]
    frame_of_reference_uid: str
    manufacturer: str
    created_at: str
    """Content or structure-set date and time as the object has it, sortable (YYYYMMDDHHMMSS); may be empty."""
    regions: tuple[AnnotatedRegion, ...]


@dataclass(frozen=True, slots=True)
class OtherLesion:
    """A lesion that was found in the series beside the one that is analysed."""

    label: str
    anatomy: Anatomy
    volume_ml: float


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """The region of interest on the volume's own grid, and where it came from."""

    mask: BoolArray
    geometry: Geometry
    anatomy: Anatomy
    label: str
    source: str
    """Which segmenter found it, as registered: for example ``dicom-seg``."""
    source_instance_uid: InstanceUID | None = None
    """The SEG or RTSTRUCT it was read from."""
    anatomy_is_coded: bool = True
    others: tuple[OtherLesion, ...] = ()
    """Further lesions in the series, which were not analysed."""
    made_by: str = ""
    """Who drew it, as a person reads it: weights and how far they may be trusted, or whose object it was read from."""
    means_hu: Mapping[Part, float] = field(default_factory=dict)
    """Mean attenuation of what the segmenter found besides, in HU: what the phase is judged by. Empty: not measured."""

    @property
    def volume_ml(self) -> float:
        """The volume of the region in millilitres, by voxel summation."""
        return float(np.count_nonzero(self.mask)) * self.geometry.voxel_volume_mm3 / CUBIC_MILLIMETRES_PER_MILLILITRE

    @property
    def largest_slice(self) -> int:
        """The index of the slice with the largest in-plane area; the first of several."""
        # Counted: a sum would turn every voxel into an eight-byte number first.
        return int(np.argmax([np.count_nonzero(plane) for plane in self.mask]))


def each_with_others(rois: Sequence[Roi]) -> tuple[Roi, ...]:
    """All lesions of a series, that which is analysed first, each told of the others."""
    told = [OtherLesion(roi.label, roi.anatomy, roi.volume_ml) for roi in rois]
    return tuple(replace(roi, others=(*told[:place], *told[place + 1 :])) for place, roi in enumerate(rois))
