"""Random fields: smooth, of unit variance, and the same at the same place whatever is asked for."""

import numpy as np
import pytest

from models.phantoms.lattice import Lattice

LOW, HIGH = (-40.0, -200.0, -200.0), (40.0, 200.0, 200.0)
AXIS = np.arange(-200.0, 200.0, 1.0)


def drawn(seed: int = 1, step_mm: float = 5.0) -> Lattice:
    """A field over a slab."""
    return Lattice.drawn(np.random.default_rng(seed), step_mm, LOW, HIGH)


def test_the_same_stream_gives_the_same_field() -> None:
    """And another stream another one."""
    one = drawn().plane(3.3, AXIS, AXIS)
    assert np.array_equal(one, drawn().plane(3.3, AXIS, AXIS))
    assert not np.array_equal(one, drawn(2).plane(3.3, AXIS, AXIS))


def test_a_field_has_mean_zero_and_variance_one() -> None:
    """Over 6,400 cells of each of four planes."""
    field = drawn()
    values = np.stack([field.plane(z, AXIS, AXIS) for z in (-31.0, -12.5, 2.0, 27.5)])
    assert values.mean() == pytest.approx(0.0, abs=0.05)
    assert values.std() == pytest.approx(1.0, abs=0.05)


def test_a_field_is_smooth() -> None:
    """Half the way, half the change, to first and second order: no jumps and no kinks, along each axis."""
    field = drawn(step_mm=20.0)
    z, y, x = -15.0, np.array([7.0]), np.array([-33.0])

    def line(axis: int, step: float) -> np.ndarray:
        way = np.arange(0.0, 60.0, step)
        if axis == 0:
            return np.array([field.plane(z + float(k), y, x)[0, 0] for k in way[way < 40.0]], np.float64)
        return field.plane(z, y + way, x)[:, 0] if axis == 1 else field.plane(z, y, x + way)[0]

    for axis in range(3):
        for order in (1, 2):
            coarse, fine = (np.abs(np.diff(line(axis, step), order)).max() for step in (2.0, 1.0))
            assert fine < 0.6 * coarse


def test_a_part_of_a_plane_is_the_plane() -> None:
    """To the last bit."""
    field = drawn()
    whole = field.plane(1.5, AXIS, AXIS)
    assert np.array_equal(field.plane(1.5, AXIS[70:130], AXIS[11:90]), whole[70:130, 11:90])
    assert np.array_equal(field.plane(1.5, AXIS[::3], AXIS[::3]), whole[::3, ::3])


def test_a_lattice_of_one_value_is_that_value_everywhere() -> None:
    """The weights of the taps sum to one, also beyond the edge; a field of nothing moves nothing."""
    for value in (0.0, 3.0):
        flat = Lattice((0.0, 0.0, 0.0), 10.0, np.full((6, 6, 6), value, np.float32))
        axis = np.linspace(-30.0, 90.0, 50)
        assert flat.plane(22.0, axis, axis) == pytest.approx(np.full((50, 50), value), abs=1e-5)


def test_each_axis_is_the_one_it_is_called() -> None:
    """A lattice that rises along one axis rises along that one alone."""
    for dimension in range(3):
        shape = [1, 1, 1]
        shape[dimension] = 8
        values = np.broadcast_to(np.arange(8, dtype=np.float32).reshape(shape), (8, 8, 8))
        field = Lattice((0.0, 0.0, 0.0), 10.0, values)
        z, y, x = 31.0, np.array([24.0, 44.0]), np.array([28.0, 38.0])
        expected = (np.full((2, 2), 3.1), np.array([[2.4, 2.4], [4.4, 4.4]]), np.array([[2.8, 3.8], [2.8, 3.8]]))
        assert field.plane(z, y, x) == pytest.approx(expected[dimension], abs=1e-4)
