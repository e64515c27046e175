"""Contours on the grid of a volume: a voxel belongs when its centre lies inside."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.segmenters.contours import fill, scan_convert
from node.domain.reasons import ReasonCode
from node.errors import Refused

Make = Callable[..., Any]
SHAPE = (6, 40, 50)


def square(low: float, high: float, z: float) -> list[tuple[float, float, float]]:
    """A square in index space."""
    return [(low, low, z), (high, low, z), (high, high, z), (low, high, z)]


def test_only_centres_inside_count() -> None:
    """A square from 2.5 to 5.5 holds exactly the voxels 3, 4, 5: the outline adds nothing."""
    inside = fill(np.array([(2.5, 2.5), (5.5, 2.5), (5.5, 5.5), (2.5, 5.5)]), (10, 10))
    expected = np.zeros((10, 10), dtype=bool)
    expected[3:6, 3:6] = True
    assert np.array_equal(inside, expected)


def test_the_direction_of_drawing_does_not_matter() -> None:
    """Clockwise and counter-clockwise give the same voxels."""
    points = np.random.default_rng(0).uniform(2, 30, (9, 2))
    assert np.array_equal(fill(points, (40, 40)), fill(points[::-1], (40, 40)))


def test_a_circle_has_the_area_of_a_circle() -> None:
    """A fine polygon around a circle marks the voxels whose centres lie within its radius."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    points = np.stack((20.3 + 11.7 * np.cos(angles), 19.8 + 11.7 * np.sin(angles)), axis=1)
    y, x = np.ogrid[:40, :40]
    expected = (x - 20.3) ** 2 + (y - 19.8) ** 2 < 11.7**2
    assert (fill(points, (40, 40)) != expected).sum() <= 2


def test_neighbours_share_no_voxel_and_leave_none_out() -> None:
    """Two squares with a common edge through voxel centres split the voxels between them."""
    left = fill(np.array([(1.0, 1.0), (5.0, 1.0), (5.0, 8.0), (1.0, 8.0)]), (10, 10))
    right = fill(np.array([(5.0, 1.0), (9.0, 1.0), (9.0, 8.0), (5.0, 8.0)]), (10, 10))
    assert not (left & right).any()
    assert np.array_equal(left | right, fill(np.array([(1.0, 1.0), (9.0, 1.0), (9.0, 8.0), (1.0, 8.0)]), (10, 10)))


def test_a_contour_inside_another_is_a_hole(make_grid: Make, make_contour: Make) -> None:
    """Contours on one slice combine by even-odd counting."""
    geometry = make_grid(SHAPE)
    mask = scan_convert(
        geometry, (make_contour(geometry, square(4.5, 14.5, 2)), make_contour(geometry, square(7.5, 10.5, 2)))
    )
    assert mask.sum() == 100 - 9
    assert not mask[2, 8:11, 8:11].any()
    assert not mask[[0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize(("z", "index"), [(3.0, 3), (3.4, 3), (2.6, 3)])
def test_a_contour_belongs_to_the_nearest_slice(make_grid: Make, make_contour: Make, z: float, index: int) -> None:
    """Within half a slice of a slice, a contour is drawn on it, also on a turned grid."""
    c, s = float(np.cos(0.2)), float(np.sin(0.2))
    geometry = replace(make_grid(SHAPE), direction=((c, s, 0.0), (s, -c, 0.0), (0.0, 0.0, -1.0)))
    mask = scan_convert(geometry, (make_contour(geometry, square(4.5, 14.5, z)),))
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [index]
    assert mask[index, 5:15, 5:15].all()
    assert mask.sum() == 100


@pytest.mark.parametrize(
    "points",
    [
        [(4, 4, 2.0), (9, 4, 2.0), (9, 9, 3.4), (4, 9, 3.4)],
        square(4, 9, -0.8),
        square(4, 9, 6.0),
        square(-9, 9, 2),
        square(30, 45, 2),
        square(100, 120, 2),
    ],
)
def test_contours_that_do_not_fit_are_refused(
    make_grid: Make, make_contour: Make, points: list[tuple[float, float, float]]
) -> None:
    """Oblique contours and such that lie or reach outside the volume do not belong to it."""
    geometry = make_grid(SHAPE)
    with pytest.raises(Refused) as refused:
        scan_convert(geometry, (make_contour(geometry, points),))
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY


def test_contours_on_every_second_slice_are_refused(make_grid: Make, make_contour: Make) -> None:
    """Contours drawn on another spacing would leave holes in the lesion."""
    geometry = make_grid(SHAPE)
    with pytest.raises(Refused) as refused:
        scan_convert(geometry, tuple(make_contour(geometry, square(4, 9, z)) for z in (0, 2, 4)))
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY


def test_a_sliver_between_centres_marks_nothing(make_grid: Make, make_contour: Make) -> None:
    """A contour that no voxel centre lies in gives an empty mask."""
    geometry = make_grid(SHAPE)
    assert not scan_convert(geometry, (make_contour(geometry, square(4.1, 4.9, 2)),)).any()
