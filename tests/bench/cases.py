"""A CT with a lesion, of the size that hospitals send: what the predictors are timed on."""

from functools import cache
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID
from node.domain.imaging import Geometry, Roi, Volume
from node.domain.prediction import Case

SHAPE: Final = (120, 512, 512)
SPACING_XYZ_MM: Final = (0.75, 0.75, 2.0)
_LESION_CENTRE: Final = (60, 250, 230)
_LESION_RADII: Final = (9, 24, 22)


@cache
def case_for(anatomy: Anatomy) -> Case:
    """120 slices of 512 x 512 with an ellipsoid of about 36 x 36 x 33 mm; some clinical values are known."""
    geometry = Geometry(
        shape_zyx=SHAPE,
        spacing_xyz_mm=SPACING_XYZ_MM,
        origin_lps_mm=(-190.0, -190.0, 0.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        frame_of_reference_uid=FrameOfReferenceUID.derived("bench"),
    )
    uids = tuple(InstanceUID.derived("bench", str(index)) for index in range(SHAPE[0]))
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    mask = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, _LESION_CENTRE, _LESION_RADII, strict=True)) <= 1.0
    known = ClinicalRecord(
        (
            ClinicalValue(ClinicalVariable.AGE, 63.0, "a", "bench"),
            ClinicalValue(ClinicalVariable.SEX, "M", "", "bench"),
        )
    )
    return Case(Volume(_hu(), geometry, uids), Roi(mask, geometry, anatomy, "lesion", "bench"), known)


@cache
def _hu() -> np.ndarray:
    """A body of soft tissue with texture, in air."""
    slices, rows, columns = SHAPE
    random = np.random.default_rng(7)
    texture = gaussian_filter(random.standard_normal((rows, columns), dtype=np.float32), 1.5)
    y, x = np.ogrid[-1.0 : 1.0 : rows * 1j, -1.0 : 1.0 : columns * 1j]
    plane = np.where(1.6 * y**2 + x**2 < 0.8, 90.0 + 120.0 * texture, -1000.0).astype(np.float32)
    hu = np.empty(SHAPE, dtype=np.float32)
    for index in range(slices):
        hu[index] = plane + random.normal(0.0, 10.0)
    return hu
