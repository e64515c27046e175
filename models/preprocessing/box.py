"""Boxes of voxels; the smallest one is PORCELAIN's (methods: "the smallest 3D bounding box enclosing the ROI mask")."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from node.domain.imaging import BoolArray
from node.domain.reasons import ReasonCode
from node.errors import Refused

Box = tuple[slice, slice, slice]
"""Half-open index ranges of slices, rows, columns."""
T = TypeVar("T", bound=np.generic)


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


def grown(box: Box, margin: int, limits: Box | None = None) -> Box:
    """``box`` with ``margin`` voxels more at each side, as far as ``limits`` go."""
    slices, rows, columns = (slice(axis.start - margin, axis.stop + margin) for axis in box)
    if limits is None:
        return slices, rows, columns
    slices, rows, columns = (
        slice(max(axis.start, limit.start), min(axis.stop, limit.stop))
        for axis, limit in zip((slices, rows, columns), limits, strict=True)
    )
    return slices, rows, columns


def cut(values: npt.NDArray[T], box: Box, wanted: Box) -> npt.NDArray[T]:
    """What ``values``, which lie on ``box``, have on ``wanted``: zero where the two do not overlap."""
    result = np.zeros(extent(wanted), dtype=values.dtype)
    to, of = [], []
    for have, want in zip(box, wanted, strict=True):
        start, stop = max(have.start, want.start), min(have.stop, want.stop)
        if start >= stop:
            return result
        to.append(slice(start - want.start, stop - want.start))
        of.append(slice(start - have.start, stop - have.start))
    result[tuple(to)] = values[tuple(of)]
    return result


def _used(flags: BoolArray) -> slice:
    """From the first to just after the last set flag."""
    indices = np.flatnonzero(flags)
    if indices.size == 0:
        raise Refused(ReasonCode.ROI_EMPTY, "the mask of the region has no voxel")
    return slice(int(indices[0]), int(indices[-1]) + 1)
