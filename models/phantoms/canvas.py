"""One plane of a phantom while it is painted: attenuation, organ labels, lesion numbers, and where each pixel lies."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.phantoms.anatomy import Organ, reach_of
from models.phantoms.lattice import Axis, Plane
from models.phantoms.shapes import NEAR_MM, Extent

AIR_HU: Final = -1000.0
_ROUNDING_MM: Final = 0.01
Window = tuple[slice, slice]


@dataclass(slots=True)
class Patch:
    """The part of the plane that a shape can touch: patient coordinates, and the window it is painted through."""

    window: Window
    x: Plane
    y: Plane
    z: Plane


class Canvas:
    """A plane that organs are painted on, one over the other, edges blended over a pixel."""

    def __init__(self, x_mm: Axis, y_mm: Axis, patient: tuple[Plane, Plane, Plane], soft_mm: float) -> None:
        self.x_mm, self.y_mm = x_mm, y_mm
        self.x, self.y, self.z = patient
        self.soft_mm = np.float32(soft_mm)
        shape = (len(y_mm), len(x_mm))
        self.hu: Plane = np.full(shape, AIR_HU, np.float32)
        self.organs: npt.NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.lesions: npt.NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self._moved_mm = (_furthest(self.x, self.x_mm[None, :]), _furthest(self.y, self.y_mm[:, None]))
        self._z_range = (float(self.z.min()), float(self.z.max())) if self.z.size else (0.0, 0.0)

    def patch(self, extent: Extent, near_mm: float = NEAR_MM) -> Patch | None:
        """The part of the plane within ``near_mm`` of a shape's box, and a little more; None when there is none."""
        wide = reach_of(extent, near_mm)
        low, high = self._z_range
        if wide.low[2] > high or wide.high[2] < low:
            return None
        dx, dy = self._moved_mm
        x0, x1 = np.searchsorted(self.x_mm, (wide.low[0] - dx, wide.high[0] + dx))
        y0, y1 = np.searchsorted(self.y_mm, (wide.low[1] - dy, wide.high[1] + dy))
        if x0 >= x1 or y0 >= y1:
            return None
        window = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        return Patch(window, self.x[window], self.y[window], self.z[window])

    @property
    def whole(self) -> Patch:
        """All of the plane."""
        return Patch((slice(None), slice(None)), self.x, self.y, self.z)

    def cover(self, distance: Plane) -> Plane:
        """How much of each pixel lies inside, 0 to 1."""
        covered: Plane = np.clip(0.5 - distance / self.soft_mm, 0.0, 1.0)
        return covered

    def paint(self, patch: Patch, distance: Plane, hu: Plane | float, organ: Organ | None = None) -> None:
        """Fill a shape; without ``organ`` the labels below it stay."""
        box = _touched(distance < np.float32(0.5) * self.soft_mm)
        if box is None:
            return
        cover = self.cover(distance[box])
        below = self.hu[patch.window][box]
        colour = hu[box] if isinstance(hu, np.ndarray) else np.float32(hu)
        if organ is not None:
            inside = cover >= 0.5  # noqa: PLR2004 — more in than out
            self.organs[patch.window][box][inside] = organ
            self.lesions[patch.window][box][inside] = 0
        # Not below + cover * (hu - below): a covered pixel must forget what was below, to the last bit.
        below *= np.float32(1.0) - cover
        cover *= colour
        below += cover

    def mark_lesion(self, patch: Patch, inside: npt.NDArray[np.bool_], number: int, organ: Organ) -> None:
        """Number the pixels of a lesion; they belong to its organ."""
        self.organs[patch.window][inside] = organ
        self.lesions[patch.window][inside] = number


def _furthest(moved: Plane, still: Axis) -> float:
    """How far bending and turning move any pixel along an axis, in mm."""
    return float(np.abs(moved - still.astype(np.float32)).max(initial=0.0)) + _ROUNDING_MM


def _touched(inside: npt.NDArray[np.bool_]) -> Window | None:
    """The smallest window that holds every pixel of a mask."""
    rows = np.flatnonzero(inside.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
