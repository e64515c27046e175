"""Dilation by a ball (PORCELAIN, methods)."""

import numpy as np
import pytest

from models.preprocessing.dilation import dilated, reach
from node.domain.imaging import BoolArray


def brute_force(mask: BoolArray, radius: float) -> BoolArray:
    """By definition: each voxel that has a set voxel within the radius."""
    points = np.argwhere(mask)
    voxels = np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), axis=-1)[..., None, :]
    squared = ((voxels - points) ** 2).sum(axis=-1)
    result: BoolArray = (squared <= radius**2).any(axis=-1)
    return result


@pytest.mark.parametrize("radius", [0.0, 1.0, 1.5, 3.0, 5.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_ball_by_definition(radius: float, seed: int) -> None:
    """Scattered voxels, at the border as well, grow to exactly the voxels within the radius, centre to centre."""
    mask = np.random.default_rng(seed).random((13, 17, 15)) > 0.995
    mask[0, 0, 0] = True
    assert np.array_equal(dilated(mask, radius), brute_force(mask, radius))


def test_an_array_smaller_than_the_ball_is_filled() -> None:
    """A radius beyond the array does no harm."""
    mask = np.zeros((2, 3, 2), dtype=bool)
    mask[1, 1, 1] = True
    assert dilated(mask, 5.0).all()


def test_the_mask_is_left_as_it_was() -> None:
    """The result is another array."""
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    dilated(mask, 2.0)
    assert mask.sum() == 1


def test_a_ball_reaches_as_far_as_whole_voxels_go() -> None:
    """A radius of 3 lengthens by 3, of 2.9 by 2."""
    assert [reach(radius) for radius in (0.0, 2.9, 3.0, 5.0)] == [0, 2, 3, 5]
