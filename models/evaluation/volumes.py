"""Images of a cohort that are no DICOM: NIfTI, MHA and what else SimpleITK reads, as axial volumes in LPS millimetres.

Such files may store a body along any axes; they are brought to the order of a CT series (to the left, the back, the
head) without interpolation. They say nothing of units, so what cannot be Hounsfield units is refused.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK

from models.preprocessing.itk import from_itk
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import BoolArray, Geometry, HuArray, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused

SUFFIXES: Final = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
"""What counts as such a file; everything else is looked at as DICOM."""
_AXES: Final = 3
_GREY_LEVELS: Final = 255.0
_BRIGHTEST_TISSUE_HU: Final = 500.0

SimpleITK.ProcessObject_SetGlobalWarningDisplay(False)  # noqa: FBT003 — the library's own signature; we check ourselves


def is_volume_file(path: Path) -> bool:
    """Whether ``path`` is named as a file that this module reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_ct(path: Path, frame: FrameOfReferenceUID) -> Volume:
    """The CT in HU, without instances; Refused: UNDECODABLE, NOT_AN_IMAGE, or NO_RESCALE for what is not in HU."""
    volume = from_itk(_read(path), frame)
    if why := _no_hounsfield(volume.hu):
        raise Refused(ReasonCode.NO_RESCALE, why)
    return volume


def read_mask(path: Path, frame: FrameOfReferenceUID) -> tuple[BoolArray, Geometry]:
    """Where the mask is not 0, on its own grid; Refused as above."""
    found = from_itk(_read(path), frame)
    return found.hu != 0, found.geometry


def _no_hounsfield(values: HuArray) -> str:
    """Why numbers cannot be in HU; empty when they can. Air and fat are below 0 and in nearly every image."""
    if values.min() < 0:
        return ""
    if values.max() <= _GREY_LEVELS:
        return "all voxels lie between 0 and 255: a windowed picture, no Hounsfield units"
    if np.median(values) > _BRIGHTEST_TISSUE_HU:
        return "no voxel is below 0, and half of them are brighter than any tissue: an offset was left out"
    return ""


def _read(path: Path) -> Any:
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise Refused(ReasonCode.UNDECODABLE, f"{path.name} cannot be read as an image") from error
    if image.GetDimension() != _AXES or image.GetNumberOfComponentsPerPixel() != 1:
        shape = f"{image.GetDimension()} axes and {image.GetNumberOfComponentsPerPixel()} components"
        raise Refused(ReasonCode.NOT_AN_IMAGE, f"{path.name} has {shape}, not 3 and 1")
    return SimpleITK.DICOMOrient(image, "LPS")
