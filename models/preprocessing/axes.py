"""The one place where the axes are turned: domain arrays are [slice, row, column], PORCELAIN's tensors end in slices.

Source: PORCELAIN, methods: "tensors of dimension 1 x 100 x 100 x 30 (channels x height x width x slices)".
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)


def slices_last(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """[slice, row, column] to [row, column, slice], contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


def slices_first(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """[row, column, slice] to [slice, row, column], contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 0))
