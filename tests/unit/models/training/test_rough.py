"""Rough masks."""

import numpy as np
import pytest

from models.training.rough import MARGIN_MM, drawn_by, roughened
from node.domain.imaging import BoolArray

SPACING = (3.0, 0.8, 0.8)


def lesion(radius_mm: float) -> BoolArray:
    """A ball on anisotropic voxels, with room around."""
    z, y, x = np.ogrid[-8:9, -32:33, -32:33]
    mask: BoolArray = (3.0 * z) ** 2 + (0.8 * y) ** 2 + (0.8 * x) ** 2 <= radius_mm**2
    return mask


def dice(first: BoolArray, second: BoolArray) -> float:
    """Dice's coefficient."""
    return 2.0 * float((first & second).sum()) / float(first.sum() + second.sum())


@pytest.mark.parametrize("radius_mm", [8.0, 15.0])
def test_they_are_as_a_segmenter_draws_them(radius_mm: float) -> None:
    """Dice against the true one is about 0.8 to 0.95, and they are too large as often as too small."""
    mask = lesion(radius_mm)
    drawn = [roughened(mask, SPACING, drawn_by("a", number)) for number in range(40)]
    found = np.array([dice(mask, each) for each in drawn])
    assert 0.75 < np.median(found) < 0.95
    assert found.min() > 0.5
    assert found.max() < 1.0
    larger = np.mean([each.sum() > mask.sum() for each in drawn])
    assert 0.25 < larger < 0.75


def test_they_stay_near() -> None:
    """Hardly a voxel lies further out than the margin that is rendered around a lesion."""
    beyond = lesion(15.0 + MARGIN_MM)
    drawn = [roughened(lesion(15.0), SPACING, drawn_by("a", number)) for number in range(20)]
    assert np.mean([(each & ~beyond).sum() / each.sum() for each in drawn]) < 0.01


def test_a_case_has_its_own() -> None:
    """The same case and number the same mask; another case another."""
    mask = lesion(10.0)
    first = roughened(mask, SPACING, drawn_by("a", 0))
    assert (roughened(mask, SPACING, drawn_by("a", 0)) == first).all()
    assert (roughened(mask, SPACING, drawn_by("a", 1)) != first).any()
    assert (roughened(mask, SPACING, drawn_by("b", 0)) != first).any()


def test_nothing_vanishes() -> None:
    """A lesion of one voxel is left as it is where a rough mask of it would be empty."""
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    assert all(roughened(mask, SPACING, drawn_by("a", number)).any() for number in range(20))


def test_a_few_voxels_are_no_rough_mask() -> None:
    """Of a small lesion on thick slices at least a tenth is left, or it is left as it is."""
    mask = np.zeros((7, 40, 40), dtype=bool)
    mask[3, 12:28, 12:28] = True
    drawn = [roughened(mask, (5.0, 0.7, 0.7), drawn_by("a", number)) for number in range(100)]
    assert min(int(each.sum()) for each in drawn) >= 0.1 * mask.sum()
    assert sum(bool((each == mask).all()) for each in drawn) > 0, "none of them shows what is guarded against"
