"""The key slices of GTRNet."""

from collections.abc import Callable

import numpy as np
import pytest

from models.preprocessing.key_slices import centre_on, key_slices
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


def test_a_region_on_one_slice_still_has_neighbours(
    make_volume: Callable[..., Volume], make_roi: Callable[..., Roi]
) -> None:
    """The neighbours are native slices, whether or not the region reaches them; a series of one slice has none."""
    mask = np.zeros((6, 8, 8), dtype=bool)
    mask[3, 2:5, 2:5] = True
    assert key_slices(make_roi(make_volume((6, 8, 8)), Anatomy.STOMACH, mask)) == (2, 3, 4)
    assert key_slices(make_roi(make_volume((1, 8, 8)), Anatomy.STOMACH, mask[3:4])) == (0,)


def test_the_centre_is_a_place_in_the_picture() -> None:
    """The centre of mass as fractions: a pixel in the middle of an odd picture lies at one half."""
    mask = np.zeros((5, 11), dtype=bool)
    mask[2, 5] = True
    assert centre_on(mask) == (0.5, 0.5)
    mask[2, 5], mask[0, 8:11] = False, True
    assert np.allclose(centre_on(mask), (0.1, 9.5 / 11))
