"""The 1 mm grid and the way back, against SimpleITK on the whole volume."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK

from models.preprocessing.isotropic import IsotropicGrid
from models.preprocessing.itk import to_itk
from node.domain.imaging import Geometry, Volume

SHAPE = (9, 21, 17)


@pytest.fixture
def volume(make_volume: Callable[..., Volume]) -> Volume:
    """Texture on voxels of 0.8 x 0.9 x 3 mm."""
    return make_volume(SHAPE)


@pytest.fixture
def iso(volume: Volume) -> IsotropicGrid:
    """The 1 mm grid over it."""
    return IsotropicGrid.over(volume.geometry)


def by_simpleitk(volume: Volume, grid: IsotropicGrid, interpolator: int, values: np.ndarray) -> np.ndarray:
    """``values`` of the volume's grid resampled as a whole, in patient space, to the limits of the 1 mm grid."""
    image = to_itk(volume)
    source = SimpleITK.GetImageFromArray(values)
    source.CopyInformation(image)
    first = np.array([axis.start for axis in grid.limits][::-1], dtype=float)
    size = [axis.stop - axis.start for axis in grid.limits][::-1]
    origin = (np.asarray(image.GetOrigin()) + first).tolist()
    resampled = SimpleITK.Resample(
        source, size, SimpleITK.Transform(), interpolator, origin, (1.0, 1.0, 1.0), image.GetDirection()
    )
    array: np.ndarray = SimpleITK.GetArrayFromImage(resampled)
    return array


def test_the_grid_covers_the_voxels_to_their_faces(make_grid: Callable[..., Geometry]) -> None:
    """Nine slices of 3 mm are 27 mm, from half a slice before the first centre."""
    grid = IsotropicGrid.over(make_grid(SHAPE))
    assert grid.limits[0] == slice(-1, 26)
    assert grid.limits[1] == slice(0, 19)  # 21 * 0.9 = 18.9, from -0.45 to 18.45
    assert grid.limits[2] == slice(0, 14)  # 17 * 0.8 = 13.6, from -0.4 to 13.2


def test_linear_is_that_of_the_whole_volume(volume: Volume, iso: IsotropicGrid) -> None:
    """A part of the grid has the values that resampling the whole CT in patient space gives there."""
    whole = by_simpleitk(volume, iso, SimpleITK.sitkLinear, volume.hu)
    assert np.allclose(iso.linear(volume.hu, iso.limits), whole, atol=1e-3)
    part = (slice(4, 13), slice(3, 11), slice(2, 9))
    inside = tuple(slice(p.start - a.start, p.stop - a.start) for p, a in zip(part, iso.limits, strict=True))
    assert np.allclose(iso.linear(volume.hu, part), whole[inside], atol=1e-3)


def test_nearest_is_that_of_the_whole_mask(volume: Volume, iso: IsotropicGrid) -> None:
    """The mask of a box becomes what resampling the whole mask gives there, and all of it lies there."""
    mask = np.zeros(SHAPE, dtype=bool)
    native = (slice(2, 5), slice(3, 12), slice(1, 9))
    mask[native] = np.random.default_rng(1).random((3, 9, 8)) > 0.4
    whole = by_simpleitk(volume, iso, SimpleITK.sitkNearestNeighbor, mask.astype(np.uint8)).astype(bool)
    box = iso.within(native)
    inside = tuple(slice(p.start - a.start, p.stop - a.start) for p, a in zip(box, iso.limits, strict=True))
    assert np.array_equal(iso.nearest(mask, native), whole[inside])
    assert whole.sum() == whole[inside].sum()


def test_a_ramp_comes_back_to_the_voxels_it_came_from(volume: Volume, iso: IsotropicGrid) -> None:
    """Values that are linear in space are the same on 1 mm and back on the CT's own voxels."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    ramp = (3.0 * z + 0.9 * 2.0 * y - 0.8 * x).astype(np.float32)
    part = (slice(5, 20), slice(2, 14), slice(3, 11))
    back, first = iso.back(iso.linear(ramp, part), part)
    there = tuple(slice(a, a + n) for a, n in zip(first, back.shape, strict=True))
    inner = (slice(1, -1),) * 3  # the outermost may lie up to half a millimetre outside the part
    assert np.allclose(back[inner], ramp[there][inner], atol=1e-3)
    assert back.shape == (5, 13, 10)  # centres from 4.5 to 19.5, from 1.5 to 13.5 and from 2.5 to 10.5 mm


def test_one_thick_slice_becomes_its_thickness(iso: IsotropicGrid) -> None:
    """A mask of one slice of 3 mm is three slices thick at 1 mm."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4, 5:9, 5:9] = True
    box = (slice(4, 5), slice(5, 9), slice(5, 9))
    assert iso.within(box)[0] == slice(11, 14)
    assert iso.nearest(mask, box).all()
