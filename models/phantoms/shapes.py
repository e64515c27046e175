"""Implicit shapes: approximate signed distances in millimetres, negative inside, on one plane at a time.

Coordinates are millimetres in the patient frame: x to the patient's left, y to the back, z to the head. Where a shape
is not an exact sphere or tube, the distance is the first-order one (value over gradient): right near the surface.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from models.phantoms.lattice import Plane

Point = tuple[float, float, float]
"""x, y, z in mm."""
_TINY: Final = np.float32(1e-6)
_FAR_MM: Final = 1e3
NEAR_MM: Final = 10.0
"""Nothing is painted further from a surface than this, but for the stomach's: the fat around a kidney."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A box that holds a shape: lowest and highest x, y, z in mm."""

    low: Point
    high: Point


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid turned about the body axis: ``tilt`` is the tangent of the angle."""

    centre: Point
    radii: Point
    tilt: float = 0.0

    @property
    def extent(self) -> Extent:
        """Its box."""
        reach = max(self.radii[0], self.radii[1]) if self.tilt else 0.0
        half = (max(self.radii[0], reach), max(self.radii[1], reach), self.radii[2])
        return box_around((self.centre,), half)

    def distance(self, x: Plane, y: Plane, z: Plane) -> Plane:
        """Signed distance in mm."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        if self.tilt:
            cosine = np.float32(1.0 / (1.0 + self.tilt**2) ** 0.5)
            sine = np.float32(self.tilt) * cosine
            dx, dy = cosine * dx + sine * dy, cosine * dy - sine * dx
        rx, ry, rz = self.radii
        dx, dy, dz = dx / rx, dy / ry, dz / rz
        distance: Plane = np.sqrt(dx * dx + dy * dy + dz * dz)
        dx /= rx
        dy /= ry
        dz /= rz
        slope = _length(dx, dy, dz)
        slope += _TINY
        # Value times value less one, over slope; in the very middle, where there is no slope, the least radius.
        ratio = distance + np.float32(_TINY * min(self.radii))
        ratio /= slope
        distance -= 1.0
        distance *= ratio
        return distance


@dataclass(frozen=True, slots=True)
class Tube:
    """A tube along a polyline whose radius changes from point to point; ``flatness`` squeezes it front to back."""

    points: tuple[Point, ...]
    radii_mm: tuple[float, ...]
    flatness: float = 1.0
    blend_mm: float = 4.0
    """How far the joints are rounded."""
    near_mm: float = NEAR_MM
    """Further from the surface than this, the distance need only be large."""

    @property
    def extent(self) -> Extent:
        """Its box."""
        reach = max(self.radii_mm) + self.blend_mm
        return box_around(self.points, (reach, reach, reach))

    def distance(self, x: Plane, y: Plane, z: Plane) -> Plane:
        """Signed distance in mm to the union of its segments, joints rounded; far from all, merely large."""
        ranges = tuple((float(part.min(initial=_FAR_MM)), float(part.max(initial=-_FAR_MM))) for part in (x, y, z))
        pieces = (self._segment(k, x, y, z) for k in range(len(self.points) - 1) if self._is_near(k, ranges))
        whole = next(pieces, None)
        if whole is None:
            return np.full(z.shape, _FAR_MM, np.float32)
        for piece in pieces:
            whole = smooth_min(whole, piece, self.blend_mm)
        return whole

    def _is_near(self, k: int, ranges: tuple[tuple[float, float], ...]) -> bool:
        """Whether a segment can matter to a patch of plane with these ranges of x, y and z."""
        reach = max(self.radii_mm[k], self.radii_mm[k + 1]) + self.blend_mm + self.near_mm
        ends = zip(self.points[k], self.points[k + 1], ranges, strict=True)
        return all(min(a, b) - reach <= high and max(a, b) + reach >= low for a, b, (low, high) in ends)

    def _segment(self, k: int, x: Plane, y: Plane, z: Plane) -> Plane:
        (ax, ay, az), (bx, by, bz) = self.points[k], self.points[k + 1]
        ux, uy, uz = bx - ax, by - ay, bz - az
        dx, dy, dz = x - ax, y - ay, z - az
        along = dx * ux
        along += dy * uy
        along += dz * uz
        along /= ux * ux + uy * uy + uz * uz
        np.clip(along, 0.0, 1.0, out=along)
        dx -= along * ux
        dy -= along * uy
        dz -= along * uz
        if self.flatness != 1.0:
            dy *= self.flatness
        distance = _length(dx, dy, dz)
        along *= self.radii_mm[k + 1] - self.radii_mm[k]
        along += self.radii_mm[k]
        distance -= along
        return distance

    def at(self, fraction: float) -> tuple[Point, float]:
        """The point and radius at a fraction of the length, 0 to 1."""
        lengths = [sum((b - a) ** 2 for a, b in zip(p, q, strict=True)) ** 0.5 for p, q in _pairs(self.points)]
        rest = fraction * sum(lengths)
        for k, length in enumerate(lengths):
            if rest <= length or k == len(lengths) - 1:
                t = min(1.0, rest / length)
                p, q = self.points[k], self.points[k + 1]
                point = (p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]), p[2] + t * (q[2] - p[2]))
                return point, self.radii_mm[k] + t * (self.radii_mm[k + 1] - self.radii_mm[k])
            rest -= length
        raise AssertionError("a tube has at least one segment")


def _pairs(points: tuple[Point, ...]) -> list[tuple[Point, Point]]:
    return list(pairwise(points))


def box_around(points: tuple[Point, ...], half: Point) -> Extent:
    """The box that holds every point with ``half`` to each side."""
    xs, ys, zs = zip(*points, strict=True)
    return Extent(
        (min(xs) - half[0], min(ys) - half[1], min(zs) - half[2]),
        (max(xs) + half[0], max(ys) + half[1], max(zs) + half[2]),
    )


def _length(x: Plane, y: Plane, z: Plane) -> Plane:
    """The length of vectors; their parts are used up."""
    x *= x
    y *= y
    z *= z
    x += y
    x += z
    length: Plane = np.sqrt(x, out=x)
    return length


def smooth_min(one: Plane, other: Plane, blend_mm: float) -> Plane:
    """The union of two shapes, the seam rounded over ``blend_mm``."""
    overlap = np.asarray(one - other)
    np.abs(overlap, out=overlap)
    overlap /= -blend_mm
    overlap += 1.0
    np.maximum(overlap, 0.0, out=overlap)
    overlap *= overlap
    overlap *= np.float32(blend_mm / 4.0)
    joined: Plane = np.minimum(one, other)
    joined -= overlap
    return joined


def smooth_max(one: Plane, other: Plane, blend_mm: float) -> Plane:
    """The intersection of two shapes, the seam rounded over ``blend_mm``."""
    return -smooth_min(-one, -other, blend_mm)
