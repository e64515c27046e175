"""The organs of one patient as implicit shapes in the patient's frame, before the patient's own bending.

Origin: the middle of the body at the level of the first lumbar vertebra. x to the patient's left, y to the back, z to
the head, in mm. The numbers are those of an adult of medium build lying on the back; ``Habitus.scale`` multiplies
them and each organ moves and swells a little from patient to patient. On top of that ``render`` bends space smoothly,
so that no two outlines are alike. Simplified: no adrenals, no lymph nodes, no mesenteric vessels but the largest, one
generic bowel.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from models.phantoms.lattice import Plane
from models.phantoms.shapes import Ellipsoid, Extent, Point, Tube
from models.phantoms.spec import Habitus, PhantomSpec, Stream


class Organ(IntEnum):
    """The labels of the organ map."""

    OUTSIDE = 0
    SOFT_TISSUE = 1
    """Fat, skin and whatever has no label of its own."""
    LIVER = 2
    SPLEEN = 3
    KIDNEY_LEFT = 4
    KIDNEY_RIGHT = 5
    VERTEBRA = 6
    AORTA = 7
    VENA_CAVA = 8
    PORTAL_VEIN = 9
    """Portal, splenic and superior mesenteric vein."""
    STOMACH = 10
    """Wall, lumen and any tumour of it."""
    PANCREAS = 11
    """With any tumour of it."""
    DUODENUM = 12
    COLON = 13
    SMALL_BOWEL = 14
    GALLBLADDER = 15
    LUNG = 16
    MUSCLE = 17
    RIB = 18
    HEART = 19


@dataclass(frozen=True, slots=True)
class Trunk:
    """The body's walls: a cavity within muscle within fat within skin."""

    half_width_mm: float
    front_mm: float
    """From the middle to the front of the cavity."""
    back_mm: float
    wall_mm: float
    fat_mm: float
    rib_phase_mm: float

    @property
    def outer_mm(self) -> float:
        """From the cavity to the skin."""
        return self.wall_mm + self.fat_mm


@dataclass(frozen=True, slots=True)
class Vessel:
    """A vessel and what flows in it."""

    tube: Tube
    organ: Organ


@dataclass(frozen=True, slots=True)
class Loop:
    """A piece of bowel and what is in it."""

    tube: Tube
    organ: Organ
    content_hu: float
    has_gas: bool


