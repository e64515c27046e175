"""Whether single images make a volume: parallel, axial-agnostic, evenly spaced, none missing, none twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import Geometry, Instance, Vector
from node.domain.reasons import Reason, ReasonCode

FEWEST_SLICES: Final = 3
"""A key slice and its two neighbours."""
# Scanners write positions in decimal text, rounded: what differs by less is the same.
_SAME_COSINE: Final = 1e-3
_LARGEST_SKEW: Final = 1e-2
_SAME_POSITION_MM: Final = 0.01
_SAME_SPACING_MM: Final = 1e-3
_LARGEST_SHEAR_MM: Final = 0.1
_SPACING_TOLERANCE: Final = 0.1
"""Fraction of the median distance that a single distance may be off before a slice counts as missing."""
_GRID_TOLERANCE: Final = 0.5
"""Fraction of the distance between slices that a slice may be off its place on the even grid: with more it would lie
nearer to its neighbour's place than to its own."""
_LARGEST_LEAN_MM: Final = 1.0
"""How far the stack as a whole may lean: about one pixel."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Images in the order of their positions along the stack's normal, and the grid that they form."""

    instances: tuple[Instance, ...]
    geometry: Geometry


def stack(instances: Sequence[Instance]) -> Stack | Reason:
    """The stack that ``instances`` form, or the reason why they form none."""
    if any(
        image.image_position_mm is None or image.image_orientation is None or image.pixel_spacing_mm is None
        for image in instances
    ):
        return Reason(ReasonCode.NO_GEOMETRY)
    if not all(_is_possible(image) for image in instances):
        return Reason(ReasonCode.NO_GEOMETRY, "orientation or spacing are not those of a grid in space")
    if len(instances) < FEWEST_SLICES:
        return Reason(ReasonCode.TOO_FEW_SLICES, f"{len(instances)} of at least {FEWEST_SLICES}")
    if fault := _mixed(instances):
        return fault
    normal = _normal(instances[0])
    ordered = sorted(instances, key=lambda image: float(np.dot(normal, _position(image))))
    positions = np.array([_position(image) for image in ordered])
    if fault := _uneven(positions, normal):
        return fault
    return Stack(tuple(ordered), _geometry(ordered, positions, normal))


def _is_possible(image: Instance) -> bool:
    """Whether row and column are perpendicular unit vectors (PS3.3 section C.7.6.2.1.1) and the pixels have a size."""
    cosines = np.array(image.image_orientation, dtype=np.float64).reshape(2, 3)
    skew = np.abs(cosines @ cosines.T - np.eye(2)).max()
    return bool(skew <= _LARGEST_SKEW) and min(image.pixel_spacing_mm or (0.0,)) > 0


def _mixed(instances: Sequence[Instance]) -> Reason | None:
    first = instances[0]
    orientation = np.array(first.image_orientation)
    if any(np.abs(np.array(image.image_orientation) - orientation).max() > _SAME_COSINE for image in instances):
        return Reason(ReasonCode.MIXED_ORIENTATION, "the slices are not parallel")
    if any((image.rows, image.columns) != (first.rows, first.columns) for image in instances):
        return Reason(ReasonCode.MIXED_GEOMETRY, "rows or columns differ")
    spacing = np.array(first.pixel_spacing_mm)
    if any(np.abs(np.array(image.pixel_spacing_mm) - spacing).max() > _SAME_SPACING_MM for image in instances):
        return Reason(ReasonCode.MIXED_GEOMETRY, "pixel spacing differs")
    frames = {image.frame_of_reference_uid for image in instances}
    if len(frames) > 1 or not _is_uid(first.frame_of_reference_uid):
        return Reason(ReasonCode.MIXED_GEOMETRY, "the frame of reference differs, is absent or not well formed")
    return None


def _is_uid(text: str) -> bool:
    try:
        FrameOfReferenceUID(text)
    except ValueError:
        return False
    return True


def _uneven(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> Reason | None:
    steps = np.diff(positions, axis=0)
    distances = steps @ normal
    if (distances < _SAME_POSITION_MM).any():
        return Reason(ReasonCode.DUPLICATE_POSITION, f"slice {int(distances.argmin()) + 1} of {len(positions)}")
    shear = np.linalg.norm(steps - np.outer(distances, normal), axis=1)
    if (shear > _LARGEST_SHEAR_MM).any():
        return Reason(ReasonCode.MIXED_ORIENTATION, f"slices shift by up to {shear.max():.2f} mm in their plane")
    median = float(np.median(distances))
    off = np.abs(distances - median) > _SPACING_TOLERANCE * median
    if off.any():
        where = int(np.flatnonzero(off)[0])
        detail = f"{distances[where]:.2f} mm after slice {where + 1} of {len(positions)}, elsewhere {median:.2f} mm"
        return Reason(ReasonCode.MISSING_SLICE, detail)
    return _off_grid(positions, normal)


def _off_grid(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> Reason | None:
    """Small differences that add up along the stack: what each pair of neighbours hides, the whole shows."""
    offsets = positions - positions[0]
    heights = offsets @ normal
    lean = float(np.linalg.norm(offsets - np.outer(heights, normal), axis=1).max())
    if lean > _LARGEST_LEAN_MM:
        return Reason(ReasonCode.MIXED_ORIENTATION, f"the stack leans by {lean:.2f} mm from end to end")
    even = np.linspace(0.0, heights[-1], len(heights))
    off = float(np.abs(heights - even).max())
    if off > _GRID_TOLERANCE * float(even[1]):
        return Reason(ReasonCode.MISSING_SLICE, f"a slice is {off:.2f} mm off its place on an even grid")
    return None


def _geometry(
    ordered: Sequence[Instance], positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]
) -> Geometry:
    first = ordered[0]
    orientation = first.image_orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    between_rows, between_columns = first.pixel_spacing_mm or (1.0, 1.0)
    extent = float((positions[-1] - positions[0]) @ normal)
    return Geometry(
        shape_zyx=(len(ordered), first.rows, first.columns),
        spacing_xyz_mm=(between_columns, between_rows, extent / (len(ordered) - 1)),
        origin_lps_mm=_vector(positions[0]),
        direction=(_vector(np.array(orientation[:3])), _vector(np.array(orientation[3:])), _vector(normal)),
        frame_of_reference_uid=FrameOfReferenceUID(first.frame_of_reference_uid),
    )


def _normal(image: Instance) -> npt.NDArray[np.float64]:
    orientation = np.array(image.image_orientation, dtype=np.float64)
    normal = np.cross(orientation[:3], orientation[3:]).astype(np.float64)
    unit: npt.NDArray[np.float64] = normal / np.linalg.norm(normal)
    return unit


def _position(image: Instance) -> npt.NDArray[np.float64]:
    return np.array(image.image_position_mm, dtype=np.float64)


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
