"""The lesion as PORCELAIN's encoder reads it, in each of the paper's ways, and the way back to the CT's voxels.

Source: PORCELAIN, methods, "CECT images acquisition and preprocessing": Cuboid, Masked-cuboid (ROI) and, at 1 mm, ROI
dilated by a fixed distance (ROIex). Each step is a function of its own; here is their order. Nothing outside the
lesion's surroundings is touched, so the cost does not grow with the CT.
"""

from dataclasses import dataclass

import numpy as np

from models.preprocessing.box import Box, cut, extent, grown, smallest_box
from models.preprocessing.dilation import dilated, reach
from models.preprocessing.fitting import Fit, Shape
from models.preprocessing.isotropic import IsotropicGrid
from models.preprocessing.masking import masked
from models.preprocessing.window import clip
from models.preprocessing.zscore import zscore
from node.domain.imaging import BoolArray, FloatArray, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused

Window = tuple[float, float]
"""HU from, to."""


@dataclass(frozen=True, slots=True)
class Region:
    """Which voxels around a lesion a model reads."""

    is_masked: bool
    """Whether voxels outside the mask are set to zero; otherwise the whole box counts."""
    dilation_mm: float | None = None
    """By how much the mask is dilated, on a 1 mm grid; None: not dilated, on the CT's own voxels."""


@dataclass(frozen=True, slots=True, eq=False)
class LesionImage:
    """The encoder's input for one lesion."""

    values: FloatArray
    """[slice, row, column] of the encoder's shape, z-scored over what the model reads, 0 elsewhere."""
    lost_fraction: float
    """The part of the lesion's voxels, on the grid that the model reads, that the crop left out."""
    fit: Fit
    box: Box
    """What was fitted, on the CT's grid or on the 1 mm grid."""
    grid: IsotropicGrid | None
    """The 1 mm grid; None: the CT's own."""

    def on_volume(self, values: FloatArray) -> tuple[FloatArray, tuple[int, int, int]]:
        """A map of the encoder's shape on the CT's own voxels, without the padding, and the index of the first."""
        inner, kept = self.fit.undo(values), self.fit.within(self.box)
        if self.grid is not None:
            return self.grid.back(inner, kept)
        return inner, (kept[0].start, kept[1].start, kept[2].start)


def prepare(volume: Volume, mask: BoolArray, region: Region, window: Window, shape: Shape) -> LesionImage:
    """The lesion ``mask`` of ``volume`` as the encoder's input of ``shape`` (slices, rows, columns).

    Raises Refused: ROI_EMPTY when no voxel of it is left, INPUT_CONTRACT when there is nothing to normalise by.
    """
    box = smallest_box(mask)
    if region.dilation_mm is None:
        return _native(volume, mask[box], box, region, window, shape)
    return _dilated(volume, mask, box, region.dilation_mm, window, shape)


def _native(volume: Volume, inside: BoolArray, box: Box, region: Region, window: Window, shape: Shape) -> LesionImage:
    """Cuboid and ROI: native voxels; ``inside`` is the mask on its smallest box."""
    fit = Fit.between(extent(box), shape)
    lost = _lost(inside[fit.kept], inside)
    read = inside[fit.kept] if region.is_masked else np.ones(extent(fit.kept), dtype=bool)
    values = _normalised(volume.hu[fit.within(box)], read, window)
    return LesionImage(fit.place(values), lost, fit, box, None)


def _dilated(
    volume: Volume, mask: BoolArray, native: Box, radius_mm: float, window: Window, shape: Shape
) -> LesionImage:
    """ROIex: to 1 mm, dilated, then as ROI. HU are interpolated before the window clips them."""
    grid = IsotropicGrid.over(volume.geometry)
    first = grid.within(native)
    on_grid = grid.nearest(mask, native)
    tight = smallest_box(on_grid)
    lesion = _moved(tight, first)
    inside = on_grid[tight]
    margin = reach(radius_mm)
    box = grown(lesion, margin, grid.limits)
    fit = Fit.between(extent(box), shape)
    kept = fit.within(box)
    lost = _lost(cut(inside, lesion, kept), inside)
    # A voxel of the lesion that the crop leaves out may still reach into what is kept.
    around = dilated(cut(inside, lesion, grown(kept, margin)), radius_mm)
    read = cut(around, grown(kept, margin), kept)
    values = _normalised(grid.linear(volume.hu, kept), read, window)
    return LesionImage(fit.place(values), lost, fit, box, grid)


def _lost(kept: BoolArray, inside: BoolArray) -> float:
    """The part of the lesion ``inside`` that is not ``kept``; Refused when nothing is."""
    left = int(np.count_nonzero(kept))
    if left == 0:
        raise Refused(ReasonCode.ROI_EMPTY, f"no voxel of the region is left after the centre crop of {inside.shape}")
    return 1.0 - left / int(np.count_nonzero(inside))


def _normalised(hu: FloatArray, read: BoolArray, window: Window) -> FloatArray:
    """Window, mask, z-score (eq. 1)."""
    return zscore(masked(clip(hu, window), read), read)


def _moved(box: Box, by: Box) -> Box:
    """``box``, whose indices count from the start of ``by``, in the indices of ``by``."""
    slices, rows, columns = (
        slice(axis.start + origin.start, axis.stop + origin.start) for axis, origin in zip(box, by, strict=True)
    )
    return slices, rows, columns
