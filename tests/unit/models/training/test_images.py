"""Volumes and masks from files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from models.training.images import grid_of, read_mask, read_volume
from node.errors import UsageError
from tests.factories import ct_slice, write
from tests.unit.models.training.manifests import SHAPE, lesion, save_image, series_files, texture


def test_a_nifti_file_is_read(tmp_path: Path) -> None:
    """HU, and the grid in LPS millimetres: NIfTI's own RAS is turned."""
    values = texture(0, coarse=False)
    volume = read_volume(save_image(tmp_path / "a.nii.gz", values))
    np.testing.assert_array_equal(volume.hu, values)
    assert volume.geometry.shape_zyx == SHAPE
    assert volume.geometry.spacing_xyz_mm == pytest.approx((0.8, 0.8, 3.0))
    assert volume.geometry.origin_lps_mm == pytest.approx((-10.0, -20.0, 30.0))


def test_a_dicom_series_is_read(tmp_path: Path) -> None:
    """Rescaled to HU, from the feet up, whatever the files are called."""
    series_files(tmp_path, "series")
    volume = read_volume(tmp_path / "series")
    files = [dcmread(path) for path in (tmp_path / "series").iterdir()]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    np.testing.assert_array_equal(volume.hu, np.stack([file.pixel_array.astype(np.float32) - 1024 for file in files]))
    assert volume.geometry.origin_lps_mm == pytest.approx((-10.0, -8.0, 100.0))
    assert volume.geometry.spacing_xyz_mm == pytest.approx((0.8, 0.8, 2.0))


def test_a_mask_is_where_it_is_not_zero(tmp_path: Path) -> None:
    """Whatever the numbers are."""
    file = save_image(tmp_path / "m.nii.gz", 7 * lesion().astype(np.uint8))
    np.testing.assert_array_equal(read_mask(file), lesion())


def test_a_mask_on_the_series_grid_is_the_same_grid(tmp_path: Path) -> None:
    """A NIfTI mask of a DICOM series."""
    series_files(tmp_path, "series")
    assert grid_of(tmp_path / "series-mask.nii.gz").difference(grid_of(tmp_path / "series")) == ""


def test_two_series_in_a_folder_are_refused(tmp_path: Path) -> None:
    """Nobody could say which one is meant."""
    write([ct_slice(index) for index in range(3)], tmp_path / "a")
    write([ct_slice(index, series="2.25.99") for index in range(3)], tmp_path / "b")
    for number, path in enumerate((tmp_path / "b").iterdir()):
        path.rename(tmp_path / "a" / f"other-{number}.dcm")
    with pytest.raises(UsageError, match="holds 2 DICOM series"):
        grid_of(tmp_path / "a")


def test_a_gap_is_refused(tmp_path: Path) -> None:
    """ITK alone would read the series as if there were none."""
    series_files(tmp_path, "series", missing=3)
    with pytest.raises(UsageError, match="one is missing or doubled"):
        read_volume(tmp_path / "series")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """There is no series."""
    with pytest.raises(UsageError, match="holds 0 DICOM series"):
        read_volume(tmp_path)


def test_a_body_that_is_stored_along_other_axes_lies_as_in_a_ct_series(tmp_path: Path) -> None:
    """As the node has its series: a network that learnt turned bodies would meet others there."""
    values = texture(0, coarse=False)
    file = save_image(tmp_path / "a.nii.gz", values)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(file)), "RAS"), str(tmp_path / "turned.nii.gz"))
    turned = read_volume(tmp_path / "turned.nii.gz")
    np.testing.assert_array_equal(turned.hu, values)
    np.testing.assert_array_equal(read_mask(tmp_path / "turned.nii.gz"), values != 0)
    assert turned.geometry.origin_lps_mm == pytest.approx((-10.0, -20.0, 30.0), abs=1e-4)


def test_a_mask_in_a_file_lies_on_a_series_that_is_stored_otherwise(tmp_path: Path) -> None:
    """Prone, as the scanner stored it: the mask of the same grid marks the same voxels."""
    folder = tmp_path / "prone"
    turned = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]
    write([ct_slice(index, rows=64, columns=64, ImageOrientationPatient=turned) for index in range(8)], folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    series = reader.Execute()
    bright = SimpleITK.GetArrayFromImage(series) > np.median(SimpleITK.GetArrayFromImage(series))
    mask = SimpleITK.GetImageFromArray(bright.astype(np.uint8))
    mask.CopyInformation(series)
    SimpleITK.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    hu = read_volume(folder).hu
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz"), hu > np.median(hu))
