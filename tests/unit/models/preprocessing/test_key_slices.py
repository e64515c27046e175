"""The key slices of GTRNet."""

from collections.abc import Callable

import numpy as np
import pytest

from models.preprocessing.key_slices import key_slices
from node.domain.coding import Anatomy
from node.domain.imaging import Roi, Volume


@pytest.mark.parametrize(("largest", "expected"), [(3, (2, 3, 4)), (0, (0, 1)), (5, (4, 5))])
def test_the_largest_area_and_its_neighbours(
    make_volume: Callable[..., Volume], make_roi: Callable[..., Roi], largest: int, expected: tuple[int, ...]
) -> None:
    """The slice with the largest area is taken with both native neighbours, as far as they exist."""
    volume = make_volume((6, 8, 8))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[:, 2, 2] = True
    mask[largest, 2:5, 2:5] = True
    assert key_slices(make_roi(volume, Anatomy.STOMACH, mask)) == expected
