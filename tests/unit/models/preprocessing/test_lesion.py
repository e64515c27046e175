"""The encoder's input in each of the paper's ways, and the way back (PORCELAIN, methods)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.preprocessing.dilation import dilated
from models.preprocessing.isotropic import IsotropicGrid
from models.preprocessing.lesion import LesionImage, Region, prepare
from node.domain.imaging import BoolArray, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused

SHAPE = (30, 100, 100)
WINDOW = (40.0, 350.0)
CT = (14, 60, 70)
CUBOID, ROI = Region(is_masked=False), Region(is_masked=True)
ROIEX_3MM, ROIEX_5MM = Region(is_masked=True, dilation_mm=3.0), Region(is_masked=True, dilation_mm=5.0)
REGIONS = (CUBOID, ROI, ROIEX_3MM, ROIEX_5MM)
every_region = pytest.mark.parametrize("region", REGIONS, ids=["cuboid", "roi", "roiex-3mm", "roiex-5mm"])


@pytest.fixture
def volume(make_volume: Callable[..., Volume]) -> Volume:
    """Texture on voxels of 0.8 x 0.9 x 3 mm."""
    return make_volume(CT)


@pytest.fixture
def mask(make_ball: Callable[..., BoolArray]) -> BoolArray:
    """An ellipsoid off the centre."""
    return make_ball(CT, (6, 25, 40), (3, 12, 16))


def seen(image: LesionImage) -> BoolArray:
    """Which voxels of the input have a value."""
    result: BoolArray = image.values != 0
    return result


def test_the_cuboid_keeps_what_surrounds_the_lesion(volume: Volume, mask: BoolArray) -> None:
    """All 7 x 25 x 33 voxels of the smallest box have a value, centred in zeros."""
    image = prepare(volume, mask, CUBOID, WINDOW, SHAPE)
    assert seen(image).sum() == 7 * 25 * 33
    assert seen(image)[11:18, 37:62, 33:66].all()


def test_the_roi_has_the_lesion_alone(volume: Volume, mask: BoolArray) -> None:
    """Voxels outside the mask are zero; inside they are the windowed HU, z-scored over the mask (eq. 1)."""
    image = prepare(volume, mask, ROI, WINDOW, SHAPE)
    box = (slice(3, 10), slice(13, 38), slice(24, 57))
    inside = np.clip(volume.hu, *WINDOW)[mask]
    expected = np.where(mask, (np.clip(volume.hu, *WINDOW) - inside.mean()) / inside.std(), 0.0)
    assert np.allclose(image.values[11:18, 37:62, 33:66], expected[box], atol=1e-5)
    assert seen(image).sum() == mask.sum()


@pytest.mark.parametrize(("region", "radius"), [(ROIEX_3MM, 3.0), (ROIEX_5MM, 5.0)])
def test_the_roiex_is_dilated_at_one_millimetre(volume: Volume, mask: BoolArray, region: Region, radius: float) -> None:
    """The region read is the whole mask at 1 mm, dilated by the ball, and its values those of the whole CT at 1 mm."""
    image = prepare(volume, mask, region, WINDOW, SHAPE)
    grid = IsotropicGrid.over(volume.geometry)
    everything = tuple(slice(0, n) for n in CT)
    read = dilated(grid.nearest(mask, everything), radius)
    hu = np.clip(grid.linear(volume.hu, grid.limits), *WINDOW)
    expected = np.where(read, (hu - hu[read].mean(dtype=np.float64)) / hu[read].std(dtype=np.float64), 0.0)
    box = tuple(slice(b.start - a.start, b.stop - a.start) for b, a in zip(image.box, grid.limits, strict=True))
    assert read[box].sum() == read.sum()
    assert np.allclose(image.fit.undo(image.values), expected[box], atol=1e-4)


def test_a_roiex_larger_than_the_box_is_the_middle_of_the_whole(make_volume: Callable[..., Volume]) -> None:
    """With 40 mm of lesion only the middle 30 mm are computed, and are the same as if all had been."""
    volume = make_volume((20, 40, 40))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[3:16, 8:30, 9:25] = np.random.default_rng(3).random((13, 22, 16)) > 0.3
    image = prepare(volume, mask, ROIEX_3MM, WINDOW, SHAPE)
    grid = IsotropicGrid.over(volume.geometry)
    read = dilated(grid.nearest(mask, tuple(slice(0, n) for n in mask.shape)), 3.0)
    kept = image.fit.within(image.box)
    inside = tuple(slice(b.start - a.start, b.stop - a.start) for b, a in zip(kept, grid.limits, strict=True))
    assert np.array_equal(image.fit.undo(image.values) != 0, read[inside] & (image.fit.undo(image.values) != 0))
    assert np.count_nonzero(image.values) == pytest.approx(read[inside].sum(), abs=2)
    assert 0.15 < image.lost_fraction < 0.35


@every_region
def test_a_point_comes_back_to_its_voxel(make_volume: Callable[..., Volume], region: Region) -> None:
    """A bright point of the CT, read and brought back, is brightest at the voxel where it was."""
    volume = make_volume(CT)
    hu = np.full(CT, 100.0, dtype=np.float32)
    point = (7, 21, 47)
    hu[point] = 340.0
    mask = np.zeros(CT, dtype=bool)
    mask[5:11, 15:35, 30:60] = True
    image = prepare(replace(volume, hu=hu), mask, region, WINDOW, SHAPE)
    back, first = image.on_volume(image.values)
    brightest = np.unravel_index(int(back.argmax()), back.shape)
    assert tuple(int(i) + a for i, a in zip(brightest, first, strict=True)) == point


@every_region
def test_what_comes_back_lies_in_the_volume_over_the_lesion(volume: Volume, mask: BoolArray, region: Region) -> None:
    """The map covers all that was read, and nothing beyond the CT, also for a lesion at its corner."""
    for lesion in (mask, np.pad(mask[3:7, 13:28, 24:44], ((0, 10), (0, 45), (0, 50)))):
        image = prepare(volume, lesion, region, WINDOW, SHAPE)
        back, first = image.on_volume(image.values)
        covered = np.zeros(CT, dtype=bool)
        covered[tuple(slice(a, a + n) for a, n in zip(first, back.shape, strict=True))] = True
        assert not (lesion & ~covered).any()


@every_region
def test_a_region_of_one_slice_is_read(volume: Volume, region: Region) -> None:
    """One slice is enough, in the middle and at the end of the CT."""
    for index in (6, 0, CT[0] - 1):
        mask = np.zeros(CT, dtype=bool)
        mask[index, 20:30, 20:30] = True
        image = prepare(volume, mask, region, WINDOW, SHAPE)
        assert image.lost_fraction == 0.0
        assert np.isfinite(image.values).all()
        assert image.values.any()


@every_region
def test_what_the_crop_loses_is_counted(make_volume: Callable[..., Volume], region: Region) -> None:
    """Of 120 mm in 40 slices the native variants lose 10 of 40 slices, those at 1 mm 90 of 120 mm."""
    volume = make_volume((44, 20, 20))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[2:42, 5:15, 5:15] = True
    lost = 0.25 if region.dilation_mm is None else 0.75
    assert prepare(volume, mask, region, WINDOW, SHAPE).lost_fraction == pytest.approx(lost)


@every_region
def test_a_crop_that_leaves_nothing_is_refused(make_volume: Callable[..., Volume], region: Region) -> None:
    """Two far ends of a region with nothing between leave no voxel of it in the centre."""
    volume = make_volume((44, 20, 20))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[[0, 43], 5:15, 5:15] = True
    with pytest.raises(Refused, match="after the centre crop") as refused:
        prepare(volume, mask, region, WINDOW, SHAPE)
    assert refused.value.reason.code is ReasonCode.ROI_EMPTY


@every_region
def test_an_empty_region_is_refused(volume: Volume, mask: BoolArray, region: Region) -> None:
    """Nothing is made up for a mask without a voxel."""
    with pytest.raises(Refused) as refused:
        prepare(volume, mask & False, region, WINDOW, SHAPE)
    assert refused.value.reason.code is ReasonCode.ROI_EMPTY


@every_region
def test_equal_values_are_refused(volume: Volume, mask: BoolArray, region: Region) -> None:
    """Air is clipped to one value: there is nothing to normalise by."""
    air = replace(volume, hu=np.full(CT, -1000.0, dtype=np.float32))
    with pytest.raises(Refused) as refused:
        prepare(air, mask, region, WINDOW, SHAPE)
    assert refused.value.reason.code is ReasonCode.INPUT_CONTRACT


def test_zero_is_a_value_in_the_wider_window(volume: Volume, mask: BoolArray) -> None:
    """In the window of [-135, 215] HU a voxel of 0 HU counts: the mask is explicit, not "what is not zero"."""
    hu = volume.hu.copy()
    hu[6, 25, 40] = 0.0
    image = prepare(replace(volume, hu=hu), mask, ROI, (-135.0, 215.0), SHAPE)
    inside = np.clip(hu, -135.0, 215.0)[mask]
    assert image.values[14, 49, 49] == pytest.approx((0.0 - inside.mean()) / inside.std(), abs=1e-4)