@dataclass(frozen=True, slots=True)
class Dome:
    """One half of the diaphragm: a paraboloid."""

    top: Point
    radius_mm: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All shapes of one patient."""

    trunk: Trunk
    domes: tuple[Dome, Dome]
    """Right, left."""
    heart: Ellipsoid
    right_lobe: Ellipsoid
    left_lobe: Ellipsoid
    medial_mm: float
    """Where the right lobe ends towards the spine."""
    lower_edge_mm: float
    liver_vessels: tuple[Vessel, ...]
    hepatic_veins: tuple[Tube, ...]
    gallbladder: Ellipsoid
    spleen: Ellipsoid
    hilum: Ellipsoid
    kidneys: tuple[Ellipsoid, Ellipsoid]
    """Left, right."""
    sinuses: tuple[Ellipsoid, Ellipsoid]
    spine_y_mm: float
    vertebra_phase_mm: float
    psoas: tuple[Tube, Tube]
    aorta: Tube
    vena_cava: Tube
    small_arteries: tuple[Tube, ...]
    veins: tuple[Tube, ...]
    portal: tuple[Tube, ...]
    loops: tuple[Loop, ...]
    pancreas: Tube
    stomach: Tube
    wall_mm: float
    """Of the stomach."""


_SPINE_Y: Final = 38.0
_PANCREAS: Final[tuple[tuple[Point, float], ...]] = (
    ((-35, -9, -32), 12.5),
    ((-31, -14, -14), 14.0),
    ((-8, -25, -2), 9.5),
    ((22, -21, 12), 10.5),
    ((54, 0, 24), 11.0),
    ((86, 19, 35), 9.0),
)
_STOMACH: Final[tuple[tuple[Point, float], ...]] = (
    ((60, 12, 86), 27.0),
    ((67, -14, 64), 33.0),
    ((62, -38, 34), 30.0),
    ((44, -54, 4), 26.0),
    ((10, -60, -15), 22.0),
    ((-20, -52, -10), 17.0),
    ((-36, -42, -1), 9.0),
)
_DUODENUM: Final[tuple[Point, ...]] = (
    (-36, -42, -1), (-53, -26, -6), (-60, -10, -38), (-47, -6, -68), (8, -8, -76), (38, -22, -62),
)  # fmt: skip
_COLON: Final[tuple[Point, ...]] = (
    (-97, 8, -110), (-98, 0, -72), (-88, -34, -54), (-56, -60, -52), (0, -66, -60), (56, -62, -44), (98, -24, 4),
    (108, 14, -30), (106, 22, -110),
)  # fmt: skip
_SMALL_LOOPS: Final = 34
_DISTURBED_MM: Final = 36.0
"""How far around the stomach a tumour can reach: what it grows beyond the wall, and strands beyond that."""


def build(spec: PhantomSpec) -> Anatomy:
    """The organs of the patient of ``spec``."""
    return _Builder(spec).build()


class _Builder:
    """Draws the organs one after another from the patient's own stream."""

    def __init__(self, spec: PhantomSpec) -> None:
        self.spec = spec
        self.habitus: Habitus = spec.habitus
        self.scale = spec.habitus.scale
        self.rng = spec.stream(Stream.ORGANS)

    def build(self) -> Anatomy:
        spleen_shift = self._jitter(4.0)
        kidneys, sinuses = self._kidneys()
        return Anatomy(
            trunk=self._trunk(),
            domes=(Dome(self._at((-60, 2, 104)), 78.0 * self.scale), Dome(self._at((64, 0, 98)), 80.0 * self.scale)),
            heart=self._ellipsoid((22, -38, 126), (58, 44, 30)),
            right_lobe=self._ellipsoid((-70, -2, 26), (86, 98, float(self.rng.uniform(84, 112)))),
            left_lobe=self._ellipsoid(
                (float(self.rng.uniform(-4, 14)), -56, 56), (60, 27, float(self.rng.uniform(30, 42)))
            ),
            medial_mm=float(self.rng.uniform(16, 26)) * self.scale,
            lower_edge_mm=float(self.rng.uniform(-84, -56)) * self.scale,
            liver_vessels=self._liver_vessels(),
            hepatic_veins=self._hepatic_veins(),
            gallbladder=self._ellipsoid((-54, -38, -20), (13, 15, 24), swell=0.2),
            spleen=self._ellipsoid((98, 26, 44), (38, 46, 50), shift=spleen_shift, swell=0.12),
            hilum=self._ellipsoid((62, 2, 44), (33, 38, 48), shift=spleen_shift),
            kidneys=kidneys,
            sinuses=sinuses,
            spine_y_mm=_SPINE_Y * self.scale,
            vertebra_phase_mm=float(self.rng.uniform(0, 34)),
            psoas=(self._psoas(1.0), self._psoas(-1.0)),
            aorta=self._tube(((9, 8, 130), (9, 5, 20), (6, 9, -60), (3, 13, -120)), (10.5, 9.8, 9.0, 8.5), swell=0.18),
            vena_cava=self._tube(((-22, -2, 130), (-24, 4, 60), (-21, 8, -10), (-19, 12, -120)), (12, 12, 11, 10.5)),
            small_arteries=self._small_arteries(),
            veins=(
                self._tube(((46, 33, -20), (20, -2, -19), (6, -7, -19), (-16, 5, -19)), (4, 4, 4, 4.5)),
                self._tube(((-46, 35, -30), (-24, 12, -25)), (4, 4.5)),
            ),
            portal=self._portal(),
            loops=self._loops(),
            pancreas=self._organ_tube(_PANCREAS, shift_mm=3.0, swell=0.12, flatness=1.12),
            stomach=self._stomach(),
            wall_mm=float(self.rng.uniform(5.2, 7.0)),
        )

    def _jitter(self, spread_mm: float) -> Point:
        dx, dy, dz = self.rng.normal(0.0, spread_mm, 3)
        return float(dx), float(dy), float(dz)

    def _at(self, point: Point, shift: Point = (0.0, 0.0, 0.0)) -> Point:
        x, y, z = ((value + moved) * self.scale for value, moved in zip(point, shift, strict=True))
        return x, y, z

    def _ellipsoid(self, centre: Point, radii: Point, *, shift: Point | None = None, swell: float = 0.08) -> Ellipsoid:
        moved = self._jitter(2.5) if shift is None else shift
        grown = 1.0 + self.rng.uniform(-swell, swell, 3)
        rx, ry, rz = (float(radius * factor * self.scale) for radius, factor in zip(radii, grown, strict=True))
        return Ellipsoid(self._at(centre, moved), (rx, ry, rz))

    def _tube(
        self, points: tuple[Point, ...], radii: tuple[float, ...], *, swell: float = 0.12, shift_mm: float = 1.2
    ) -> Tube:
        grown = float(1.0 + self.rng.uniform(-swell, swell)) * self.scale
        moved = self._jitter(shift_mm)
        return Tube(tuple(self._at(point, moved) for point in points), tuple(radius * grown for radius in radii))

    def _organ_tube(
        self, course: tuple[tuple[Point, float], ...], *, shift_mm: float, swell: float, flatness: float
    ) -> Tube:
        grown = float(1.0 + self.rng.uniform(-swell, swell)) * self.scale
        points, radii = [], []
        for point, radius in course:
            points.append(self._at(point, self._jitter(shift_mm)))
            radii.append(radius * grown * float(1.0 + self.rng.uniform(-swell, swell)))
        return Tube(tuple(points), tuple(radii), flatness, 8.0)

    def _trunk(self) -> Trunk:
        visceral, rng = self.habitus.visceral_mm, self.rng
        return Trunk(
            half_width_mm=132.0 * self.scale + visceral,
            front_mm=86.0 * self.scale + visceral * 1.1,
            back_mm=84.0 * self.scale,
            wall_mm=float(rng.uniform(8.5, 12.0)) * self.scale,
            fat_mm=self.habitus.fat_mm,
            rib_phase_mm=float(rng.uniform(0, 27)),
        )

    def _kidneys(self) -> tuple[tuple[Ellipsoid, Ellipsoid], tuple[Ellipsoid, Ellipsoid]]:
        kidneys, sinuses = [], []
        for side, centre in ((1.0, (57.0, 42.0, -16.0)), (-1.0, (-59.0, 44.0, -28.0))):
            whole = self._ellipsoid(centre, (27, 24, 52), swell=0.1)
            tilt = -0.45 * side
            x, y, z = whole.centre
            kidneys.append(Ellipsoid(whole.centre, whole.radii, tilt))
            middle = (x - 15.0 * side * self.scale, y - 6.0 * self.scale, z)
            sinuses.append(Ellipsoid(middle, (15.0 * self.scale, 8.0 * self.scale, 24.0 * self.scale), tilt))
        return (kidneys[0], kidneys[1]), (sinuses[0], sinuses[1])

    def _psoas(self, side: float) -> Tube:
        return self._tube(((side * 23, 40, 0), (side * 32, 40, -45), (side * 42, 34, -120)), (4, 13, 21), swell=0.15)

    def _small_arteries(self) -> tuple[Tube, ...]:
        return (
            self._tube(((9, 0, 6), (2, -15, -8), (1, -17, -60), (0, -20, -120)), (3.6, 3.4, 3.2, 2.8)),
            self._tube(((9, -2, 24), (8, -14, 27)), (3.4, 3.2)),
            self._tube(((8, -14, 27), (30, -10, 22), (60, 10, 34), (86, 22, 42)), (2.6, 2.4, 2.2, 2.0)),
            self._tube(((8, -14, 27), (-14, -24, 22), (-30, -26, 36)), (2.6, 2.3, 2.0)),
        )

    def _portal(self) -> tuple[Tube, ...]:
        joint = (-8.0, -13.0, 1.0)
        return (
            self._tube(((-12, -20, -120), (-11, -18, -30), joint), (5.0, 5.8, 6.2), shift_mm=0.6),
            self._tube((joint, (24, -8, 15), (56, 13, 27), (86, 27, 40)), (5.0, 4.6, 4.2, 3.6), shift_mm=0.6),
            self._tube((joint, (-20, -19, 22), (-40, -17, 42)), (6.6, 6.8, 6.0), shift_mm=0.6),
        )

    def _liver_vessels(self) -> tuple[Vessel, ...]:
        ways: tuple[tuple[tuple[Point, ...], tuple[float, ...]], ...] = (
            (((-40, -17, 42), (-62, -8, 46), (-92, 6, 44)), (5.6, 4.6, 2.6)),
            (((-62, -8, 46), (-84, -34, 52), (-100, -44, 58)), (4.2, 3.0, 2.0)),
            (((-62, -8, 46), (-88, -10, 16), (-100, -6, -12)), (3.8, 2.8, 1.8)),
            (((-40, -17, 42), (-26, -34, 54), (6, -52, 58), (28, -58, 60)), (4.8, 4.0, 3.0, 1.8)),
        )
        return tuple(Vessel(self._tube(points, radii), Organ.LIVER) for points, radii in ways)

    def _hepatic_veins(self) -> tuple[Tube, ...]:
        return (
            self._tube(((-26, 0, 88), (-62, 18, 78), (-98, 28, 60), (-108, 30, 30)), (4.8, 4.2, 3.0, 1.8)),
            self._tube(((-26, -4, 86), (-52, -34, 76), (-66, -58, 54)), (4.6, 3.8, 2.2)),
            self._tube(((-24, -6, 88), (-4, -38, 78), (14, -58, 64)), (4.4, 3.4, 1.8)),
        )

    def _stomach(self) -> Tube:
        whole = self._organ_tube(_STOMACH, shift_mm=3.5, swell=0.05, flatness=1.0)
        grown = self.habitus.distension
        return Tube(whole.points, tuple(radius * grown for radius in whole.radii_mm), 1.0, 12.0, _DISTURBED_MM)

    def _loops(self) -> tuple[Loop, ...]:
        rng = self.spec.stream(Stream.BOWEL)
        radius = float(rng.uniform(13, 20))
        colon = self._tube(_COLON, (radius,) * len(_COLON), shift_mm=4.0)
        duodenum = self._tube(_DUODENUM, (10.5,) * len(_DUODENUM), shift_mm=1.5)
        small = []
        for _ in range(_SMALL_LOOPS):
            x, y, z = rng.uniform((-62, -58, -116), (84, -14, -40))
            turn = rng.normal(0.0, 1.0, (2, 3)) * (16.0, 10.0, 9.0)
            points = ((x, y, z), (x + turn[0, 0], y + turn[0, 1], z + turn[0, 2]))
            far = (points[1][0] + turn[1, 0], points[1][1] + turn[1, 1], points[1][2] + turn[1, 2])
            course = tuple(self._at((float(a), float(b), float(c))) for a, b, c in (*points, far))
            tube = Tube(course, (float(rng.uniform(8.5, 12.0)),) * 3)
            small.append(Loop(tube, Organ.SMALL_BOWEL, float(rng.uniform(12, 38)), bool(rng.random() < 0.2)))  # noqa: PLR2004 — one loop in five
        return (
            *small,
            Loop(colon, Organ.COLON, float(rng.uniform(15, 50)), has_gas=True),
            Loop(duodenum, Organ.DUODENUM, float(rng.uniform(8, 26)), has_gas=bool(rng.random() < 0.3)),  # noqa: PLR2004 — about one in three
        )


def reach_of(extent: Extent, margin_mm: float) -> Extent:
    """The extent with a margin for the patient's bending."""
    return Extent(
        (extent.low[0] - margin_mm, extent.low[1] - margin_mm, extent.low[2] - margin_mm),
        (extent.high[0] + margin_mm, extent.high[1] + margin_mm, extent.high[2] + margin_mm),
    )


def domes_height(domes: tuple[Dome, ...], x: Plane, y: Plane) -> list[Plane]:
    """The height of each half of the diaphragm over (x, y), in mm."""
    heights: list[Plane] = []
    for dome in domes:
        square = (x - dome.top[0]) ** 2 + (y - dome.top[1]) ** 2
        heights.append(np.asarray(dome.top[2] - square / np.float32(2.0 * dome.radius_mm), np.float32))
    return heights
