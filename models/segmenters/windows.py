"""A sliding window that gives its result strip by strip, so that memory grows with the window and not the series.

Windows overlap and are blended by a weight that falls towards their faces, as MONAI's SlidingWindowInferer does; that
one keeps the sums of all classes for the whole image, which for a long series is gigabytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Read = Callable[[int, int], FloatArray]
"""Planes ``first`` up to ``stop`` of the image, [slice, row, column]."""
Run = Callable[[FloatArray], FloatArray]
"""One window [slice, row, column] to probabilities [class, slice, row, column]."""

OVERLAP: Final = 0.25
_LEAST_WEIGHT: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Finished planes of the image."""

    first: int
    probabilities: FloatArray
    """[class, slice, row, column]; over the classes they sum to one."""


def starts(length: int, window: int, overlap: float = OVERLAP) -> tuple[int, ...]:
    """Where windows begin along an axis, so that they cover it and the last ends with it."""
    if length <= window:
        return (0,)
    step = max(1, int(window * (1.0 - overlap)))
    return (*range(0, length - window, step), length - window)


def sweep(
    read: Read, shape_zyx: tuple[int, int, int], window_zyx: tuple[int, int, int], run: Run, overlap: float = OVERLAP
) -> Iterator[Strip]:
    """The probabilities of the whole image in strips, in order and without gaps.

    An image smaller than the window is filled up with copies of its last voxels, which are cut off again.

    Raises ValueError for one without a voxel.
    """
    if 0 in shape_zyx:
        raise ValueError("an image without a voxel has no windows")
    depth = window_zyx[0]
    importance = _importance(window_zyx)
    sums: FloatArray | None = None
    total = np.zeros((depth, *shape_zyx[1:]), dtype=np.float32)
    places = starts(shape_zyx[0], depth, overlap)
    for at, following in zip(places, (*places[1:], shape_zyx[0]), strict=True):
        slab = read(at, min(at + depth, shape_zyx[0]))
        for y in starts(shape_zyx[1], window_zyx[1], overlap):
            for x in starts(shape_zyx[2], window_zyx[2], overlap):
                part = slab[:, y : y + window_zyx[1], x : x + window_zyx[2]]
                found = run(_filled(part, window_zyx))
                if sums is None:
                    sums = np.zeros((found.shape[0], depth, *shape_zyx[1:]), dtype=np.float32)
                k, rows, columns = part.shape
                weight = importance[:k, :rows, :columns]
                sums[:, :k, y : y + rows, x : x + columns] += found[:, :k, :rows, :columns] * weight
                total[:k, y : y + rows, x : x + columns] += weight
        if sums is None:  # the axes above have one place each at least
            return
        done = following - at
        yield Strip(at, sums[:, :done] / total[:done])
        _move_on(sums, total, done)


def _move_on(sums: FloatArray, total: FloatArray, done: int) -> None:
    """Drop the finished planes; what is begun moves to the front."""
    kept = total.shape[0] - done
    if kept > 0:
        sums[:, :kept] = sums[:, done : done + kept].copy()
        total[:kept] = total[done : done + kept].copy()
    sums[:, max(0, kept) :] = 0.0
    total[max(0, kept) :] = 0.0


def _filled(part: FloatArray, window_zyx: tuple[int, int, int]) -> FloatArray:
    missing = [(0, side - size) for side, size in zip(window_zyx, part.shape, strict=True)]
    return np.pad(part, missing, mode="edge") if any(after for _, after in missing) else part


def _importance(window_zyx: tuple[int, int, int]) -> FloatArray:
    """The weight of each voxel of a window: a hat along each axis, nowhere nought."""
    z, y, x = (_hat(side) for side in window_zyx)
    weight: FloatArray = z[:, None, None] * y[None, :, None] * x[None, None, :]
    return weight


def _hat(side: int) -> FloatArray:
    middle = 0.5 * (side - 1)
    hat = 1.0 - np.abs(np.arange(side) - middle) / (middle + 1.0)
    weight: FloatArray = np.maximum(hat, _LEAST_WEIGHT).astype(np.float32)
    return weight
