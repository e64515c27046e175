"""A case of nobody: what a predictor is run on once before the first patient."""

from typing import Final

import numpy as np

from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID
from node.domain.imaging import Geometry, Roi, Volume
from node.domain.prediction import Case

_SHAPE: Final = (16, 128, 128)
_SPACING_XYZ_MM: Final = (2.5, 2.5, 4.0)
_AIR_HU: Final = -1000.0
_TISSUE_HU: Final = (80.0, 30.0)


def practice_case(anatomy: Anatomy) -> Case:
    """A cylinder of soft tissue in air (HU, mean 80 and SD 30), with a ball in its middle as the lesion."""
    geometry = Geometry(
        shape_zyx=_SHAPE,
        spacing_xyz_mm=_SPACING_XYZ_MM,
        origin_lps_mm=(0.0, 0.0, 0.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        frame_of_reference_uid=FrameOfReferenceUID.derived("practice"),
    )
    z, y, x = np.ogrid[tuple(slice(-1.0, 1.0, complex(size)) for size in _SHAPE)]
    tissue = np.random.default_rng(0).normal(*_TISSUE_HU, _SHAPE)
    hu = np.where(y**2 + x**2 < 0.7, tissue, _AIR_HU).astype(np.float32)  # noqa: PLR2004  five sixths of the width
    uids = tuple(InstanceUID.derived("practice", str(index)) for index in range(_SHAPE[0]))
    mask = z**2 + y**2 + x**2 < 0.1  # noqa: PLR2004  a third of the width
    return Case(Volume(hu, geometry, uids), Roi(mask, geometry, anatomy, "", "practice"), ClinicalRecord())
