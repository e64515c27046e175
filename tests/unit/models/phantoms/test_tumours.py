"""Tumours: as large as planned, in their organ, as deep as their stage, and textured as their latent."""

import numpy as np
import pytest

from models.phantoms.anatomy import build
from models.phantoms.latent import NtrTruth
from models.phantoms.lattice import Plane
from models.phantoms.spec import Kind, Wanted, draw
from models.phantoms.tumours import TEXTURE_HU, GastricTumour, PancreaticTumour, gastric, pancreatic


def in_pancreas(seed: int, latent: float = 0.0) -> tuple[PancreaticTumour, float]:
    """A tumour and its planned diameter."""
    spec = draw(seed, Wanted(Kind.PANCREATIC))
    truth = NtrTruth(is_high=latent > 0.0, latent=latent, count=0.5)
    return pancreatic(spec, 1, build(spec).pancreas, truth), spec.lesions[0].size_mm


def in_stomach(seed: int, t_stage: int) -> GastricTumour:
    """A tumour of the stage."""
    spec = draw(seed, Wanted(Kind.GASTRIC, t_stage=t_stage))
    return gastric(spec, 1, build(spec).stomach)


def single(value: float) -> Plane:
    """A plane of one pixel."""
    return np.array([[value]], np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_a_pancreatic_tumour_sits_on_the_middle_line(seed: int) -> None:
    """Where the plan says, as long as the plan says, inside its box."""
    spec = draw(seed, Wanted(Kind.PANCREATIC))
    tumour, size = in_pancreas(seed)
    assert tumour.body.centre == build(spec).pancreas.at(spec.lesions[0].where)[0]
    assert 2.0 * max(tumour.body.radii) == pytest.approx(size)
    assert min(tumour.body.radii) >= 0.37 * size
    centre = tuple(single(value) for value in tumour.body.centre)
    assert tumour.distance(*centre, single(0.0))[0, 0] <= 0.0
    assert all(low < at < high for low, at, high in zip(tumour.extent.low, tumour.body.centre, tumour.extent.high))  # noqa: B905 — points have three parts


def test_the_edge_of_a_pancreatic_tumour_is_ragged() -> None:
    """The outline moves it by a tenth of the smallest radius a standard deviation."""
    tumour, _ = in_pancreas(1)
    x, y, z = (single(value + 30.0) for value in tumour.body.centre)
    moved = tumour.distance(x, y, z, single(1.0)) - tumour.distance(x, y, z, single(0.0))
    assert float(moved[0, 0]) == pytest.approx(0.1 * min(tumour.body.radii), rel=1e-3)


@pytest.mark.parametrize("latent", [-3.0, 0.0, 3.0])
def test_texture_has_the_same_strength_whatever_the_latent(latent: float) -> None:
    """At one depth, the standard deviation does not tell; only the scale does."""
    tumour, _ = in_pancreas(2, latent)
    rng = np.random.default_rng(1)
    fine, coarse = (rng.standard_normal((200, 200)).astype(np.float32) for _ in range(2))
    texture = tumour.texture_hu(fine, coarse, np.full_like(fine, -3.0))
    assert texture.std() == pytest.approx(TEXTURE_HU, rel=0.02)
    share = np.corrcoef(texture.ravel(), coarse.ravel())[0, 1] ** 2
    assert share == pytest.approx(tumour.coarse_share, abs=0.03)


def test_the_core_is_dark_when_the_latent_is_high() -> None:
    """And bright when it is low; in the mean over a ball it says nothing."""
    flat = np.zeros((1, 4000), np.float32)
    radii = (np.random.default_rng(3).random(4000) ** (1.0 / 3.0)).astype(np.float32)
    for latent, side in ((3.0, -1.0), (-3.0, 1.0)):
        tumour, _ = in_pancreas(2, latent)
        least = min(tumour.body.radii)
        middle, rim = (float(tumour.texture_hu(single(0), single(0), single(d))[0, 0]) for d in (-least, 0.0))
        assert side * (middle - rim) > 20.0
        mean = float(tumour.texture_hu(flat, flat, (radii[None] - 1.0) * least).mean())
        assert mean - tumour.contrast_hu == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("t_stage", [1, 2, 3, 4])
def test_a_gastric_tumour_sits_in_the_wall(t_stage: int) -> None:
    """Half its thickness below the surface of the stomach: at the radius less that from the middle line."""
    for seed in range(6):
        spec = draw(seed, Wanted(Kind.GASTRIC, t_stage=t_stage))
        stomach, lesion = build(spec).stomach, spec.lesions[0]
        tumour = gastric(spec, 1, stomach)
        point, radius = stomach.at(lesion.where)
        away = float(np.linalg.norm(np.subtract(tumour.centre, point)))
        assert away == pytest.approx(abs(radius - 0.5 * lesion.thickness_mm), abs=0.001)
        assert (tumour.t_stage, 2.0 * tumour.radius_mm) == (t_stage, lesion.size_mm)


def test_the_deeper_the_stage_the_further_out_a_tumour_begins() -> None:
    """T1 spares the muscularis, T2 its outermost part, T3 bulges a little, T4 grows through; from outside, in mm."""
    wall, full = single(6.0), single(1.0)
    begins = [float(in_stomach(5, t).outer_depth(full, wall, single(0.0))[0, 0]) for t in (1, 2, 3, 4)]
    assert begins == sorted(begins, reverse=True)
    assert begins[0] == pytest.approx(3.6)
    assert 0.0 < begins[1] < 2.1
    assert -2.0 < begins[2] <= 0.0
    assert begins[3] <= -4.5


def test_only_t4_is_nodular_outside() -> None:
    """The outline of the others is smooth, whatever the field."""
    wall, full = single(6.0), single(1.0)
    for t_stage in (1, 2, 3, 4):
        tumour = in_stomach(5, t_stage)
        same = np.array_equal(tumour.outer_depth(full, wall, single(2.0)), tumour.outer_depth(full, wall, single(-1.0)))
        assert same == (t_stage < 4)


def test_fat_is_stranded_from_t3_on() -> None:
    """At T3 by more than the noise of most scans, most at T4."""
    strands = [in_stomach(5, t).stranding_hu for t in (1, 2, 3, 4)]
    assert strands[:2] == [0.0, 0.0]
    assert 20.0 < strands[2] < strands[3]


def test_a_gastric_tumour_is_flat_topped_and_ends_at_its_radius() -> None:
    """Height 1 in the middle, 0 at the edge and beyond."""
    tumour = in_stomach(5, 3)
    x, y, z = tumour.centre
    away = np.array([[0.0, 0.5, 0.999, 1.3]], np.float32) * np.float32(tumour.radius_mm)
    near = tumour.closeness(x + away, np.full_like(away, y), np.full_like(away, z))
    assert near[0, 0] == pytest.approx(1.0, abs=1e-4)
    assert near[0, 2] > 0.0 > near[0, 3]
    assert tumour.height(near)[0] == pytest.approx([1.0, 1.0, 0.0, 0.0], abs=0.02)


def test_a_gastric_tumour_lies_between_its_depths() -> None:
    """Of five depths, the two between where it begins and the lumen; none beyond its edge."""
    tumour = in_stomach(5, 2)
    depth = np.array([[-2.0, 0.5, 2.0, 9.0, 12.0]], np.float32)
    outer, inner = np.full_like(depth, 1.0), np.full_like(depth, 10.0)
    assert tumour.inside(np.full_like(depth, 0.4), depth, outer, inner).tolist() == [[False, False, True, True, False]]
    assert not tumour.inside(np.full_like(depth, -0.1), depth, outer, inner).any()
