"""Lesion masks as a segmenter draws them: a little too large or too small, shifted, with an edge that wavers.

The papers' masks were drawn by radiologists; in use a mask often comes from a network. A model that has seen exact
masks alone reads the texture of what a rough one takes in or leaves out as if it were the lesion's.
"""

import hashlib
from typing import Final

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, shift

from node.domain.imaging import BoolArray

Spacing = tuple[float, float, float]
"""Between slices, rows and columns, in mm."""

MARGIN_MM: Final = 4.0
"""How far beyond the true lesion a rough mask may be expected to reach; further out, a crop cuts it."""
_GROWTH_MM: Final = 2.0
_SHIFT_MM: Final = 1.5
_WAVER_MM: Final = 1.6
_WAVE_LENGTH_MM: Final = 4.0
_LEAST_SHARE: Final = 0.1
"""Of the voxels of a lesion: what a segmenter finds less of it has not found."""
_STREAM: Final = 0x206


def drawn_by(case: str, number: int) -> np.random.Generator:
    """The random stream of rough mask ``number`` of a case, the same wherever and whenever it is prepared."""
    name = int.from_bytes(hashlib.sha256(case.encode()).digest()[:8], "big")
    return np.random.default_rng((_STREAM, name, number))


def roughened(mask: BoolArray, spacing_zyx_mm: Spacing, rng: np.random.Generator) -> BoolArray:
    """``mask`` [slice, row, column] with another edge, or as it is where next to nothing would be left of it.

    The signed distance to the edge is shifted by up to ``_SHIFT_MM`` along each axis, and by up to ``_GROWTH_MM`` as a
    whole; a smooth field of standard deviation ``_WAVER_MM`` is added to it.
    """
    inside = distance_transform_edt(mask, spacing_zyx_mm)
    outside = distance_transform_edt(~mask, spacing_zyx_mm)
    moved = shift(inside - outside, rng.uniform(-_SHIFT_MM, _SHIFT_MM, 3) / spacing_zyx_mm, order=1, mode="nearest")
    field = gaussian_filter(rng.standard_normal(mask.shape), _WAVE_LENGTH_MM / np.array(spacing_zyx_mm))
    waver = field * (_WAVER_MM / field.std())
    rough: BoolArray = moved + waver + rng.uniform(-_GROWTH_MM, _GROWTH_MM) > 0.0
    is_found = np.count_nonzero(rough) >= max(1.0, _LEAST_SHARE * np.count_nonzero(mask))
    return rough if is_found else mask
