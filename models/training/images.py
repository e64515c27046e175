"""CT volumes and masks of a cohort from the researcher's files, through SimpleITK; all in LPS millimetres."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK

from models.preprocessing.itk import from_itk
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.imaging import BoolArray, Volume
from node.errors import UsageError

_SAME_MM: Final = 1e-2
_SAME_COSINE: Final = 1e-4
_EVEN_WITHIN: Final = 0.01
"""The share of the slice spacing by which gaps may differ."""
_POSITION: Final = "0020|0032"
_AXES: Final = 3

SimpleITK.ProcessObject_SetGlobalWarningDisplay(False)  # noqa: FBT003  the library's own signature; we check ourselves


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels of a file lie."""

    size_xyz: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    def difference(self, other: "Grid") -> str:
        """In what the two differ; empty when they are the same grid."""
        if self.size_xyz != other.size_xyz:
            return f"size {self.size_xyz} against {other.size_xyz}"
        for what, mine, theirs, within in (
            ("spacing", self.spacing_mm, other.spacing_mm, _SAME_MM),
            ("origin", self.origin_mm, other.origin_mm, _SAME_MM),
            ("direction", self.direction, other.direction, _SAME_COSINE),
        ):
            if not np.allclose(mine, theirs, rtol=0.0, atol=within):
                return f"{what} {_short(mine)} against {_short(theirs)}"
        return ""


def grid_of(path: Path) -> Grid:
    """The grid of a file or of a folder with one DICOM series, from headers alone; UsageError when there is none."""
    if path.is_dir():
        image = _read_series(path)  # ITK builds the grid of a series from all of its files
        return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UsageError("cannot be read as an image") from error
    if reader.GetDimension() != _AXES or reader.GetNumberOfComponents() != 1:
        raise UsageError(
            f"has {reader.GetDimension()} axes and {reader.GetNumberOfComponents()} components, not 3 and 1"
        )
    return Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())


def read_volume(path: Path) -> Volume:
    """The CT in HU; UsageError when it cannot be read."""
    return from_itk(_read(path), FrameOfReferenceUID.derived("cohort", str(path)))


def read_labels(path: Path) -> npt.NDArray[Any]:
    """The numbers of a mask, as [slice, row, column] of ``read_volume``; UsageError when it cannot be read."""
    labels: npt.NDArray[Any] = SimpleITK.GetArrayFromImage(_read(path))
    return labels


def read_mask(path: Path) -> BoolArray:
    """Where the mask is not 0, as [slice, row, column] of ``read_volume``; UsageError when it cannot be read."""
    mask: BoolArray = read_labels(path) != 0
    return mask


def _read(path: Path) -> Any:
    """A file or a folder's series along the axes of LPS: files of voxels may store a body along any.

    A series is turned as a file is, for the mask of the one may be the other.
    """
    try:
        image = _read_series(path) if path.is_dir() else SimpleITK.ReadImage(str(path))
        return SimpleITK.DICOMOrient(image, "LPS")
    except RuntimeError as error:
        raise UsageError(f"{path}: cannot be read as an image") from error


def _read_series(folder: Path) -> Any:
    """The one DICOM series in a folder; a series with a gap would be read as if it had none, and is refused."""
    series = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise UsageError(f"the folder holds {len(series)} DICOM series, not one")
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    _check_even(files)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise UsageError("the series cannot be read as one volume") from error


def _check_even(files: Sequence[str]) -> None:
    """UsageError when slices are not equally far apart."""
    positions = np.array([_position(file) for file in files])
    gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if gaps.size and np.ptp(gaps) > _EVEN_WITHIN * np.median(gaps) + _SAME_MM:
        raise UsageError(f"the slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart: one is missing or doubled")


def _position(file: str) -> list[float]:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
        return [float(part) for part in reader.GetMetaData(_POSITION).split("\\")]
    except (RuntimeError, ValueError) as error:
        raise UsageError("a slice of the series has no position") from error


def _short(numbers: Sequence[float]) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"
