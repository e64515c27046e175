"""The turn of the axes between the domain and PORCELAIN's tensors."""

import numpy as np

from models.preprocessing.axes import slices_first, slices_last


def test_slices_go_last_and_rows_stay_rows() -> None:
    """Voxel [slice, row, column] is found at [row, column, slice], and the way back restores the array."""
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    turned = slices_last(array)
    assert turned.shape == (3, 4, 2)
    assert turned[2, 1, 0] == array[0, 2, 1]
    assert np.array_equal(slices_first(turned), array)
    assert turned.flags.c_contiguous
