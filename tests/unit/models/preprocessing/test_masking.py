"""Masking."""

import numpy as np

from models.preprocessing.masking import masked


def test_voxels_outside_the_mask_are_zero() -> None:
    """Inside nothing changes, outside is 0, and the type stays float32."""
    values = np.array([[1.5, -2.0]], dtype=np.float32)
    result = masked(values, np.array([[False, True]]))
    assert result.tolist() == [[0.0, -2.0]]
    assert result.dtype == np.float32
