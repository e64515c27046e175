"""Images of a cohort that are no DICOM."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from models.evaluation.volumes import is_volume_file, read_ct, read_mask
from node.domain.identifiers import FrameOfReferenceUID
from node.domain.reasons import ReasonCode
from node.errors import Refused

FRAME = FrameOfReferenceUID("2.25.1")


def image(values: np.ndarray, orientation: str = "LPS") -> SimpleITK.Image:
    """With a spacing and a place that tell the axes apart."""
    made = SimpleITK.GetImageFromArray(values)
    made.SetSpacing((0.7, 0.8, 2.5))
    made.SetOrigin((-10.0, 20.0, 30.0))
    return SimpleITK.DICOMOrient(made, orientation)


def hu() -> np.ndarray:
    """Every voxel another number."""
    return (np.arange(4 * 5 * 6, dtype=np.float32) - 60).reshape(4, 5, 6)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "RPI", "SLP", "AIR"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_body_lies_as_in_a_ct_series_however_it_is_stored(tmp_path: Path, orientation: str, suffix: str) -> None:
    """The same voxels in the same places, without interpolation."""
    file = tmp_path / f"ct{suffix}"
    SimpleITK.WriteImage(image(hu(), orientation), str(file))
    found = read_ct(file, FRAME)
    assert np.array_equal(found.hu, hu())
    assert found.geometry.spacing_xyz_mm == pytest.approx((0.7, 0.8, 2.5))
    assert found.geometry.origin_lps_mm == pytest.approx((-10.0, 20.0, 30.0), abs=1e-4)
    assert found.geometry.frame_of_reference_uid == FRAME


def test_a_mask_is_what_is_not_zero(tmp_path: Path) -> None:
    """On its own grid."""
    values = np.zeros((4, 5, 6), dtype=np.uint8)
    values[1, 2, 3] = 7
    SimpleITK.WriteImage(image(values, "RAS"), str(tmp_path / "m.nii.gz"))
    mask, geometry = read_mask(tmp_path / "m.nii.gz", FRAME)
    assert np.argwhere(mask).tolist() == [[1, 2, 3]]
    assert geometry.shape_zyx == (4, 5, 6)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.linspace(0, 255, 120).reshape(4, 5, 6), "a windowed picture"),
        (np.linspace(0, 1, 120).reshape(4, 5, 6), "a windowed picture"),
        (np.linspace(0, 2500, 120).reshape(4, 5, 6), "an offset was left out"),
    ],
)
def test_what_is_not_in_hounsfield_units_is_refused(tmp_path: Path, values: np.ndarray, why: str) -> None:
    """A number of another scale would be predicted from all the same."""
    SimpleITK.WriteImage(image(values), str(tmp_path / "ct.nii.gz"))
    with pytest.raises(Refused, match=why) as refused:
        read_ct(tmp_path / "ct.nii.gz", FRAME)
    assert refused.value.reason.code is ReasonCode.NO_RESCALE


def test_bright_tissue_alone_may_be_hounsfield_units(tmp_path: Path) -> None:
    """A small box of enhanced tissue has neither fat nor air."""
    values = np.random.default_rng(1).normal(180, 30, (4, 5, 6)).clip(20, 400)
    values[0, 0, 0] = 300
    SimpleITK.WriteImage(image(values), str(tmp_path / "ct.nii.gz"))
    assert read_ct(tmp_path / "ct.nii.gz", FRAME).hu.min() >= 20


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    """Unreadable, or with other axes."""
    (tmp_path / "x.nii.gz").write_bytes(b"x")
    SimpleITK.WriteImage(SimpleITK.Image([5, 6], SimpleITK.sitkInt16), str(tmp_path / "flat.mha"))
    for name, code in (("x.nii.gz", ReasonCode.UNDECODABLE), ("flat.mha", ReasonCode.NOT_AN_IMAGE)):
        with pytest.raises(Refused) as refused:
            read_ct(tmp_path / name, FRAME)
        assert refused.value.reason.code is code


def test_files_are_known_by_their_names() -> None:
    """Everything else is looked at as DICOM."""
    assert all(is_volume_file(Path(name)) for name in ("a.nii", "a.NII.GZ", "b.mha", "c.nrrd"))
    assert not any(is_volume_file(Path(name)) for name in ("a.dcm", "IM0001", "a.nii.txt"))
