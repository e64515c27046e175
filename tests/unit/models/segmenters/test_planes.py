"""Frames of a segmentation on the grid of a volume."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.segmenters.planes import place_planes
from node.domain.imaging import BoolArray, Geometry, MaskPlane
from node.domain.reasons import ReasonCode
from node.errors import Refused

Make = Callable[..., Any]
SHAPE = (12, 64, 72)


@pytest.fixture
def mask(make_ball: Callable[..., BoolArray]) -> BoolArray:
    """An ellipsoid off the centre, so that no flip or turn maps it to itself."""
    ball = make_ball(SHAPE, (5, 20, 45), (3, 9, 14))
    ball[:, 20:, 45:] = False
    return ball


def turned(geometry: Geometry) -> Geometry:
    """The grid with rows and slices running against the axes, and turned in the plane."""
    c, s = float(np.cos(0.2)), float(np.sin(0.2))
    return replace(geometry, direction=((c, s, 0.0), (s, -c, 0.0), (0.0, 0.0, -1.0)))


def refusal(geometry: Geometry, planes: tuple[MaskPlane, ...]) -> ReasonCode:
    """Why the planes are refused."""
    with pytest.raises(Refused) as refused:
        place_planes(geometry, planes)
    return refused.value.reason.code


@pytest.mark.parametrize("crop", [None, (5, 40, 20, 70), (11, 30, 31, 60)])
@pytest.mark.parametrize("turn", [False, True])
def test_frames_on_the_grid_are_copied_exactly(
    make_grid: Make, make_planes: Make, mask: BoolArray, crop: tuple[int, int, int, int] | None, turn: bool
) -> None:
    """Whole and cropped frames give back the mask they were made from, on straight and on turned grids."""
    geometry = turned(make_grid(SHAPE)) if turn else make_grid(SHAPE)
    assert np.array_equal(place_planes(geometry, make_planes(geometry, mask, crop)), mask)


def test_rounded_positions_are_still_on_the_grid(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """Positions and spacings with the rounding of decimal strings give exactly the same voxels."""
    geometry = replace(make_grid(SHAPE), spacing_xyz_mm=(0.9765625, 0.9765625, 2.0000004))
    planes = tuple(
        replace(
            plane,
            position_lps_mm=tuple(round(value, 3) for value in plane.position_lps_mm),
            spacing_mm=(0.976562, 0.976562),
        )
        for plane in make_planes(geometry, mask)
    )
    assert np.array_equal(place_planes(geometry, planes), mask)


def test_a_frame_larger_than_the_image_fits_when_its_margin_is_empty(
    make_grid: Make, make_planes: Make, mask: BoolArray
) -> None:
    """Only set pixels must lie in the volume."""
    geometry = make_grid(SHAPE)
    padded = []
    for plane in make_planes(geometry, mask):
        x, y, z = plane.position_lps_mm
        rows, columns = plane.spacing_mm
        padded.append(replace(plane, mask=np.pad(plane.mask, 7), position_lps_mm=(x - 7 * columns, y - 7 * rows, z)))
    assert np.array_equal(place_planes(geometry, tuple(padded)), mask)


def test_flipped_frames_land_right(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """Frames whose rows run the other way mark the same voxels."""
    geometry = make_grid(SHAPE)
    flipped = []
    for plane in make_planes(geometry, mask):
        x, y, z = plane.position_lps_mm
        last = y + (SHAPE[1] - 1) * plane.spacing_mm[0]
        flipped.append(
            replace(
                plane,
                mask=plane.mask[::-1],
                position_lps_mm=(x, last, z),
                orientation=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
            )
        )
    assert np.array_equal(place_planes(geometry, tuple(flipped)), mask)


def test_a_finer_segmentation_is_resampled(make_grid: Make, make_planes: Make, make_ball: Make) -> None:
    """Frames at a third of the spacing give each voxel the value at its centre."""
    geometry = make_grid(SHAPE)
    fine_shape = (36, 192, 216)
    fine = replace(
        geometry,
        shape_zyx=fine_shape,
        spacing_xyz_mm=tuple(size / 3 for size in geometry.spacing_xyz_mm),
        origin_lps_mm=tuple(geometry.to_lps_mm(np.full((1, 3), -1 / 3))[0].tolist()),
    )
    ball = make_ball(fine_shape, (16, 61, 136), (9, 27, 42))
    assert np.array_equal(place_planes(geometry, make_planes(fine, ball)), ball[1::3, 1::3, 1::3])


def test_a_coarser_segmentation_fills_the_slices_between(make_grid: Make, make_planes: Make, make_ball: Make) -> None:
    """Frames on every third slice and at twice the pixel size mark whole blocks: no slice between stays empty."""
    geometry = make_grid(SHAPE)
    coarse_shape = (4, 32, 36)
    coarse = replace(
        geometry,
        shape_zyx=coarse_shape,
        spacing_xyz_mm=tuple(a * b for a, b in zip(geometry.spacing_xyz_mm, (2, 2, 3), strict=True)),
        origin_lps_mm=tuple(geometry.to_lps_mm(np.array([[0.5, 0.5, 1.0]]))[0].tolist()),
    )
    ball = make_ball(coarse_shape, (2, 10, 20), (1, 5, 7))
    expected = ball.repeat(3, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(place_planes(geometry, make_planes(coarse, ball)), expected)


def test_frames_that_are_not_parallel_are_refused(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """A coronal frame does not fit an axial volume."""
    geometry = make_grid(SHAPE)
    coronal = tuple(
        replace(plane, orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)) for plane in make_planes(geometry, mask)
    )
    assert refusal(geometry, coronal) is ReasonCode.ROI_GEOMETRY


@pytest.mark.parametrize("shift", [(40.0, 0.0, 0.0), (0.0, -30.0, 0.0), (0.0, 0.0, 24.0), (0.0, 0.0, -15.0)])
@pytest.mark.parametrize("off_grid", [0.0, 0.3])
def test_set_pixels_outside_the_volume_are_refused(
    make_grid: Make, make_planes: Make, mask: BoolArray, shift: tuple[float, float, float], off_grid: float
) -> None:
    """A region that reaches beyond the volume belongs to another one, whether or not it lies on the grid."""
    geometry = make_grid(SHAPE)
    steps = np.array(geometry.spacing_xyz_mm)
    moved = []
    for plane in make_planes(geometry, mask):
        position = np.array(plane.position_lps_mm) + np.rint(np.array(shift) / steps) * steps + off_grid * steps
        moved.append(replace(plane, position_lps_mm=tuple(position.tolist())))
    assert refusal(geometry, tuple(moved)) is ReasonCode.ROI_GEOMETRY


def test_copied_frames_that_leave_slices_out_are_refused(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """A lesion drawn on every second slice would be half as large as it is."""
    geometry = make_grid(SHAPE)
    sparse = make_planes(geometry, mask)[::2]
    assert len(sparse) >= 3
    assert refusal(geometry, sparse) is ReasonCode.ROI_GEOMETRY


def test_empty_frames_do_not_matter(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """Frames without a set pixel give nothing, wherever they lie; without others the mask is empty."""
    geometry = make_grid(SHAPE)
    empty = MaskPlane(np.zeros((4, 4), dtype=bool), (1e4, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (1.0, 1.0))
    assert np.array_equal(place_planes(geometry, (*make_planes(geometry, mask), empty)), mask)
    assert not place_planes(geometry, (empty,)).any()


def test_two_frames_on_one_slice_are_joined(make_grid: Make, make_planes: Make, mask: BoolArray) -> None:
    """A slice may be given in parts."""
    geometry = make_grid(SHAPE)
    left, right = make_planes(geometry, mask, (0, 64, 0, 40)), make_planes(geometry, mask, (0, 64, 40, 72))
    assert np.array_equal(place_planes(geometry, left + right), mask)
