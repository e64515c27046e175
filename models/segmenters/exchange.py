"""A volume on its way to another program and its label map on the way back: NIfTI files in a private folder.

NIfTI counts its axes to the right, the front and the head; SimpleITK turns them. A label map that does not lie on the
volume's own grid is refused: placed by its numbers alone it would mark something else.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 — as the field calls it

from node.domain.imaging import Geometry, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused, of_disk

NEAR_MM: Final = 0.05
"""How far the corners of a label map may lie from the volume's; the program's header may be in single precision."""
_MOST_LABEL: Final = 255
_STORED_HU: Final = (-32768.0, 32767.0)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that nobody else may read, gone afterwards. Raises Retryable when the disk gives none."""
    try:
        with tempfile.TemporaryDirectory(prefix="celadon-") as name:
            yield Path(name)
    except OSError as error:
        raise of_disk(error, "a folder for a segmentation program cannot be made") or error from error


def write_nifti(volume: Volume, file: Path) -> None:
    """The volume in whole HU, with its place in the patient, and nothing else that speaks of the patient.

    Raises Retryable when the disk does not take it.
    """
    # Whole numbers: half the bytes, and what scanners give; what metal adds beyond them must not come out as air.
    image = sitk.GetImageFromArray(np.rint(np.clip(volume.hu, *_STORED_HU)).astype(np.int16))
    geometry = volume.geometry
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_lps_mm)
    image.SetDirection(np.asarray(geometry.direction, dtype=np.float64).T.ravel().tolist())
    try:
        sitk.WriteImage(image, str(file))
    except RuntimeError as error:
        raise (
            of_disk(OSError(28, "no room"), "a volume cannot be written for a segmentation program") or error
        ) from error


def read_labels(file: Path, geometry: Geometry, program: str) -> npt.NDArray[np.uint8]:
    """The label map in ``file``, [slice, row, column] on the grid of ``geometry``.

    Raises Refused: SEGMENTER_FAILED when there is none that can be read, ROI_GEOMETRY when it lies elsewhere.
    """
    if not file.is_file() or file.is_symlink():
        raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program} wrote no label map")
    try:
        image = sitk.ReadImage(str(file))
    except RuntimeError as error:
        raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program}: its label map cannot be read") from error
    if image.GetDimension() != len(geometry.shape_zyx) or image.GetNumberOfComponentsPerPixel() != 1:
        raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program}: its label map is no volume")
    array = sitk.GetArrayFromImage(image)
    if array.shape != geometry.shape_zyx or _corners_apart(image, geometry) > NEAR_MM:
        raise Refused(ReasonCode.ROI_GEOMETRY, f"{program}: its label map is not on the grid of the series")
    return as_labels(array, program)


def as_labels(array: npt.NDArray[np.generic], program: str) -> npt.NDArray[np.uint8]:
    """Label numbers, whatever type they come in; Refused(SEGMENTER_FAILED) for what are none."""
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > _MOST_LABEL:
        raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program}: its label map holds other numbers than labels")
    labels: npt.NDArray[np.uint8] = array.astype(np.uint8)
    if (labels != array).any():
        raise Refused(ReasonCode.SEGMENTER_FAILED, f"{program}: its label map holds numbers that are not whole")
    return labels


def _corners_apart(image: sitk.Image, geometry: Geometry) -> float:
    """The largest distance of a corner of the label map from that of the volume, in mm."""
    slices, rows, columns = geometry.shape_zyx
    corners = [(x, y, z) for x in (0, columns - 1) for y in (0, rows - 1) for z in (0, slices - 1)]
    theirs = np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners])
    ours = geometry.to_lps_mm(np.array(corners, dtype=np.float64))
    return float(np.linalg.norm(theirs - ours, axis=1).max())
