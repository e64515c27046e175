"""Crop and pad, and back."""

import numpy as np
import pytest

from models.preprocessing.fitting import Fit


def test_a_small_box_lies_in_the_middle_of_zeros() -> None:
    """Padding is equal on both sides; of an odd difference the larger half lies behind."""
    box = np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2)
    fitted = Fit.between((1, 2, 2), (2, 4, 5)).apply(box)
    assert fitted[0, 1:3, 1:3].tolist() == [[1, 2], [3, 4]]
    assert fitted.sum() == box.sum()


def test_a_large_box_keeps_its_middle() -> None:
    """A crop takes equally from both sides."""
    box = np.arange(6, dtype=np.float32).reshape(1, 1, 6)
    assert Fit.between((1, 1, 6), (1, 1, 2)).apply(box).ravel().tolist() == [2, 3]


@pytest.mark.parametrize("box", [(5, 120, 30), (40, 99, 101), (30, 100, 100), (31, 7, 180)])
def test_undoing_brings_every_kept_voxel_back(box: tuple[int, int, int]) -> None:
    """Fitting and undoing gives the kept part of the box, voxel by voxel."""
    values = np.random.default_rng(0).random(box).astype(np.float32)
    fit = Fit.between(box, (30, 100, 100))
    assert fit.apply(values).shape == (30, 100, 100)
    assert np.array_equal(fit.undo(fit.apply(values)), values[fit.kept])


def test_a_box_somewhere_is_kept_somewhere() -> None:
    """The kept part in the indices of the array that the box was cut from."""
    fit = Fit.between((2, 6, 3), (4, 2, 3))
    assert fit.within((slice(10, 12), slice(20, 26), slice(5, 8))) == (slice(10, 12), slice(22, 24), slice(5, 8))


def test_a_kept_part_is_placed_like_the_whole() -> None:
    """Placing the kept part alone gives the same as fitting the whole box."""
    values = np.random.default_rng(0).random((40, 7, 120)).astype(np.float32)
    fit = Fit.between(values.shape, (30, 100, 100))
    assert np.array_equal(fit.place(values[fit.kept]), fit.apply(values))
