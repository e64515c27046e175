"""The longest diameter of a region in 3-D: the tumour size of GTRNet's nomogram where nobody has given one.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), Table 3, "Tumor size >= 5 cm"; the paper does not say how it was
measured.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from models.preprocessing.box import smallest_box
from node.domain.imaging import BoolArray, Geometry

_FACES = np.concatenate((np.eye(3), -np.eye(3))) / 2.0
"""The centres of a voxel's six faces, from its own centre."""


def longest_diameter_mm(mask: BoolArray, geometry: Geometry) -> float:
    """The largest distance between two points of the region's surface, in millimetres.

    The surface passes through the centres of the voxels' outer faces, half-way between a voxel inside and one outside,
    as a mesh at level one half does: neither a whole voxel too short, as between centres, nor too long, as between
    corners. Raises Refused(ROI_EMPTY).
    """
    box = smallest_box(mask)
    ends = _row_ends(mask[box])
    # One voxel has six faces, so that the hull is never flat; the farthest two points are corners of the hull.
    faces = (ends[:, None] + _FACES).reshape(-1, 3)
    points = geometry.to_lps_mm(faces + np.array([axis.start for axis in reversed(box)]))
    corners = points[ConvexHull(points).vertices]
    return float(pdist(corners).max())


def is_cut_off(mask: BoolArray) -> bool:
    """Whether the region touches the edge of the volume: it may go on outside, and its size is then a lower bound."""
    return any(axis.start == 0 or axis.stop == size for axis, size in zip(smallest_box(mask), mask.shape, strict=True))


def _row_ends(mask: BoolArray) -> npt.NDArray[np.float64]:
    """The first and the last voxel of each row as (n, 3) x, y, z: what lies between is not a corner of the hull."""
    z, y = np.nonzero(mask.any(axis=2))
    rows = mask[z, y]
    first, last = rows.argmax(axis=1), mask.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)
    ends: npt.NDArray[np.float64] = np.concatenate([np.stack((x, y, z), axis=1) for x in (first, last)]).astype(float)
    return ends
