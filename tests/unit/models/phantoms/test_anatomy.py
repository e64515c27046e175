"""The organs of a patient: where anatomy has them, in every build."""

import numpy as np
import pytest

from models.phantoms.anatomy import Anatomy, build, domes_height, reach_of
from models.phantoms.shapes import Extent
from models.phantoms.spec import PhantomSpec, draw

SPECS = tuple(draw(seed) for seed in range(25))


@pytest.fixture(scope="module")
def patients() -> tuple[tuple[PhantomSpec, Anatomy], ...]:
    """25 of them."""
    return tuple((spec, build(spec)) for spec in SPECS)


def test_the_same_plan_is_the_same_patient() -> None:
    """And another seed another one."""
    assert build(SPECS[3]) == build(draw(3))
    assert build(SPECS[3]) != build(SPECS[4])


def test_organs_lie_on_their_side(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """Liver, gallbladder, vena cava right; spleen, stomach's fundus, aorta left; the arrays' x grows to the left."""
    for _, one in patients:
        left, right = one.kidneys
        assert right.centre[0] < one.vena_cava.at(0.5)[0][0] < one.aorta.at(0.5)[0][0] < left.centre[0]
        assert one.right_lobe.centre[0] < 0.0 < one.spleen.centre[0]
        assert one.gallbladder.centre[0] < 0.0 < one.stomach.at(0.0)[0][0]


def test_organs_lie_at_their_height(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """Heart above liver above kidneys; the right kidney lower than the left one; vessels before the spine."""
    for _, one in patients:
        left, _ = one.kidneys
        assert one.heart.centre[2] > one.right_lobe.centre[2] > left.centre[2]
        assert one.aorta.at(0.5)[0][1] < one.spine_y_mm
    assert np.mean([one.kidneys[0].centre[2] - one.kidneys[1].centre[2] for _, one in patients]) > 6.0


def test_the_pancreas_runs_from_the_duodenum_to_the_spleen(
    patients: tuple[tuple[PhantomSpec, Anatomy], ...],
) -> None:
    """Head right and low, tail left and high, behind the stomach."""
    for _, one in patients:
        (head, _), (tail, _) = one.pancreas.at(0.05), one.pancreas.at(0.95)
        assert head[0] < 0.0 < tail[0]
        assert head[2] < tail[2]
        body = one.pancreas.at(0.5)[0]
        nearest = min((one.stomach.at(k / 40.0)[0] for k in range(41)), key=lambda point: abs(point[0] - body[0]))
        assert nearest[1] < body[1]


def test_the_stomach_runs_from_the_fundus_down_to_the_pylorus(
    patients: tuple[tuple[PhantomSpec, Anatomy], ...],
) -> None:
    """From high on the left to the right, ever narrower, and wider where it is distended."""
    for spec, one in patients:
        (fundus, wide), (pylorus, narrow) = one.stomach.at(0.0), one.stomach.at(1.0)
        assert fundus[2] > pylorus[2]
        assert pylorus[0] < fundus[0]
        assert wide > 2.0 * narrow
        assert 5.0 <= one.wall_mm <= 7.0
        assert narrow / (spec.habitus.scale * spec.habitus.distension) == pytest.approx(9.0, rel=0.12)


def test_solid_organs_lie_within_the_trunk(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """Their centres, in every build."""
    for _, one in patients:
        solid = [*one.kidneys, one.spleen, one.right_lobe, one.left_lobe, one.gallbladder]
        points = [organ.centre for organ in solid] + [tube.at(k / 10)[0] for tube in (one.pancreas,) for k in range(11)]
        for x, y, _ in points:
            assert abs(x) < one.trunk.half_width_mm
            assert -one.trunk.front_mm < y < one.trunk.back_mm


def test_a_trunk_is_as_thick_as_its_fat(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """Visceral fat widens the cavity, fat under the skin lies around it."""
    for spec, one in patients:
        assert one.trunk.outer_mm == pytest.approx(one.trunk.wall_mm + spec.habitus.fat_mm)
        assert one.trunk.half_width_mm == pytest.approx(132.0 * spec.habitus.scale + spec.habitus.visceral_mm)


def test_every_loop_of_bowel_has_a_content(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """Fluid or stool; the colon has gas."""
    for _, one in patients:
        assert all(0.0 < loop.content_hu < 60.0 for loop in one.loops)
        assert all(loop.has_gas for loop in one.loops if loop.organ.name == "COLON")
        assert {loop.organ.name for loop in one.loops} == {"COLON", "DUODENUM", "SMALL_BOWEL"}


def test_a_dome_is_highest_at_its_top(patients: tuple[tuple[PhantomSpec, Anatomy], ...]) -> None:
    """And falls to each side."""
    domes = patients[0][1].domes
    for k, dome in enumerate(domes):
        x = np.array([[dome.top[0], dome.top[0] + 40.0, dome.top[0] - 40.0]], np.float32)
        heights = domes_height(domes, x, np.full_like(x, dome.top[1]))[k][0]
        assert heights[0] == pytest.approx(dome.top[2])
        assert heights[1] == pytest.approx(heights[2], abs=1e-3)
        assert heights[1] < heights[0] - 5.0


def test_a_reach_is_a_box_with_a_margin() -> None:
    """On all six sides."""
    wide = reach_of(Extent((0.0, 1.0, 2.0), (3.0, 4.0, 5.0)), 10.0)
    assert (wide.low, wide.high) == ((-10.0, -9.0, -8.0), (13.0, 14.0, 15.0))
