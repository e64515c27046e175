"""A small cohort on disk: one case as DICOM, one as NIfTI, both of the same voxels, and what they are examined with."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from models.segmenters.dicom_seg import ArchiveSegmenter
from node.domain.coding import Anatomy
from tests.factories import ct_slices, structure_set, write
from tests.fakes import HERE, FakePredictor, FakeSegmenter
from workers.evaluation.examine import Bench

SHAPE = (6, 16, 20)
SPACING_XYZ_MM = (0.8, 0.8, 2.0)
ORIGIN_MM = (-10.0, -8.0, 100.0)


def voxels() -> np.ndarray:
    """The HU of ``tests.factories.ct_slices``."""
    planes = [
        np.random.default_rng(index).integers(1000, 1200, SHAPE[1:], dtype=np.uint16) for index in range(SHAPE[0])
    ]
    return np.stack(planes).astype(np.float32) - 1024


def nifti(file: Path, array: np.ndarray, flipped: bool = False) -> Path:
    """The array with the geometry of the series; ``flipped``: stored as RAS, as many tools write it."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ_MM)
    image.SetOrigin(ORIGIN_MM)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, "RAS") if flipped else image, str(file))
    return file


def box() -> np.ndarray:
    """The lesion of ``tests.factories.structure_set``'s kind: a box in two slices."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[2:4, 3:7, 4:9] = 1
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``a``: DICOM with an RTSTRUCT beside it; ``b.nii.gz`` with ``b-mask.nii.gz``; ``broken.nii.gz``."""
    images = ct_slices(6)
    write(images, tmp_path / "a")
    write([structure_set(str(images[0].SeriesInstanceUID))], tmp_path / "a" / "contour")
    nifti(tmp_path / "b.nii.gz", voxels(), flipped=True)
    nifti(tmp_path / "b-mask.nii.gz", box(), flipped=True)
    (tmp_path / "broken.nii.gz").write_bytes(b"no image at all")
    return tmp_path


@pytest.fixture
def bench() -> Bench:
    """The archive's contours first, then a segmenter that always finds a box."""
    organs = (Anatomy.PANCREAS,)
    return Bench(FakePredictor(), ((ArchiveSegmenter(), organs), (FakeSegmenter(), organs)), HERE, ignores_masks=False)
