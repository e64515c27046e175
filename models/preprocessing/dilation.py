"""Dilation by a ball (PORCELAIN, methods, "CECT images acquisition": "a fixed-distance dilation strategy").

The ball is the mathematical one: a voxel is set when some voxel of the mask lies within the radius, centre to centre.
SimpleITK's ball is digitised with half a voxel more, and its exact way, a distance map, is many times slower.
"""

import math
from typing import Final

import numpy as np

from node.domain.imaging import BoolArray

# A radius that is a whole number must reach exactly that far, whatever the square root rounds to.
_ROUNDING: Final = 1e-9


def reach(radius_voxels: float) -> int:
    """By how many voxels a ball of this radius lengthens a mask at either side."""
    return math.floor(radius_voxels + _ROUNDING)


def dilated(mask: BoolArray, radius_voxels: float) -> BoolArray:
    """``mask`` [slice, row, column] dilated by a ball, in an array of the same shape: what would lie outside is lost.

    A ball is a stack of discs and a disc a stack of rods, so each voxel is looked at once a rod, not once a voxel of
    the ball.
    """
    size = reach(radius_voxels)
    rods = _rods(mask, size)
    result = np.zeros_like(mask)
    for distance in range(size + 1):
        disc = _disc(rods, _half_chord(radius_voxels, distance))
        for offset in {distance, -distance}:
            _join(result, disc, 0, offset)
    return result


def _rods(mask: BoolArray, size: int) -> list[BoolArray]:
    """``mask`` lengthened along the columns by 0, 1, ... ``size`` voxels at either side."""
    rods = [mask]
    for offset in range(1, size + 1):
        rod = rods[-1].copy()
        _join(rod, mask, 2, offset)
        _join(rod, mask, 2, -offset)
        rods.append(rod)
    return rods


def _disc(rods: list[BoolArray], radius: float) -> BoolArray:
    """The mask dilated in the plane by a disc, from its rods."""
    disc = np.zeros_like(rods[0])
    for offset in range(-reach(radius), reach(radius) + 1):
        _join(disc, rods[reach(_half_chord(radius, offset))], 1, offset)
    return disc


def _half_chord(radius: float, distance: int) -> float:
    """Half the chord of a circle at ``distance`` from its centre."""
    return math.sqrt(max(radius**2 - distance**2, 0.0))


def _join(target: BoolArray, source: BoolArray, axis: int, offset: int) -> None:
    """Set in ``target`` what is set in ``source`` moved by ``offset`` along ``axis``."""
    length = target.shape[axis] - abs(offset)
    if length <= 0:
        return
    to, of = [slice(None)] * 3, [slice(None)] * 3
    to[axis] = slice(max(offset, 0), max(offset, 0) + length)
    of[axis] = slice(max(-offset, 0), max(-offset, 0) + length)
    np.logical_or(target[tuple(to)], source[tuple(of)], out=target[tuple(to)])
