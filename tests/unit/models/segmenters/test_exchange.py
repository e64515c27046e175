"""A volume on its way to another program, and its label map on the way back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 — as the field calls it

from models.segmenters.exchange import as_labels, private_folder, read_labels, write_nifti
from node.domain.reasons import ReasonCode
from node.errors import Refused


@pytest.mark.parametrize("tilted", [False, True])
def test_a_label_map_on_the_volumes_grid_comes_back_voxel_for_voxel(
    tmp_path: Path, make_scene: Callable[..., Any], tilted: bool
) -> None:
    """Through NIfTI's own axes, whichever way the series is stored."""
    scene = make_scene(tilted=tilted)
    write_nifti(scene.volume, tmp_path / "v.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "v.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(image), np.rint(scene.volume.hu))
    answer = sitk.GetImageFromArray(scene.labels)
    answer.CopyInformation(image)
    sitk.WriteImage(answer, str(tmp_path / "l.nii.gz"))
    assert np.array_equal(read_labels(tmp_path / "l.nii.gz", scene.volume.geometry, "p"), scene.labels)


def moved(image: sitk.Image) -> None:
    """A slice further to the head."""
    x, y, z = image.GetOrigin()
    image.SetOrigin((x, y, z + 2.0))


def turned(image: sitk.Image) -> None:
    """Left and right exchanged."""
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def stretched(image: sitk.Image) -> None:
    """Of other voxels."""
    image.SetSpacing((1.0, 1.0, 2.1))


@pytest.mark.parametrize("spoil", [moved, turned, stretched])
def test_a_label_map_that_lies_elsewhere_is_refused(
    tmp_path: Path, make_scene: Callable[..., Any], spoil: Callable[[sitk.Image], None]
) -> None:
    """Placed by its numbers alone it would mark something else."""
    scene = make_scene()
    write_nifti(scene.volume, tmp_path / "v.nii.gz")
    answer = sitk.GetImageFromArray(scene.labels)
    answer.CopyInformation(sitk.ReadImage(str(tmp_path / "v.nii.gz")))
    spoil(answer)
    sitk.WriteImage(answer, str(tmp_path / "l.nii.gz"))
    with pytest.raises(Refused) as refused:
        read_labels(tmp_path / "l.nii.gz", scene.volume.geometry, "p")
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY


def test_a_label_map_of_another_size_is_refused(tmp_path: Path, make_scene: Callable[..., Any]) -> None:
    """A crop is no map of the series."""
    scene = make_scene()
    sitk.WriteImage(sitk.GetImageFromArray(scene.labels[1:]), str(tmp_path / "l.nii.gz"))
    with pytest.raises(Refused) as refused:
        read_labels(tmp_path / "l.nii.gz", scene.volume.geometry, "p")
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY


def test_what_is_no_label_map_is_refused(tmp_path: Path, make_scene: Callable[..., Any]) -> None:
    """Nothing, a link, and bytes that are no image."""
    geometry = make_scene().volume.geometry
    link, broken = tmp_path / "link.nii.gz", tmp_path / "b.nii.gz"
    link.symlink_to("/etc/hostname")
    broken.write_bytes(b"not an image")
    for file in (tmp_path / "none.nii.gz", link, broken):
        with pytest.raises(Refused) as refused:
            read_labels(file, geometry, "p")
        assert refused.value.reason.code is ReasonCode.SEGMENTER_FAILED


@pytest.mark.parametrize("value", [-1.0, 256.0, 1.5, np.nan])
def test_numbers_that_are_no_labels_are_refused(value: float) -> None:
    """Probabilities taken for labels would mark everything or nothing."""
    with pytest.raises(Refused) as refused:
        as_labels(np.full((2, 2, 2), value), "p")
    assert refused.value.reason.code is ReasonCode.SEGMENTER_FAILED


def test_the_folder_is_private_and_gone_afterwards() -> None:
    """Nobody else may read a patient's images on their way."""
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "volume").write_bytes(b"x")
    assert not folder.exists()


def test_metal_beyond_what_is_stored_stays_bright(tmp_path: Path, make_scene: Callable[..., Any]) -> None:
    """As whole numbers of two bytes it would come out as something darker than air."""
    volume = make_scene().volume
    hu = volume.hu.copy()
    hu[0, 0, 0], hu[0, 0, 1] = 40000.0, -40000.0
    write_nifti(replace(volume, hu=hu), tmp_path / "v.nii.gz")
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "v.nii.gz")))
    assert (written[0, 0, 0], written[0, 0, 1]) == (32767, -32768)
