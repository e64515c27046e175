"""Tumours on the canvas: a pancreatic carcinoma whose texture tells its latent, and gastric ones by depth of invasion.

Pancreatic texture: two independent smooth fields, fine and coarse, mixed so that the total variance is the same for
every tumour and only the share at the coarse scale follows the latent (``latent.coarse_share``); with it, a necrotic
core darkens. Neither changes the mean, and rescaling intensities, as the z-score of the models does, takes nothing of
them away.
"""

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Final

import numpy as np
import numpy.typing as npt

from models.phantoms.enhancement import Tissue
from models.phantoms.latent import NtrTruth
from models.phantoms.lattice import Lattice, Plane
from models.phantoms.shapes import Ellipsoid, Extent, Point, Tube, box_around
from models.phantoms.spec import LesionSpec, PhantomSpec, Stream

TEXTURE_HU: Final = 26.0
"""Standard deviation of a pancreatic tumour's texture, before kernel and noise."""
FINE_MM: Final = 1.7
COARSE_MM: Final = 5.0
"""Lattice steps: about 2.5 and 8 mm from blob to blob."""
CORE_HU: Final = 30.0
"""By how much the middle is darker than the edge at the highest latent, and brighter at the lowest."""
_MEAN_DEPTH: Final = 0.25
"""Of the voxels of a ball, edge 0 to middle 1: so that the core leaves the mean alone."""
_OUTLINE_MM: Final = 9.0
_OUTLINE_SHARE: Final = 0.10
_MARGIN_MM: Final = 26.0
_FURTHEST_STRAND_MM: Final = 17.0
_STRANDING_HU: Final = {1: 0.0, 2: 0.0, 3: 40.0, 4: 100.0}
"""How readers tell the depth on CT: at T2 the fat is clear, at T3 a few strands, at T4 dense."""


@dataclass(frozen=True, slots=True)
class PancreaticTumour:
    """A dark, ill-defined mass in the pancreas."""

    number: int
    body: Ellipsoid
    outline: Lattice
    fine: Lattice
    coarse: Lattice
    coarse_share: float
    contrast_hu: float

    @property
    def extent(self) -> Extent:
        """Its box with its irregular edge."""
        radii = self.body.radii
        reach = max(radii) * (1.0 + 4.0 * _OUTLINE_SHARE)
        return box_around((self.body.centre,), (reach, reach, reach))

    def distance(self, x: Plane, y: Plane, z: Plane, ragged: Plane) -> Plane:
        """Signed distance in mm; ``ragged`` is ``outline`` at these places."""
        return self.body.distance(x, y, z) + np.float32(_OUTLINE_SHARE * min(self.body.radii)) * ragged

    def texture_hu(self, fine: Plane, coarse: Plane, distance: Plane) -> Plane:
        """Deviation from the mean attenuation, for the two fields and the signed distance to the edge."""
        share = self.coarse_share
        mixed = np.float32((1.0 - share) ** 0.5) * fine + np.float32(share**0.5) * coarse
        depth = np.clip(-distance / np.float32(min(self.body.radii)), 0.0, 1.0)
        core = np.float32(CORE_HU * (2.0 * share - 1.0)) * (np.float32(_MEAN_DEPTH) - depth)
        texture: Plane = np.float32(TEXTURE_HU) * mixed + core + np.float32(self.contrast_hu)
        return texture


def pancreatic(spec: PhantomSpec, number: int, pancreas: Tube, ntr: NtrTruth) -> PancreaticTumour:
    """The tumour of lesion ``number`` (1 is the first) of ``spec``."""
    lesion = spec.lesions[number - 1]
    rng = spec.stream(Stream.TUMOUR, lesion.seed)
    centre, _ = pancreas.at(lesion.where)
    radius = lesion.size_mm / 2.0
    shape = rng.uniform(0.74, 1.0, 3)
    shape = shape / shape.max()
    body = Ellipsoid(centre, (radius * float(shape[0]), radius * float(shape[1]), radius * float(shape[2])))
    low, high = _corners(centre, radius + _MARGIN_MM)
    return PancreaticTumour(
        number=number,
        body=body,
        outline=Lattice.drawn(rng, _OUTLINE_MM, low, high),
        fine=Lattice.drawn(rng, FINE_MM, low, high),
        coarse=Lattice.drawn(rng, COARSE_MM, low, high),
        coarse_share=ntr.coarse_share,
        contrast_hu=lesion.contrast_hu,
    )


