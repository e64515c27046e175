"""A painted patient: organs in the body, the stomach's layers in their order, a tumour in the layers of its stage."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from models.phantoms.anatomy import Anatomy, Organ, build
from models.phantoms.canvas import AIR_HU, Canvas
from models.phantoms.enhancement import Tissue
from models.phantoms.lattice import Axis, Plane
from models.phantoms.painting import WATER_HU, Painter, Textures
from models.phantoms.spec import Filling, Kind, PhantomSpec, Wanted, draw
from models.phantoms.tumours import gastric


def planned(seed: int, wanted: Wanted) -> PhantomSpec:
    """A patient whose stomach is full of water."""
    spec = draw(seed, wanted)
    return replace(spec, habitus=replace(spec.habitus, filling=Filling.WATER))


def painted(spec: PhantomSpec, x_mm: Axis, y_mm: Axis, z_mm: float, *, ill: bool = True) -> Canvas:
    """A plane of the patient, neither bent nor mottled."""
    anatomy = build(spec)
    full = np.zeros((len(y_mm), len(x_mm)), np.float32)
    at = (full + x_mm.astype(np.float32)[None], full + y_mm.astype(np.float32)[:, None], full + np.float32(z_mm))
    canvas = Canvas(x_mm, y_mm, at, float(x_mm[1] - x_mm[0]))
    sick = (gastric(spec, 1, anatomy.stomach),) if ill and spec.kind is Kind.GASTRIC else ()
    Painter(spec, anatomy, (), sick).paint(canvas, Textures(full, full), z_mm)
    return canvas


def body(z_mm: float) -> Canvas:
    """A whole plane in 3 mm pixels."""
    return painted(planned(2, Wanted(Kind.NORMAL)), np.arange(-220.0, 221.0, 3.0), np.arange(-180.0, 181.0, 3.0), z_mm)


@pytest.fixture(scope="module")
def planes() -> tuple[Canvas, ...]:
    """From the bowel to the heart."""
    return tuple(body(z) for z in np.linspace(-90.0, 116.0, 9))


def test_every_organ_is_there(planes: tuple[Canvas, ...]) -> None:
    """On one plane or another."""
    assert set(np.unique(np.stack([one.organs for one in planes]))) == {organ.value for organ in Organ}


def test_organs_are_where_the_body_is(planes: tuple[Canvas, ...]) -> None:
    """In front of the table, what has no label is air, but for less than half a pixel of skin; the corners are air."""
    for one in planes:
        assert (one.hu[:10, :10] == AIR_HU).all()
        assert not one.organs[:, :5].any()
        front = slice(0, len(one.organs) // 2)
        assert one.hu[front][one.organs[front] == Organ.OUTSIDE].max() < -480.0
        assert one.hu[one.organs != Organ.OUTSIDE].min() > AIR_HU
        assert not one.lesions.any()


def test_the_body_is_wrapped_in_skin_fat_and_muscle(planes: tuple[Canvas, ...]) -> None:
    """Along the middle row from the patient's right: soft tissue before muscle before any organ."""
    one = planes[3]
    row = one.organs[len(one.organs) // 2]
    first = {organ: int(np.flatnonzero(row == organ)[0]) for organ in (Organ.SOFT_TISSUE, Organ.MUSCLE, Organ.LIVER)}
    assert first[Organ.SOFT_TISSUE] < first[Organ.MUSCLE] < first[Organ.LIVER]


def test_a_tissue_has_the_value_of_its_curve(planes: tuple[Canvas, ...]) -> None:
    """Without scanner and mottle, exactly, away from edges."""
    bolus = planned(2, Wanted(Kind.NORMAL)).bolus
    for organ, tissue in ((Organ.AORTA, Tissue.AORTA), (Organ.SPLEEN, Tissue.SPLEEN), (Organ.MUSCLE, Tissue.MUSCLE)):
        values = np.concatenate([one.hu[one.organs == organ] for one in planes])
        assert float(np.median(values)) == pytest.approx(bolus.hu(tissue), abs=0.01)


@dataclass(frozen=True)
class Wall:
    """A piece of the stomach, with how deep each pixel lies below its outer surface."""

    spec: PhantomSpec
    anatomy: Anatomy
    healthy: Canvas
    ill: Canvas
    depth: Plane
    near: np.ndarray
    """Where the tumour is at its full height."""

    def at(self, low: float, high: float) -> np.ndarray:
        """The pixels between two depths, as shares of the wall."""
        wall = self.anatomy.wall_mm
        mask: np.ndarray = (self.depth > low * wall) & (self.depth < high * wall)
        return mask


def wall_of(t_stage: int) -> Wall:
    """The plane through the middle of a tumour, in 0.4 mm pixels; of seed 3 it lies free of other organs."""
    spec = planned(3, Wanted(Kind.GASTRIC, t_stage=t_stage))
    spec = replace(spec, lesions=(replace(spec.lesions[0], where=0.45, around=0.1, size_mm=60.0),))
    anatomy = build(spec)
    tumour = gastric(spec, 1, anatomy.stomach)
    x, y = (np.arange(middle - 45.0, middle + 45.0, 0.4) for middle in tumour.centre[:2])
    healthy, ill = (painted(spec, x, y, tumour.centre[2], ill=sick) for sick in (False, True))
    depth = -anatomy.stomach.distance(healthy.x, healthy.y, healthy.z)
    near = tumour.closeness(healthy.x, healthy.y, healthy.z) > 0.5
    return Wall(spec, anatomy, healthy, ill, depth, near)


@pytest.fixture(scope="module")
def walls() -> dict[int, Wall]:
    """By T stage."""
    return {t_stage: wall_of(t_stage) for t_stage in (1, 2, 3, 4)}


def test_the_stomach_has_its_layers_in_their_order(walls: dict[int, Wall]) -> None:
    """From outside: muscularis, submucosa, mucosa, water, each with its own attenuation."""
    wall = walls[1]
    steps = ((0.1, 0.25), (0.45, 0.55), (0.75, 0.9), (1.2, 2.0))
    seen = [
        float(np.median(wall.healthy.hu[wall.at(*step) & (wall.healthy.organs == Organ.STOMACH)])) for step in steps
    ]
    tissues = (Tissue.MUSCULARIS, Tissue.SUBMUCOSA, Tissue.MUCOSA)
    assert seen == pytest.approx([*(wall.spec.bolus.hu(tissue) for tissue in tissues), WATER_HU], abs=3.0)


@pytest.mark.parametrize(
    ("t_stage", "muscularis", "outermost", "beyond"),
    [(1, False, False, False), (2, True, False, False), (3, True, True, False), (4, True, True, True)],
)
def test_a_tumour_replaces_the_layers_of_its_stage(
    walls: dict[int, Wall], t_stage: int, muscularis: bool, outermost: bool, beyond: bool
) -> None:
    """The mucosa always; then the inner muscularis, its outermost part, and what lies 3 mm beyond."""
    wall = walls[t_stage]

    def share(low: float, high: float) -> float:
        ring = wall.at(low, high) & wall.near & (wall.healthy.organs != Organ.LIVER)
        assert ring.sum() > 30
        return float((wall.ill.lesions[ring] == 1).mean())

    assert share(0.75, 0.95) > 0.95
    for expected, found in (
        (muscularis, share(0.25, 0.33)),
        (outermost, share(0.03, 0.13)),
        (beyond, share(-0.6, -0.5)),
    ):
        assert found > 0.6 if expected else found == 0.0


@pytest.mark.parametrize("t_stage", [1, 2, 3, 4])
def test_a_tumour_has_its_attenuation_and_stands_into_the_lumen(walls: dict[int, Wall], t_stage: int) -> None:
    """As thick as planned in its middle, bright as cancer of its depth is, part of the stomach; the rest as it was."""
    wall = walls[t_stage]
    lesion = wall.ill.lesions == 1
    tissue = Tissue.EARLY_GASTRIC_TUMOUR if t_stage == 1 else Tissue.GASTRIC_TUMOUR
    expected = wall.spec.bolus.hu(tissue) + wall.spec.lesions[0].contrast_hu
    assert float(np.median(wall.ill.hu[lesion])) == pytest.approx(expected, abs=0.5)
    assert (wall.ill.organs[lesion] == Organ.STOMACH).all()
    thickness = wall.spec.lesions[0].thickness_mm
    core = wall.near & (wall.depth > wall.anatomy.wall_mm)
    assert wall.ill.lesions[core & (wall.depth < thickness - 1.0)].mean() > 0.98
    assert not wall.ill.lesions[core & (wall.depth > thickness + 4.0)].any()
    far = ~wall.near & (np.abs(wall.depth) > 20.0) & ~lesion
    assert np.array_equal(wall.ill.organs[far], wall.healthy.organs[far])
