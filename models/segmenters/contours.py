"""Contours (PS3.3 section C.8.8.6) to voxels: a voxel belongs to a region when its centre lies inside.

Contours on one slice combine by even-odd counting, so one inside another is a hole (CLOSED_PLANAR_XOR); the outline is
never drawn, which would make every lesion half a voxel larger all round.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.segmenters.spacing import refuse_gaps
from node.domain.imaging import BoolArray, Contour, Geometry
from node.domain.reasons import ReasonCode
from node.errors import Refused

HALF_SLICE: Final = 0.5
"""How far from its slice, in slices, a point may lie; a little is added for decimal strings."""
ROUNDING: Final = 1e-3
MARGIN: Final = 1.0
"""How far outside the outermost voxel centres, in voxels, a contour may reach."""

_Points = npt.NDArray[np.float64]


def scan_convert(geometry: Geometry, contours: Sequence[Contour]) -> BoolArray:
    """The mask [slice, row, column] of ``contours``.

    Raises Refused(ROI_GEOMETRY) when a contour is not in the plane of a slice, reaches outside the volume, or when the
    contours leave slices out.
    """
    mask = np.zeros(geometry.shape_zyx, dtype=np.bool_)
    used: set[int] = set()
    for number, contour in enumerate(contours, start=1):
        points = geometry.to_index(contour.points_lps_mm)
        index = _slice_of(points[:, 2], geometry.shape_zyx[0], number)
        _refuse_outside(points[:, :2], geometry.shape_zyx, number)
        mask[index] ^= fill(points[:, :2], geometry.shape_zyx[1:])
        used.add(index)
    refuse_gaps(used)
    return mask


def fill(points: _Points, shape: tuple[int, int]) -> BoolArray:
    """The voxels [row, column] whose centres lie inside the closed polygon ``points`` (n, 2) in columns, rows."""
    rows, columns = shape
    x1, y1 = points.T
    x2, y2 = np.roll(points, -1, axis=0).T
    low = max(0, int(np.ceil(y1.min())))
    high = min(rows - 1, int(np.floor(y1.max())))
    lines = np.arange(low, high + 1)
    # Each line through voxel centres crosses an edge or not; between two crossings lies the inside.
    edge, line = np.nonzero((y1[:, None] <= lines) != (y2[:, None] <= lines))
    along = (lines[line] - y1[edge]) / (y2[edge] - y1[edge])
    crossing = x1[edge] + along * (x2[edge] - x1[edge])
    first_inside = np.clip(np.ceil(crossing), 0, columns).astype(np.intp)
    toggles = np.zeros((rows, columns + 1), dtype=np.int32)
    np.add.at(toggles, (lines[line], first_inside), 1)
    inside: BoolArray = (np.cumsum(toggles[:, :columns], axis=1) % 2).astype(np.bool_)
    return inside


def _slice_of(z: npt.NDArray[np.float64], slices: int, number: int) -> int:
    """The slice that all points are within half a slice of."""
    index = round(float(z.mean()))
    if not 0 <= index < slices:
        raise Refused(ReasonCode.ROI_GEOMETRY, f"contour {number} lies outside the {slices} slices of the series")
    distance = float(np.abs(z - index).max())
    if distance > HALF_SLICE + ROUNDING:
        raise Refused(
            ReasonCode.ROI_GEOMETRY, f"contour {number} is not in the plane of a slice: {distance:.2f} slices off"
        )
    return index


def _refuse_outside(points: _Points, shape_zyx: tuple[int, int, int], number: int) -> None:
    """Refuse a contour that reaches beyond the image: it was drawn on another one."""
    last = np.array((shape_zyx[2] - 1, shape_zyx[1] - 1), dtype=np.float64)
    if (points < -MARGIN).any() or (points > last + MARGIN).any():
        raise Refused(ReasonCode.ROI_GEOMETRY, f"contour {number} reaches outside the images of the series")