@dataclass(frozen=True, slots=True)
class GastricTumour:
    """A thickening of the stomach's wall. Depths are mm from the outer surface inwards; outside they are negative."""

    number: int
    centre: Point
    radius_mm: float
    thickness_mm: float
    t_stage: int
    nodules: Lattice
    growth_mm: float
    """How far a T4 tumour grows beyond the wall."""
    stranding_hu: float
    contrast_hu: float

    @property
    def extent(self) -> Extent:
        """The box of the tumour and the fat that it disturbs."""
        reach = self.radius_mm + _FURTHEST_STRAND_MM
        return box_around((self.centre,), (reach, reach, reach))

    @property
    def tissue(self) -> Tissue:
        """What it takes up contrast like."""
        return Tissue.EARLY_GASTRIC_TUMOUR if self.t_stage == 1 else Tissue.GASTRIC_TUMOUR

    def closeness(self, x: Plane, y: Plane, z: Plane) -> Plane:
        """1 - (distance over radius) squared: 1 in the middle, 0 at the edge, negative outside."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        near: Plane = np.asarray(1.0 - (dx * dx + dy * dy + dz * dz) / np.float32(self.radius_mm**2), np.float32)
        return near

    def height(self, near: Plane) -> Plane:
        """The profile of the tumour: 0 at its edge, 1 over most of its middle."""
        profile: Plane = np.clip(2.6 * near, 0.0, 1.0)
        return profile

    def outer_depth(self, profile: Plane, wall: Plane, nodules: Plane) -> Plane:
        """Where the tumour begins, seen from outside: the layers further out are spared."""
        if self.t_stage == 1:  # mucosa and inner submucosa (AJCC 8: T1)
            return np.float32(0.60) * wall
        if self.t_stage == 2:  # noqa: PLR2004 — into the muscularis, its outer part spared (T2)
            return np.float32(0.16) * wall
        if self.t_stage == 3:  # noqa: PLR2004 — to the subserosa: all layers, the outline smooth (T3)
            return np.float32(-1.0) * profile
        lumps = np.clip(1.0 + 0.6 * nodules, 0.25, 2.2)  # through the serosa: nodular (T4)
        depth: Plane = -np.float32(self.growth_mm) * profile * lumps
        return depth

    def inside(self, near: Plane, depth: Plane, outer: Plane, inner: Plane) -> npt.NDArray[np.bool_]:
        """The pixels of the tumour."""
        within: npt.NDArray[np.bool_] = (near > 0.0) & (depth >= outer) & (depth <= inner)
        return within


def gastric(spec: PhantomSpec, number: int, stomach: Tube) -> GastricTumour:
    """The tumour of lesion ``number`` (1 is the first) of ``spec``."""
    lesion = spec.lesions[number - 1]
    rng = spec.stream(Stream.TUMOUR, lesion.seed)
    stage = lesion.t_stage or 1
    centre = _on_wall(lesion, stomach)
    radius = lesion.size_mm / 2.0
    low, high = _corners(centre, radius + _MARGIN_MM)
    return GastricTumour(
        number=number,
        centre=centre,
        radius_mm=radius,
        thickness_mm=lesion.thickness_mm,
        t_stage=stage,
        nodules=Lattice.drawn(rng, 6.0, low, high),
        growth_mm=float(rng.uniform(4.5, 8.0)),
        stranding_hu=_STRANDING_HU[stage] * float(rng.uniform(0.6, 1.3)),
        contrast_hu=lesion.contrast_hu,
    )


def _on_wall(lesion: LesionSpec, stomach: Tube) -> Point:
    """The middle of the tumour: on the side of the stomach that ``around`` says, half its thickness deep."""
    (x, y, z), radius = stomach.at(lesion.where)
    before, _ = stomach.at(max(0.0, lesion.where - 0.02))
    after, _ = stomach.at(min(1.0, lesion.where + 0.02))
    along = np.array(after) - np.array(before)
    along /= float(np.sqrt((along * along).sum()))
    across = np.cross(along, (0.0, 0.0, 1.0)) + np.array((1e-3, 0.0, 0.0))
    across /= float(np.sqrt((across * across).sum()))
    other = np.cross(along, across)
    angle = pi * lesion.around
    way = cos(angle) * across + sin(angle) * other
    depth = radius - 0.5 * lesion.thickness_mm
    return x + depth * float(way[0]), y + depth * float(way[1]), z + depth * float(way[2])


def _corners(centre: Point, reach: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    x, y, z = centre
    return (z - reach, y - reach, x - reach), (z + reach, y + reach, x + reach)
