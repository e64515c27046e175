"""Cohorts on disk, small: NIfTI volumes with a mask of a ball, one of them a DICOM series, and a manifest."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from node.domain.imaging import BoolArray
from tests.factories import ct_slice, write

SHAPE = (8, 72, 72)
"""Slices, rows, columns."""
SPACING_XYZ = (0.8, 0.8, 3.0)
Row = dict[str, str]


def lesion(shape: tuple[int, int, int] = SHAPE) -> BoolArray:
    """An ellipsoid in the middle."""
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    scaled = [(axis - (size - 1) / 2) / (size / 3) for axis, size in zip(axes, shape, strict=True)]
    mask: BoolArray = sum(axis**2 for axis in scaled) <= 1.0
    return mask


def save_image(
    file: Path,
    array: np.ndarray,  # type: ignore[type-arg]
    spacing: tuple[float, float, float] = SPACING_XYZ,
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
) -> Path:
    """An array [slice, row, column] as a file."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(file))
    return file


def texture(seed: int, coarse: bool, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:  # type: ignore[type-arg]
    """HU of soft tissue, fine or in blocks of four pixels."""
    rng = np.random.default_rng(seed)
    if not coarse:
        return rng.normal(150.0, 40.0, shape).astype(np.int16)
    slices, rows, columns = shape
    blocks = rng.normal(150.0, 40.0, (slices, rows // 4, columns // 4))
    return np.kron(blocks, np.ones((1, 4, 4))).astype(np.int16)


def case_files(folder: Path, name: str, seed: int, coarse: bool) -> Row:
    """A volume and its mask; the row that names them."""
    save_image(folder / f"{name}.nii.gz", texture(seed, coarse))
    save_image(folder / f"{name}-mask.nii.gz", lesion().astype(np.uint8))
    return {"id": name, "patient": f"p-{name}", "image": f"{name}.nii.gz", "mask": f"{name}-mask.nii.gz"}


def series_files(folder: Path, name: str, missing: int | None = None) -> Row:
    """A DICOM series in a folder, without slice number ``missing``, and a mask on its grid."""
    slices = [ct_slice(index, rows=64, columns=64) for index in range(SHAPE[0]) if index != missing]
    write(slices, folder / name)
    mask = lesion((len(slices), 64, 64)).astype(np.uint8)
    save_image(folder / f"{name}-mask.nii.gz", mask, (0.8, 0.8, 2.0), (-10.0, -8.0, 100.0))
    return {"id": name, "patient": f"p-{name}", "image": name, "mask": f"{name}-mask.nii.gz"}


def manifest(folder: Path, rows: Sequence[Mapping[str, str]], delimiter: str = ",") -> Path:
    """``cohort.csv`` with the columns of the first row."""
    file = folder / "cohort.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def clinical(index: int) -> Row:
    """Columns of a clinical record; the third case lacks a value."""
    return {
        "age[a]": str(50 + index),
        "sex": "F" if index % 2 else "M",
        "clinical_n": f"N{index % 3}",
        "ca19_9[U/mL]": "" if index == 2 else str(30 + 10 * index),
        "haemoglobin[g/L]": str(115 + 2 * index),
    }
