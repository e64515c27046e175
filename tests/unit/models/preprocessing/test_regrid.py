"""Another grid along the same axes: what was there is there, slab by slab or at once."""

import numpy as np
import pytest

from models.preprocessing.regrid import Axis, Regridded, grid_of, weights


def test_the_same_grid_gives_the_same_numbers() -> None:
    """To the last bit."""
    array = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    grid = grid_of((4, 5, 6), (3.0, 0.8, 0.8))
    assert np.array_equal(Regridded(array, grid, grid).slab(0, 4), array)


def test_a_slope_stays_a_slope() -> None:
    """A finer grid interpolates linearly, a coarser one averages; neither moves anything."""
    source = grid_of((20, 20, 20), (2.0, 1.0, 1.0))
    z, y, x = (axis.first_mm + axis.step_mm * np.arange(axis.count) for axis in source)
    array = (z[:, None, None] + 10.0 * y[None, :, None] - x[None, None]).astype(np.float32)
    for step in (0.7, 3.0):
        target = tuple(Axis(6.0, step, 3) for _ in range(3))
        at = [axis.first_mm + axis.step_mm * np.arange(axis.count) for axis in target]
        wanted = at[0][:, None, None] + 10.0 * at[1][None, :, None] - at[2][None, None]
        found = Regridded(array, source, (target[0], target[1], target[2])).slab(0, 3)
        assert np.allclose(found, wanted, atol=0.2)


def test_slabs_are_parts_of_the_whole() -> None:
    """Whatever order they are asked for in."""
    array = np.random.default_rng(1).normal(size=(9, 8, 7)).astype(np.float32)
    grid = grid_of((9, 8, 7), (1.0, 1.0, 1.0))
    target = tuple(Axis.covering(axis, 1.7) for axis in grid)
    made = Regridded(array, grid, (target[0], target[1], target[2]))
    whole = made.slab(0, made.shape[0])
    assert np.array_equal(made.slab(3, 5), whole[3:5])
    assert np.array_equal(made.slab(0, 2), whole[:2])


def test_a_coarser_axis_covers_the_same_stretch() -> None:
    """Centred on it, whatever is left over."""
    fine = Axis(0.0, 0.8, 512)
    coarse = Axis.covering(fine, 5.0)
    assert coarse.count == 82
    middle = coarse.first_mm + 0.5 * coarse.step_mm * (coarse.count - 1)
    assert middle == pytest.approx(0.5 * 0.8 * 511)


def test_a_range_holds_every_cell_that_an_interval_meets() -> None:
    """And at least one, at the end that is nearest, when it meets none."""
    axis = Axis(10.0, 2.0, 5)
    assert axis.range_of(*axis.part(1, 3).ends_mm) == (1, 3)
    assert axis.range_of(-50.0, -40.0) == (0, 1)
    assert axis.range_of(90.0, 99.0) == (4, 5)


def test_weights_sum_to_one_everywhere() -> None:
    """Beyond the ends the nearest point speaks."""
    rows = weights(Axis(0.0, 1.0, 4), Axis(-3.0, 0.5, 20))
    assert np.allclose(rows.sum(axis=1), 1.0)
    assert rows[0].tolist() == [1.0, 0.0, 0.0, 0.0]
