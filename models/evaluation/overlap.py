"""How far two masks of one lesion agree: Dice, and the distances between their surfaces in millimetres.

A surface is the voxels of a mask that touch its outside by a face; distances are from voxel centre to voxel centre, by
SciPy's Euclidean distance transform with the grid's spacing. The measures are those of Maier-Hein et al. (Metrics
Reloaded, Nat Methods 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.stats import t

from models.evaluation.estimate import TAILS, Bools, Estimate, Floats, Source, nothing
from node.errors import UsageError

SpacingMm = tuple[float, float, float]
"""Slice, row, column: along the axes of the masks."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of one pair of masks."""

    dice: float
    mean_surface_mm: float
    """The mean over both surfaces of the distance to the other."""
    hausdorff_mm: float
    hausdorff_95_mm: float
    """The larger of the two surfaces' 95th percentiles."""


def overlap(first: Bools, second: Bools, spacing_mm: SpacingMm) -> Overlap:
    """The agreement of two masks on one grid; UsageError when the grids differ or a mask is empty."""
    if first.shape != second.shape:
        raise UsageError(f"masks of {first.shape} and {second.shape} voxels are not on one grid")
    if not first.any() or not second.any():
        raise UsageError("an empty mask has no surface: count such cases apart")
    box = _box(first | second)
    there, back = _distances(first[box], second[box], spacing_mm), _distances(second[box], first[box], spacing_mm)
    return Overlap(
        dice=float(2 * (first & second).sum() / (first.sum() + second.sum())),
        mean_surface_mm=float(np.concatenate((there, back)).mean()),
        hausdorff_mm=float(max(there.max(), back.max())),
        hausdorff_95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean over cases of a measure, with Student's interval."""
    if len(values) <= 1:
        return nothing(Source.SCIPY, "a mean of one case has no interval", len(values))
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / np.sqrt(len(values))
    low, high = (float(mean + end * error) for end in t.ppf(TAILS, len(values) - 1))
    return Estimate(mean, low, high, len(values), "Student", Source.SCIPY)


def _box(mask: Bools) -> tuple[slice, ...]:
    """Where ``mask`` lies: distances need no more of the grid."""
    return tuple(
        slice(int(where.min()), int(where.max()) + 1)
        for where in (np.flatnonzero(mask.any(axis=tuple(set(range(mask.ndim)) - {axis}))) for axis in range(mask.ndim))
    )


def _distances(first: Bools, second: Bools, spacing_mm: SpacingMm) -> Floats:
    """From each voxel of the first surface to the nearest of the second."""
    far: Floats = distance_transform_edt(~_surface(second), sampling=spacing_mm)
    return far[_surface(first)]


def _surface(mask: Bools) -> Bools:
    surface: Bools = mask & ~binary_erosion(mask)
    return surface
