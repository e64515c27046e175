"""Planes of a CT on another grid: GTRNet's resampling of the slices that it reads.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "CT imaging protocol and image preprocessing": "resampling to
isotropic 1 x 1 x 1 mm3 voxel spacing"; "resampled to a resolution of 224 x 224 pixels". Only the voting planes are
resampled: the network sees no other, and their neighbours are the native ones.
"""

import numpy as np
from PIL import Image

from node.domain.imaging import FloatArray


def resized(plane: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """[row, column] as ``shape``, bilinearly, averaging over what one new pixel covers; the field of view stays."""
    rows, columns = shape
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    array: FloatArray = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR), dtype=np.float32)
    return array


def at_spacing(planes: FloatArray, spacing_mm: tuple[float, float], wanted_mm: float) -> FloatArray:
    """[plane, row, column] with ``spacing_mm`` between rows and between columns, on pixels of ``wanted_mm``.

    The field of view is kept, so that a place in the picture stays the same fraction of it; a pixel is ``wanted_mm`` to
    within half a pixel over the whole field.
    """
    rows, columns = (
        max(1, round(size * spacing / wanted_mm)) for size, spacing in zip(planes.shape[1:], spacing_mm, strict=True)
    )
    return np.stack([resized(plane, (rows, columns)) for plane in planes])
