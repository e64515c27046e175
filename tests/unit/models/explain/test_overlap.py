"""The overlap of an explanation with the region."""

import numpy as np
import pytest

from models.explain.overlap import dice

SHAPE = (4, 10, 12)


def box(first: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    """A volume with one box set."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))] = True
    return mask


def test_a_map_on_the_whole_region_alone_has_dice_one() -> None:
    """A flat map over exactly the region's box overlaps fully, wherever the box begins."""
    mask = box((1, 2, 3), (2, 4, 5))
    assert dice(np.ones((2, 4, 5), dtype=np.float32), (1, 2, 3), mask) == 1.0


def test_a_map_beside_the_region_has_dice_zero() -> None:
    """The place of the map in the volume counts, not its shape."""
    mask = box((1, 2, 3), (2, 4, 5))
    assert dice(np.ones((2, 4, 2), dtype=np.float32), (1, 2, 8), mask) == 0.0


def test_voxels_below_half_of_the_maximum_do_not_count() -> None:
    """Of four voxels at 1.0, 0.5, 0.49 and 0 of the maximum, two are looked at; with three in the region: 2*2/(2+3)."""
    saliency = np.array([[[8.0, 4.0, 3.9, 0.0]]], dtype=np.float32)
    assert dice(saliency, (0, 0, 0), box((0, 0, 0), (1, 1, 3))) == pytest.approx(4 / 5)


def test_without_evidence_or_region_there_is_no_overlap() -> None:
    """An all-zero map is not a map of everything, and an empty region overlaps with nothing."""
    assert dice(np.zeros((2, 4, 5), dtype=np.float32), (1, 2, 3), box((1, 2, 3), (2, 4, 5))) == 0.0
    assert dice(np.ones((2, 4, 5), dtype=np.float32), (1, 2, 3), np.zeros(SHAPE, dtype=bool)) == 0.0
