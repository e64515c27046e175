"""Mean attenuation of what was segmented: what the phase of enhancement is read from."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from node.domain.parts import Part

FEWEST_VOXELS: Final = 8
"""Fewer say nothing about an organ."""
UNMIXED: Final = 0.9
"""Quantile of a thin part's voxels at which blood alone is seen; of an aorta, calcium lies above it."""
_CORE: Final = 0.5
"""Share of an organ's voxels, those deepest inside, that are measured: its edge is mixed with what lies beside it."""


def means_hu(
    hu: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], meaning: Mapping[int, Part]
) -> dict[Part, float]:
    """The HU of each part of ``labels``, of its core where it has one; parts under ``FEWEST_VOXELS`` are left out.

    Both arrays lie on the same grid. Several labels may mean one part, as both kidneys do.
    """
    found: dict[Part, float] = {}
    for part in dict.fromkeys(meaning.values()):
        mask = np.isin(labels, [number for number, named in meaning.items() if named is part])
        if np.count_nonzero(mask) >= FEWEST_VOXELS:
            found[part] = _inside_hu(hu, mask)
    return found


def _inside_hu(hu: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> float:
    """The mean of the core; of a part that is too thin to have one, what the brightest tenth of its voxels reaches.

    A vessel on a coarse grid is all edge: its mean is that of blood and fat together.
    """
    inside = core(mask)
    if np.count_nonzero(inside) < np.count_nonzero(mask):
        return float(hu[inside].mean(dtype=np.float64))
    return float(np.quantile(hu[mask], UNMIXED))


def core(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The deeper half of the voxels of ``mask``, by distance from the outside; at least one."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    inside = np.zeros_like(mask)
    if not boxes or boxes[0] is None:
        return inside
    padded = np.pad(mask[boxes[0]], 1)
    depth = ndimage.distance_transform_cdt(padded, metric="chessboard")[1:-1, 1:-1, 1:-1]
    shallowest = np.quantile(depth[depth > 0], _CORE)
    inside[boxes[0]] = depth >= max(1, shallowest)
    return inside
