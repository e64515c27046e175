"""Another grid along the same axes: linear interpolation, and averaging where the new steps are wider than the old.

Separable, so a plane is two small matrix products, and any part of the new grid can be made without the rest of it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
_KEPT_PLANES: Final = 4
_NARROW: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Axis:
    """Equally spaced points along one axis, in mm from wherever all axes of one patient count."""

    first_mm: float
    step_mm: float
    count: int

    @classmethod
    def covering(cls, other: "Axis", step_mm: float) -> Self:
        """The axis of ``step_mm`` that covers the cells of ``other``, centred on them."""
        length = other.step_mm * other.count
        count = max(1, round(length / step_mm))
        middle = other.first_mm + 0.5 * other.step_mm * (other.count - 1)
        return cls(middle - 0.5 * step_mm * (count - 1), step_mm, count)

    def part(self, first: int, stop: int) -> "Axis":
        """The points ``first`` up to ``stop``."""
        return Axis(self.first_mm + first * self.step_mm, self.step_mm, stop - first)

    def range_of(self, low_mm: float, high_mm: float) -> tuple[int, int]:
        """The points whose cells meet the interval, as a half-open range that is never empty."""
        first = int(np.floor((low_mm - self.first_mm) / self.step_mm + 0.5))
        stop = int(np.ceil((high_mm - self.first_mm) / self.step_mm + 0.5))
        first = min(max(0, first), self.count - 1)
        return first, min(max(first + 1, stop), self.count)

    @property
    def ends_mm(self) -> tuple[float, float]:
        """Where its cells begin and end."""
        half = 0.5 * self.step_mm
        return self.first_mm - half, self.first_mm + self.step_mm * (self.count - 1) + half


Grid = tuple[Axis, Axis, Axis]
"""z, y, x."""


def grid_of(shape_zyx: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float]) -> Grid:
    """The grid of an array whose first voxel's centre is the origin."""
    z, y, x = (Axis(0.0, step, count) for step, count in zip(spacing_zyx_mm, shape_zyx, strict=True))
    return z, y, x


@lru_cache(maxsize=64)
def weights(source: Axis, target: Axis) -> Matrix:
    """(target, source): rows that sum to one; beyond the ends the nearest point speaks."""
    low, high = source.first_mm, source.first_mm + source.step_mm * (source.count - 1)
    at = np.clip(target.first_mm + target.step_mm * np.arange(target.count), low, high)
    points = low + source.step_mm * np.arange(source.count)
    # A hat as wide as the wider step: interpolation one way, a weighted mean the other.
    hat = 1.0 - np.abs(at[:, None] - points[None]) / max(source.step_mm, target.step_mm)
    hat = np.maximum(hat, 0.0)
    rows: Matrix = (hat / np.maximum(hat.sum(axis=1, keepdims=True), _NARROW)).astype(np.float32)
    rows.setflags(write=False)
    return rows


class Regridded:
    """An array on another grid, made slab by slab. Holds a few planes, whatever the size of the array."""

    def __init__(self, array: npt.NDArray[Any], source: Grid, target: Grid) -> None:
        self._array = array
        self._along = weights(source[0], target[0])
        rows, columns = weights(source[1], target[1]), weights(source[2], target[2])
        # What lies outside the target's box is not even read.
        self._row_span, self._column_span = _span(rows), _span(columns)
        self._rows, self._columns = rows[:, self._row_span], np.ascontiguousarray(columns[:, self._column_span].T)
        self._planes: dict[int, Matrix] = {}
        self.shape = (target[0].count, target[1].count, target[2].count)

    def slab(self, first: int, stop: int) -> Matrix:
        """Planes ``first`` up to ``stop`` of the new grid, [slice, row, column]."""
        slab = np.zeros((stop - first, *self.shape[1:]), dtype=np.float32)
        for number, row in enumerate(self._along[first:stop]):
            for index in np.flatnonzero(row):
                slab[number] += row[index] * self._plane(int(index))
        return slab

    def _plane(self, index: int) -> Matrix:
        """One plane of the array in the rows and columns of the new grid; the last few are kept."""
        if index not in self._planes:
            while len(self._planes) >= _KEPT_PLANES:
                del self._planes[next(iter(self._planes))]
            plane = np.asarray(self._array[index, self._row_span, self._column_span], dtype=np.float32)
            self._planes[index] = (self._rows @ plane @ self._columns).astype(np.float32, copy=False)
        return self._planes[index]


def _span(matrix: Matrix) -> slice:
    used = np.flatnonzero(matrix.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1)
