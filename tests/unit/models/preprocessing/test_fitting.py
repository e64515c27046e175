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


def test_what_a_crop_loses_is_counted_in_voxels_of_the_region() -> None:
    """The lost fraction counts set voxels, not box volume; padding loses nothing."""
    mask = np.zeros((1, 1, 8), dtype=bool)
    mask[..., [0, 3, 4, 5]] = True
    assert Fit.between((1, 1, 8), (1, 1, 4)).lost_fraction(mask) == 0.25
    assert Fit.between((1, 1, 8), (1, 1, 20)).lost_fraction(mask) == 0.0
    assert Fit.between((1, 1, 8), (1, 1, 4)).lost_fraction(np.zeros_like(mask)) == 0.0
