"""Smooth random fields on coarse lattices: the same value at the same place in space, whatever part is asked for.

A field is white Gaussian noise on a cubic lattice, interpolated by cubic B-splines. Voxel grids are parallel to the
axes, so a plane costs four taps an axis. No linear algebra library and no transcendental function is used: results do
not depend on threads or on how an image is cut into boxes.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Axis = npt.NDArray[np.float64]

_TAPS: Final = 4
_VARIANCE_KEPT: Final = 0.479365
"""Mean over a cell of the sum of squared cubic B-spline weights: what interpolation leaves of white noise, an axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A random field with mean 0 and (on average) variance 1; features are about 1.5 steps across."""

    origin_mm: tuple[float, float, float]
    """The first lattice point (z, y, x)."""
    step_mm: float
    values: npt.NDArray[np.float32]
    """[z, y, x]; outside, the last cell goes on."""

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        step_mm: float,
        lowest_mm: tuple[float, float, float],
        highest_mm: tuple[float, float, float],
    ) -> Self:
        """A field over the box between two corners (z, y, x)."""
        origin = (lowest_mm[0] - step_mm, lowest_mm[1] - step_mm, lowest_mm[2] - step_mm)
        shape = [int((high - low) / step_mm) + _TAPS + 1 for low, high in zip(lowest_mm, highest_mm, strict=True)]
        values = rng.standard_normal(shape) / _VARIANCE_KEPT**1.5
        return cls(origin, step_mm, values.astype(np.float32))

    def plane(self, z_mm: float, y_mm: Axis, x_mm: Axis) -> Plane:
        """The field on the plane ``z_mm`` at every (row, column) of the two axes."""
        (at_z, weight_z) = self._taps(np.array([z_mm]), 0)
        flat = sum(self.values[at_z[k, 0]] * weight_z[k, 0] for k in range(_TAPS))
        (at_x, weight_x) = self._taps(x_mm, 2)
        columns = sum(flat[:, at_x[k]] * weight_x[k] for k in range(_TAPS))
        (at_y, weight_y) = self._taps(y_mm, 1)
        field = np.zeros((len(y_mm), len(x_mm)), np.float32)
        for k in range(_TAPS):  # the long axis last: whole rows lie together in memory
            part = columns[at_y[k]]
            part *= weight_y[k][:, None]
            field += part
        return field

    def _taps(self, axis_mm: Axis, dimension: int) -> tuple[npt.NDArray[np.intp], Plane]:
        """Indices and B-spline weights [tap, position]."""
        where = np.clip(
            (np.asarray(axis_mm, np.float64) - self.origin_mm[dimension]) / self.step_mm,
            1.0,
            self.values.shape[dimension] - 2.001,
        )
        base = where.astype(np.intp)
        t = where - base
        rest = 1.0 - t
        weights = (
            rest * rest * rest / 6.0,
            (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
            (3.0 * rest * rest * rest - 6.0 * rest * rest + 4.0) / 6.0,
            t * t * t / 6.0,
        )
        return np.stack([base + k - 1 for k in range(_TAPS)]), np.stack(weights).astype(np.float32)
