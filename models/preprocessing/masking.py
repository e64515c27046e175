"""Masking: the ROI variant of PORCELAIN ("a Masked-cuboid in which extra-tumoral voxels were zeroed")."""

import numpy as np

from node.domain.imaging import BoolArray, FloatArray


def masked(values: FloatArray, mask: BoolArray) -> FloatArray:
    """``values`` where ``mask`` is set, 0 elsewhere."""
    return np.where(mask, values, np.float32(0))
