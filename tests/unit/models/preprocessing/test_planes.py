"""Slices on another grid."""

import numpy as np
import pytest

from models.preprocessing.planes import at_spacing, resized


def test_one_millimetre_keeps_the_field_of_view() -> None:
    """Methods, "resampling to isotropic 1 mm": 80 rows of 0.75 mm and 50 columns of 2 mm are 60 x 100 pixels."""
    planes = np.random.default_rng(0).normal(size=(3, 80, 50)).astype(np.float32)
    found = at_spacing(planes, (0.75, 2.0), 1.0)
    assert found.shape == (3, 60, 100)
    assert found.dtype == np.float32


def test_a_slope_stays_the_same_slope_in_millimetres() -> None:
    """HU that grow by one a millimetre still do: no pixel is off its place by more than a fiftieth."""
    spacing = 0.75
    ramp = np.broadcast_to((np.arange(80, dtype=np.float32) + 0.5) * spacing, (1, 40, 80))
    found = at_spacing(ramp, (spacing, spacing), 1.0)[0]
    assert found.shape == (30, 60)
    assert np.allclose(found[:, 2:-2], np.arange(60)[2:-2] + 0.5, atol=0.02)


def test_what_has_the_wanted_spacing_stays_as_it_is() -> None:
    """Nothing is interpolated where nothing has to be."""
    planes = np.random.default_rng(0).normal(size=(2, 65, 70)).astype(np.float32)
    assert np.array_equal(at_spacing(planes, (1.0, 1.0), 1.0), planes)


@pytest.mark.parametrize("shape", [(20, 30), (5, 90)])
def test_shrinking_averages(shape: tuple[int, int]) -> None:
    """No pixel is skipped: a smaller picture has the same mean."""
    plane = np.random.default_rng(0).normal(size=(100, 90)).astype(np.float32)
    assert resized(plane, shape).shape == shape
    assert abs(float(resized(plane, shape).mean()) - float(plane.mean())) < 0.02


def test_rows_stay_rows() -> None:
    """A bright lower half stays the lower half, also of an array that is not contiguous."""
    plane = np.zeros((40, 60), dtype=np.float32)
    plane[20:] = 1.0
    assert resized(plane[:, ::2], (10, 20))[8].min() > resized(plane[:, ::2], (10, 20))[1].max()
