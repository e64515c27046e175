"""The key slices of GTRNet: "the slices immediately above and below the key slice ... along with the key slice".

Source: GTRNet (doi 10.1038/s41746-025-02002-5), abstract ("the largest axial tumor slice") and methods.
"""

import numpy as np

from node.domain.imaging import BoolArray, Roi

NEIGHBOURS = 1


def key_slices(roi: Roi) -> tuple[int, ...]:
    """The slice where ``roi`` is largest and its two native neighbours, in order, as far as they exist."""
    middle = roi.largest_slice
    last = roi.mask.shape[0] - 1
    return tuple(range(max(0, middle - NEIGHBOURS), min(last, middle + NEIGHBOURS) + 1))


def centre_on(mask: BoolArray) -> tuple[float, float]:
    """The centre of mass of a plane's region as fractions of its rows and columns; at least one voxel is set."""
    rows, columns = (
        float((np.average(np.arange(size), weights=mask.sum(axis=1 - axis)) + 0.5) / size)
        for axis, size in enumerate(mask.shape)
    )
    return rows, columns
