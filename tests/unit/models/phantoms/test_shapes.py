"""Shapes: distances in millimetres that are right where something is painted."""

import math

import numpy as np
import pytest

from models.phantoms.lattice import Plane
from models.phantoms.shapes import NEAR_MM, Ellipsoid, Point, Tube, box_around, smooth_max, smooth_min

BENT = Tube(((-20.0, 0.0, 0.0), (0.0, 10.0, 5.0), (20.0, 0.0, 15.0)), (6.0, 8.0, 5.0))


def grid(half_mm: float, step_mm: float = 1.0) -> tuple[Plane, Plane, Plane]:
    """x, y, z of every point of a cube around the origin."""
    axis = np.arange(-half_mm, half_mm + step_mm, step_mm, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


def at(shape: Ellipsoid | Tube, *points: Point) -> list[float]:
    """The distances of single points."""
    x, y, z = (np.array([values], np.float32) for values in zip(*points, strict=True))
    return [float(value) for value in shape.distance(x, y, z)[0]]


@pytest.mark.parametrize("tilt", [0.0, -0.45])
def test_an_ellipsoid_has_its_volume(tilt: float) -> None:
    """Turned or not, within 2 % of four thirds pi a b c."""
    inside = Ellipsoid((1.0, -2.0, 0.5), (20.0, 12.0, 9.0), tilt).distance(*grid(26.0)) < 0.0
    assert inside.sum() == pytest.approx(4.0 / 3.0 * math.pi * 20.0 * 12.0 * 9.0, rel=0.02)


def test_the_distance_to_a_ball_is_exact() -> None:
    """Inside and out."""
    ball = Ellipsoid((1.0, 2.0, 3.0), (10.0, 10.0, 10.0))
    assert at(ball, (1.0, 2.0, 18.0), (7.0, 2.0, 3.0), (1.0, 12.0, 3.0)) == pytest.approx([5.0, -4.0, 0.0], abs=1e-3)


def test_the_middle_of_an_ellipsoid_is_inside() -> None:
    """By its least radius; the first-order distance has no value there of its own."""
    assert at(Ellipsoid((0.0, 0.0, 0.0), (20.0, 12.0, 9.0), 0.5), (0.0, 0.0, 0.0)) == pytest.approx([-9.0], rel=0.01)


def test_an_ellipsoid_turns_about_the_body_axis() -> None:
    """By a tangent of one, its long axis lies at 45 degrees."""
    turned = Ellipsoid((0.0, 0.0, 0.0), (20.0, 5.0, 5.0), 1.0)
    along, across = at(turned, (12.0, 12.0, 0.0), (12.0, -12.0, 0.0))
    assert along < 0.0 < across


@pytest.mark.parametrize("shape", [Ellipsoid((1.0, -2.0, 0.5), (20.0, 12.0, 9.0), 0.6), BENT])
def test_all_of_a_shape_lies_in_its_box(shape: Ellipsoid | Tube) -> None:
    """No point of it is left out."""
    points = grid(36.0)
    inside = shape.distance(*points) < 0.0
    for axis, low, high in zip(points, shape.extent.low, shape.extent.high, strict=True):
        assert low <= axis[inside].min()
        assert axis[inside].max() <= high


def test_a_tube_lies_around_its_line() -> None:
    """Every point of the line is inside, and nothing further from it than the radius and the rounding."""
    fractions = np.linspace(0.0, 1.0, 81)
    line = [BENT.at(float(fraction))[0] for fraction in fractions]
    assert max(at(BENT, *line)) < -4.0
    points = grid(36.0)
    inside = BENT.distance(*points) < 0.0
    places = np.stack([axis[inside] for axis in points], axis=1)
    nearest = np.sqrt(((places[:, None] - np.array(line)[None]) ** 2).sum(axis=2)).min(axis=1)
    assert 7.0 < nearest.max() < 8.0 + BENT.blend_mm / 4.0 + 0.2


def test_a_tube_tapers_and_may_be_flat() -> None:
    """Half way the radius is half way; a flat one is thinner from front to back alone."""
    tube = Tube(((0.0, 0.0, 0.0), (0.0, 0.0, 40.0)), (10.0, 6.0), flatness=2.0)
    assert at(tube, (8.0, 0.0, 20.0), (0.0, 4.0, 20.0), (0.0, 8.0, 20.0)) == pytest.approx([0.0, 0.0, 8.0], abs=1e-4)


def test_a_point_along_a_tube_is_found_by_its_share_of_the_length() -> None:
    """Over the joints."""
    tube = Tube(((0.0, 0.0, 0.0), (30.0, 0.0, 0.0), (30.0, 10.0, 0.0)), (2.0, 5.0, 3.0))
    assert tube.at(0.0) == ((0.0, 0.0, 0.0), 2.0)
    assert tube.at(0.375) == ((15.0, 0.0, 0.0), 3.5)
    assert tube.at(0.875) == ((30.0, 5.0, 0.0), 4.0)
    assert tube.at(1.0) == ((30.0, 10.0, 0.0), 3.0)


def test_where_a_tube_matters_its_distance_is_the_same_in_every_part_of_the_plane() -> None:
    """Segments out of reach are left out without a trace."""
    colon = Tube(tuple((15.0 * k, 30.0 * (k % 2), 4.0 * k) for k in range(8)), (6.0,) * 8)
    x, y = np.meshgrid(np.arange(-20, 130, dtype=np.float32), np.arange(-20, 60, dtype=np.float32))
    z = np.full_like(x, 10.0)
    whole = colon.distance(x, y, z)
    for columns in (slice(0, 25), slice(40, 60), slice(110, 150)):
        part = colon.distance(x[:, columns], y[:, columns], z[:, columns])
        near = whole[:, columns] < NEAR_MM
        assert np.array_equal(part[near], whole[:, columns][near])
        assert (part[~near] >= NEAR_MM).all()


def test_a_tube_far_away_is_far() -> None:
    """Nothing of it is painted."""
    assert min(at(BENT, (400.0, 0.0, 0.0), (0.0, 0.0, -300.0))) > 100.0


def test_joined_shapes_are_rounded_at_the_seam_alone() -> None:
    """Never outside the smaller distance, never more than a quarter of the blend inside it."""
    one = np.linspace(-20.0, 20.0, 81, dtype=np.float32)[None]
    other = one[:, ::-1]
    for joined, sharp, side in (
        (smooth_min(one, other, 8.0), np.minimum(one, other), 1.0),
        (smooth_max(one, other, 8.0), np.maximum(one, other), -1.0),
    ):
        moved = side * (sharp - joined)
        assert moved.min() >= 0.0
        assert moved.max() == pytest.approx(2.0)
        assert np.array_equal(joined[np.abs(one - other) >= 8.0], sharp[np.abs(one - other) >= 8.0])


def test_a_box_holds_every_point_with_room() -> None:
    """To each side."""
    box = box_around(((0.0, 5.0, -1.0), (10.0, -5.0, 1.0)), (1.0, 2.0, 3.0))
    assert (box.low, box.high) == ((-1.0, -7.0, -4.0), (11.0, 7.0, 4.0))
