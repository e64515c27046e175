"""The 1 x 1 x 1 mm grid of PORCELAIN's ROIex variants, and the way back to the CT's own grid.

Source: PORCELAIN, methods: "All images were resampled to 1 x 1 x 1 mm prior to dilation to maintain consistent
physical dimensions". The grid has the CT's axes and its first voxel's centre as index 0, and covers the CT's voxels to
their outer faces. Only the part that is asked for is computed, and it is the same as that part of the whole.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import starmap

import numpy as np
import SimpleITK

from models.preprocessing.box import Box, extent
from node.domain.imaging import BoolArray, FloatArray, Geometry, HuArray, Vector

Index = tuple[int, int, int]
_MILLIMETRE: Vector = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class IsotropicGrid:
    """The 1 mm grid over a CT of ``shape_zyx`` voxels of ``spacing_zyx_mm``; its indices are millimetres."""

    shape_zyx: Index
    spacing_zyx_mm: Vector

    @classmethod
    def over(cls, geometry: Geometry) -> "IsotropicGrid":
        """The grid over a volume of this geometry."""
        x, y, z = geometry.spacing_xyz_mm
        return cls(geometry.shape_zyx, (z, y, x))

    @property
    def limits(self) -> Box:
        """The indices that lie in the CT."""
        return self.within(_box((0, n) for n in self.shape_zyx))

    def within(self, native: Box) -> Box:
        """The indices that lie in the voxels of a box of the CT."""
        return _box(
            (math.ceil((axis.start - 0.5) * mm), math.ceil((axis.stop - 0.5) * mm))
            for axis, mm in zip(native, self.spacing_zyx_mm, strict=True)
        )

    def native_within(self, box: Box) -> Box:
        """The voxels of the CT whose centres lie in a box of this grid."""
        return _box(
            (max(math.ceil((axis.start - 0.5) / mm), 0), min(math.ceil((axis.stop - 0.5) / mm), n))
            for axis, mm, n in zip(box, self.spacing_zyx_mm, self.shape_zyx, strict=True)
        )

    def nearest(self, mask: BoolArray, native: Box) -> BoolArray:
        """The mask of the CT on ``within(native)``, each point with the value of the voxel that it lies in."""
        indices = (
            np.clip(np.floor(np.arange(wide.start, wide.stop) / mm + 0.5).astype(np.intp), axis.start, axis.stop - 1)
            for wide, axis, mm in zip(self.within(native), native, self.spacing_zyx_mm, strict=True)
        )
        taken: BoolArray = mask[np.ix_(*indices)]
        return taken

    def linear(self, hu: HuArray, box: Box) -> HuArray:
        """The CT on a box of this grid, interpolated linearly; beyond its outermost centres, the value there."""
        needed = _box(
            (max(math.floor(axis.start / mm), 0), min(math.ceil((axis.stop - 1) / mm) + 1, n))
            for axis, mm, n in zip(box, self.spacing_zyx_mm, self.shape_zyx, strict=True)
        )
        return _resampled(hu[needed], needed, self.spacing_zyx_mm, box, _MILLIMETRE)

    def back(self, values: FloatArray, box: Box) -> tuple[FloatArray, Index]:
        """Values on a box of this grid, linearly on the CT's own voxels, and the index of the first of these."""
        native = self.native_within(box)
        first = (native[0].start, native[1].start, native[2].start)
        return _resampled(values, box, _MILLIMETRE, native, self.spacing_zyx_mm), first


def _box(ranges: Iterable[tuple[int, int]]) -> Box:
    """Half-open ranges of slices, rows, columns as slices."""
    slices, rows, columns = starmap(slice, ranges)
    return slices, rows, columns


def _resampled(values: FloatArray, source: Box, source_mm: Vector, target: Box, target_mm: Vector) -> FloatArray:
    """``values`` on the indices ``source`` of one grid, linearly on the indices ``target`` of another.

    Both grids have the same axes and the same index 0, so that positions are indices times spacings.
    """
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(source_mm[::-1])
    image.SetOrigin(_position(source, source_mm))
    slices, rows, columns = extent(target)
    resampled = SimpleITK.Resample(
        image,
        (columns, rows, slices),
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        _position(target, target_mm),
        target_mm[::-1],
        image.GetDirection(),
    )
    array: FloatArray = SimpleITK.GetArrayFromImage(resampled)
    return array


def _position(box: Box, spacing_mm: Vector) -> list[float]:
    """Where a box begins, in mm as x, y, z."""
    return [axis.start * mm for axis, mm in zip(box, spacing_mm, strict=True)][::-1]
