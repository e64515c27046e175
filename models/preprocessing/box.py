"""The smallest box around a mask (PORCELAIN, methods: "the smallest 3D bounding box enclosing the ROI mask")."""

import numpy as np

from node.domain.imaging import BoolArray
from node.domain.reasons import ReasonCode
from node.errors import Refused

Box = tuple[slice, slice, slice]
"""Half-open index ranges of slices, rows, columns."""


def smallest_box(mask: BoolArray) -> Box:
    """The box of ``mask`` [slice, row, column]; raises Refused(ROI_EMPTY) when no voxel is set."""
    z = _used(np.any(mask, axis=(1, 2)))
    # The planes that matter are few, and looking at them alone spares passes over the whole volume.
    plane: BoolArray = np.any(mask[z], axis=0)
    return z, _used(np.any(plane, axis=1)), _used(np.any(plane, axis=0))


def extent(box: Box) -> tuple[int, int, int]:
    """The size of ``box`` in slices, rows, columns."""
    slices, rows, columns = (axis.stop - axis.start for axis in box)
    return slices, rows, columns


def _used(flags: BoolArray) -> slice:
    """From the first to just after the last set flag."""
    indices = np.flatnonzero(flags)
    if indices.size == 0:
        raise Refused(ReasonCode.ROI_EMPTY, "the mask of the region has no voxel")
    return slice(int(indices[0]), int(indices[-1]) + 1)
