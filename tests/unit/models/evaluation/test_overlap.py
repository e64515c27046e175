"""Overlap: SimpleITK agrees on Dice and Hausdorff, and the spacing counts."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 — as its own documentation names it

from models.evaluation.overlap import mean_of, overlap
from node.errors import UsageError


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    """A ball of voxels in a grid of 24x32x32."""
    axes = np.indices((24, 32, 32))
    return sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)) <= radius**2


def test_another_toolkit_measures_the_same() -> None:
    """On a grid with three different spacings."""
    first, second = ball((11, 15, 15), 6), ball((12, 17, 15), 5)
    spacing = (3.0, 0.8, 0.7)
    found = overlap(first, second, spacing)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    dice, hausdorff = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    dice.Execute(*images)
    hausdorff.Execute(*images)
    assert found.dice == pytest.approx(dice.GetDiceCoefficient())
    assert found.hausdorff_mm == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-5)
    assert found.mean_surface_mm < found.hausdorff_95_mm <= found.hausdorff_mm


def test_a_shift_is_its_length_at_the_ends() -> None:
    """One slice of 5 mm: nothing is further than 5 mm from the other surface."""
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[3:6, 3:6, 3:6] = True
    found = overlap(mask, np.roll(mask, 1, axis=0), (5.0, 1.0, 1.0))
    assert found.hausdorff_mm == 5.0
    assert found.dice == pytest.approx(2 / 3)
    same = overlap(mask, mask, (5.0, 1.0, 1.0))
    assert (same.dice, same.mean_surface_mm, same.hausdorff_mm) == (1.0, 0.0, 0.0)


def test_masks_at_the_edge_have_a_surface_there() -> None:
    """The edge of the grid is outside."""
    full = np.ones((3, 3, 3), dtype=bool)
    part = full.copy()
    part[2] = False
    assert overlap(full, part, (1.0, 1.0, 1.0)).hausdorff_mm == 1.0


def test_what_cannot_be_compared_is_wrong_usage() -> None:
    """Two grids, or nothing drawn."""
    mask = np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(UsageError, match="one grid"):
        overlap(mask, np.ones((2, 2, 3), dtype=bool), (1.0, 1.0, 1.0))
    with pytest.raises(UsageError, match="empty"):
        overlap(mask, ~mask, (1.0, 1.0, 1.0))


def test_a_mean_over_cases_has_students_interval() -> None:
    """Of one case, none."""
    found = mean_of([0.8, 0.9, 0.85, 0.95])
    assert found.value == pytest.approx(0.875)
    assert (found.low, found.high) == pytest.approx((0.77229, 0.97771), abs=1e-4)
    assert mean_of([0.8]).value is None
