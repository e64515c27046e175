"""Frames of a segmentation (PS3.3 section C.8.20) to voxels of a grid: copied where they fit, else resampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from models.segmenters.spacing import refuse_gaps
from node.domain.imaging import BoolArray, Geometry, MaskPlane
from node.domain.reasons import ReasonCode
from node.errors import Refused

IN_PLANE: Final = 0.01
"""How far, in voxels, the corners of a frame may lie from voxel centres for the frame to be copied."""
ACROSS: Final = 0.1
"""How far, in slices, a frame may lie from a slice, and its corners from one plane, to be on that slice or parallel."""
SAME_PLANE: Final = 1e-3
"""Slices: frames nearer to each other than this are parts of one plane."""
HALF: Final = 0.5
"""Voxels: how far a voxel reaches from its centre."""

_Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame with set pixels in indices of the grid: a pixel lies at ``start + (column, row) @ steps``."""

    mask: BoolArray
    start: npt.NDArray[np.float64]
    """x, y, z of the first pixel's centre."""
    steps: _Matrix
    """(2, 3): the step in x, y, z from one column, and from one row, to the next."""

    @property
    def corners(self) -> _Matrix:
        """(4, 3): the indices of the centres of the corner pixels."""
        rows, columns = self.mask.shape
        ends = np.array(((0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)), dtype=np.float64)
        corners: _Matrix = self.start + ends @ self.steps
        return corners

    @property
    def depth(self) -> float:
        """The index of the slice, not rounded."""
        return float(self.corners[:, 2].mean())

    @property
    def is_parallel(self) -> bool:
        """Whether the frame is in the plane of the slices."""
        return bool(np.ptp(self.corners[:, 2]) <= ACROSS)

    @property
    def is_on_grid(self) -> bool:
        """Whether pixels are voxels: same directions and spacing, centres on centres."""
        rows, columns = self.mask.shape
        ends = np.array(((0, 0, 0), (columns - 1, 0, 0), (0, rows - 1, 0), (columns - 1, rows - 1, 0)))
        off = np.abs(self.corners - np.rint(self.start) - ends).max(axis=0)
        return bool((off[:2] <= IN_PLANE).all() and off[2] <= ACROSS)


def place_planes(geometry: Geometry, planes: Sequence[MaskPlane]) -> BoolArray:
    """The mask [slice, row, column] of ``planes``; those without a set pixel do not matter.

    Frames whose pixels are voxels of the grid are copied exactly, whatever their size. Otherwise each slice takes the
    frame next to it, no farther than half the distance between frames, and each voxel the pixel next to it.

    Raises Refused(ROI_GEOMETRY) when a frame is not parallel to the slices, when a set pixel lies outside the volume,
    or when copied frames leave slices out.
    """
    frames = [_frame(geometry, plane) for plane in planes if plane.mask.any()]
    if not all(frame.is_parallel for frame in frames):
        raise Refused(ReasonCode.ROI_GEOMETRY, "the frames of the segmentation are not parallel to the slices")
    mask = np.zeros(geometry.shape_zyx, dtype=np.bool_)
    if all(frame.is_on_grid for frame in frames):
        refuse_gaps(round(frame.depth) for frame in frames)
        for frame in frames:
            _copy(frame, mask)
    else:
        _resample(frames, mask)
    return mask


def _frame(geometry: Geometry, plane: MaskPlane) -> _Frame:
    """The frame in indices of the grid, cut to its set pixels."""
    rows = np.flatnonzero(plane.mask.any(axis=1))
    columns = np.flatnonzero(plane.mask.any(axis=0))
    position = np.asarray(plane.position_lps_mm, dtype=np.float64)
    along_row, along_column = np.asarray(plane.orientation, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = plane.spacing_mm
    millimetres = np.stack((position, position + along_row * between_columns, position + along_column * between_rows))
    origin, column, row = geometry.to_index(millimetres)
    steps = np.stack((column - origin, row - origin))
    start = origin + np.array((columns[0], rows[0]), dtype=np.float64) @ steps
    return _Frame(plane.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], start, steps)


def _copy(frame: _Frame, mask: BoolArray) -> None:
    """Set the voxels of a frame that lies on the grid."""
    x, y, z = (round(value) for value in frame.start.tolist())
    rows, columns = frame.mask.shape
    if min(x, y, z) < 0 or z >= mask.shape[0] or y + rows > mask.shape[1] or x + columns > mask.shape[2]:
        raise _outside()
    mask[z, y : y + rows, x : x + columns] |= frame.mask


def _resample(frames: Sequence[_Frame], mask: BoolArray) -> None:
    """Set the voxels nearest to set pixels, slice by slice."""
    depths = np.array([frame.depth for frame in frames])
    reach = max(_distance_between(depths), 1.0) / 2.0
    first, last = -reach, mask.shape[0] - 1 + reach
    corners = np.concatenate([frame.corners[:, :2] for frame in frames])
    limit = np.array((mask.shape[2], mask.shape[1])) - HALF
    if depths.min() < first or depths.max() > last or (corners < -HALF).any() or (corners > limit).any():
        raise _outside()
    for index in range(mask.shape[0]):
        distances = np.abs(depths - index)
        if distances.min() <= reach:
            for chosen in np.flatnonzero(distances <= distances.min() + SAME_PLANE):
                _draw(frames[chosen], mask[index])


def _distance_between(depths: npt.NDArray[np.float64]) -> float:
    """The smallest distance between neighbouring planes in slices; 0 for a single plane."""
    gaps = [after - before for before, after in pairwise(sorted(depths.tolist())) if after - before > SAME_PLANE]
    return min(gaps, default=0.0)


def _draw(frame: _Frame, plane: BoolArray) -> None:
    """Give each voxel of ``plane`` [row, column] under the frame the value of the pixel next to its centre."""
    corners = frame.corners[:, :2]
    # Half a pixel beyond the outermost centres still belongs to the frame.
    margin = np.abs(frame.steps[:, :2]).sum(axis=0) * HALF
    low = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + margin), (plane.shape[1] - 1, plane.shape[0] - 1)).astype(int)
    x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    offsets = np.stack((x - frame.start[0], y - frame.start[1]), axis=-1)
    pixels = np.floor(offsets @ np.linalg.inv(frame.steps[:, :2]) + HALF).astype(int)
    column, row = pixels[..., 0], pixels[..., 1]
    inside = (column >= 0) & (column < frame.mask.shape[1]) & (row >= 0) & (row < frame.mask.shape[0])
    plane[y[inside], x[inside]] |= frame.mask[row[inside], column[inside]]


def _outside() -> Refused:
    """The refusal of a region that reaches beyond the volume."""
    return Refused(ReasonCode.ROI_GEOMETRY, "the segmentation reaches outside the volume of the series")
