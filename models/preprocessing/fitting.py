"""Fitting a box into a fixed shape by centre crop and zero pad, and back again.

Source: PORCELAIN, methods: "each bounding box volume was center-cropped and/or zero-padded in voxel space".
"""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from models.preprocessing.box import Box

Shape = tuple[int, int, int]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Fit:
    """How a box of one shape sits in a fixed shape: ``kept`` of the box becomes ``placed`` of the fixed shape."""

    shape: Shape
    """The fixed shape as slices, rows, columns."""
    kept: tuple[slice, slice, slice]
    placed: tuple[slice, slice, slice]

    @classmethod
    def between(cls, box: Shape, shape: Shape) -> Self:
        """The centred fit; of an odd difference the larger half lies behind."""
        kept, placed = zip(*(_axis(have, want) for have, want in zip(box, shape, strict=True)), strict=True)
        return cls(shape, kept, placed)

    def apply(self, box: npt.NDArray[T]) -> npt.NDArray[T]:
        """The box in the fixed shape, padded with zeros."""
        return self.place(box[self.kept])

    def place(self, part: npt.NDArray[T]) -> npt.NDArray[T]:
        """The ``kept`` part of the box in the fixed shape, padded with zeros."""
        fitted = np.zeros(self.shape, dtype=part.dtype)
        fitted[self.placed] = part
        return fitted

    def within(self, box: Box) -> Box:
        """The kept part as index ranges, where ``box`` says where the box lies."""
        slices, rows, columns = (
            slice(axis.start + kept.start, axis.start + kept.stop) for axis, kept in zip(box, self.kept, strict=True)
        )
        return slices, rows, columns

    def undo(self, fitted: npt.NDArray[T]) -> npt.NDArray[T]:
        """The part of the fixed shape that came from the box: it has the shape of ``kept``."""
        return fitted[self.placed]


def _axis(have: int, want: int) -> tuple[slice, slice]:
    """What is kept of ``have`` and where it is placed in ``want``."""
    size = min(have, want)
    start, offset = (have - size) // 2, (want - size) // 2
    return slice(start, start + size), slice(offset, offset + size)
