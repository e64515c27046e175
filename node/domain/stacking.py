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
_SAME_POSITION_MM: Final = 0.01
_SAME_SPACING_MM: Final = 1e-3
_LARGEST_SHEAR_MM: Final = 0.1
_SPACING_TOLERANCE: Final = 0.1
"""Fraction of the median distance that a single distance may be off before a slice counts as missing."""


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
    if len(frames) > 1 or not first.frame_of_reference_uid:
        return Reason(ReasonCode.MIXED_GEOMETRY, "the frame of reference differs or is absent")
    return None


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
    normal: npt.NDArray[np.float64] = np.cross(orientation[:3], orientation[3:]).astype(np.float64)
    return normal


def _position(image: Instance) -> npt.NDArray[np.float64]:
    return np.array(image.image_position_mm, dtype=np.float64)


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
