"""The longest diameter of a region."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from models.preprocessing.diameter import is_cut_off, longest_diameter_mm
from node.domain.imaging import BoolArray, Geometry
from node.domain.reasons import ReasonCode
from node.errors import Refused


def by_definition(mask: BoolArray, geometry: Geometry) -> float:
    """The largest of all distances between the centres of all faces of all voxels."""
    centres = np.argwhere(mask)[:, ::-1].astype(float)
    faces = np.concatenate([centres + step for step in np.concatenate((np.eye(3), -np.eye(3))) / 2])
    return float(pdist(geometry.to_lps_mm(faces)).max())


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_largest_of_all_distances(make_grid: Callable[..., Geometry], seed: int) -> None:
    """For scattered voxels, lines and planes on a grid that is anisotropic and turned, exactly."""
    generator = np.random.default_rng(seed)
    shape = (7, 9, 11)
    mask = generator.random(shape) < (0.02, 0.2, 0.7)[seed % 3]
    if seed % 4 == 3:
        mask[:, 5:] = mask[3:] = mask[:2] = False
    mask[4, 4, 4] = True
    c, s = float(np.cos(seed)), float(np.sin(seed))
    geometry = replace(make_grid(shape), direction=((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)))
    assert longest_diameter_mm(mask, geometry) == pytest.approx(by_definition(mask, geometry), abs=1e-9)


def test_one_voxel_is_as_long_as_its_longest_side(make_grid: Callable[..., Geometry]) -> None:
    """The smallest region there is has a size; a row of five is measured from the top of one end to the bottom."""
    mask = np.zeros((4, 9, 9), dtype=bool)
    mask[2, 3, 3] = True
    assert longest_diameter_mm(mask, make_grid(mask.shape)) == pytest.approx(3.0)
    mask[2, 3:8, 3] = True
    assert longest_diameter_mm(mask, make_grid(mask.shape)) == pytest.approx(float(np.hypot(4 * 0.9, 3.0)))


def test_a_ball_has_its_diameter(make_grid: Callable[..., Geometry], make_ball: Callable[..., BoolArray]) -> None:
    """Of a ball of 50 mm, on voxels of 1 mm, within a voxel."""
    shape = (64, 64, 64)
    geometry = replace(make_grid(shape), spacing_xyz_mm=(1.0, 1.0, 1.0))
    assert abs(longest_diameter_mm(make_ball(shape, (32, 32, 32), (25, 25, 25)), geometry) - 50.0) <= 1.0


def test_an_empty_region_has_no_size(make_grid: Callable[..., Geometry]) -> None:
    """Refused with its code."""
    with pytest.raises(Refused) as caught:
        longest_diameter_mm(np.zeros((3, 4, 5), dtype=bool), make_grid((3, 4, 5)))
    assert caught.value.reason.code is ReasonCode.ROI_EMPTY


@pytest.mark.parametrize("edge", [(0, 5, 5), (9, 5, 5), (5, 0, 5), (5, 9, 5), (5, 5, 0), (5, 5, 9)])
def test_a_region_at_an_edge_may_go_on_outside(edge: tuple[int, int, int]) -> None:
    """On any of the six sides; one that keeps off them is whole."""
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[4:7, 4:7, 4:7] = True
    assert not is_cut_off(mask)
    mask[edge] = True
    assert is_cut_off(mask)


def test_a_large_region_takes_no_time_to_speak_of(
    make_grid: Callable[..., Geometry], make_ball: Callable[..., BoolArray]
) -> None:
    """A tumour of 300,000 voxels is measured in under two seconds of CPU; all pairs would take hours."""
    shape = (80, 160, 160)
    mask = make_ball(shape, (40, 80, 80), (30, 50, 50))
    assert mask.sum() > 300_000
    begun = time.process_time()
    longest_diameter_mm(mask, make_grid(shape))
    assert time.process_time() - begun < 2.0
