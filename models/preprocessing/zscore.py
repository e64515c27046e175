"""The z-score over a mask (PORCELAIN, methods, eq. 1)."""

import numpy as np

from node.domain.imaging import BoolArray, FloatArray
from node.domain.reasons import ReasonCode
from node.errors import Refused


def zscore(values: FloatArray, mask: BoolArray) -> FloatArray:
    """``values`` less their mean over ``mask``, over their standard deviation there; 0 outside the mask.

    The mask is explicit, since "non-zero voxels" would lose those that are zero by value. Raises Refused: ROI_EMPTY
    when the mask has no voxel, INPUT_CONTRACT when all its values are equal.
    """
    inside = values[mask].astype(np.float64)
    if inside.size == 0:
        raise Refused(ReasonCode.ROI_EMPTY, "no voxel of the region is left after the centre crop")
    deviation = inside.std()
    if deviation == 0.0:
        raise Refused(ReasonCode.INPUT_CONTRACT, f"all {inside.size} voxels of the region are equal after windowing")
    normalised = np.zeros(values.shape, dtype=np.float32)
    normalised[mask] = (inside - inside.mean()) / deviation
    return normalised
