"""Phantoms on disk: what the listener, the triage and the segmenter of this node take from any scanner."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from models.phantoms import Box, Kind, Phantom, Phase, Wanted, draw, lesion_place, render
from node.demo.phantom_files import PhantomStudy, write_study
from node.dicom.reading import read_header, read_hounsfield
from node.dicom.validation import validate
from node.domain.imaging import Series
from node.triage.contract import check
from tests.factories import instance


def a_phantom(seed: int = 11, count: int = 4, **changes: object) -> Phantom:
    """A few whole slices through the lesion."""
    spec = draw(seed, Wanted(kind=Kind.PANCREATIC, thickness_mm=2.0, **changes))  # type: ignore[arg-type]
    key = lesion_place(spec).key_slice
    return render(spec, Box((key - count // 2, key - count // 2 + count)))


def series_in(study: PhantomStudy) -> Series:
    """The series as triage sees it."""
    made = tuple(instance(dcmread(path)) for path in study.ct_paths)
    return Series(made[0].series_uid, made[0].study_uid, made[0].patient, made[0].modality, made)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless]
)
def test_a_written_phantom_is_taken_at_the_door_and_keeps_every_value(tmp_path: Path, syntax: str) -> None:
    """The listener's validation accepts each file, and reading gives the rendered Hounsfield units back."""
    phantom = a_phantom(count=2)
    study = write_study(phantom, tmp_path, transfer_syntax=syntax)
    for k, path in enumerate(study.ct_paths):
        header = read_header(path)
        assert header.file_meta.TransferSyntaxUID == syntax
        validate(path.read_bytes(), sop_class_uid=header.SOPClassUID, sop_instance_uid=header.SOPInstanceUID)
        assert np.array_equal(read_hounsfield(path), np.maximum(phantom.hu[k], -1024))


def test_a_written_phantom_meets_the_input_contract(tmp_path: Path) -> None:
    """The stack has the phantom's own spacing and order."""
    phantom = a_phantom()
    stack = check(series_in(write_study(phantom, tmp_path)))
    step, row, column = phantom.spec.grid.spacing_zyx_mm
    assert stack.geometry.spacing_xyz_mm == pytest.approx((column, row, step), abs=1e-3)
    assert [one.attributes["InstanceNumber"] for one in stack.instances] == ["1", "2", "3", "4"]


def test_the_same_phantom_gives_the_same_bytes(tmp_path: Path) -> None:
    """UIDs and files follow from the seed alone."""
    phantom = a_phantom(count=2)
    one, other = write_study(phantom, tmp_path / "a"), write_study(phantom, tmp_path / "b")
    assert one.series_uid == other.series_uid
    assert [path.read_bytes() for path in one.ct_paths] == [path.read_bytes() for path in other.ct_paths]


def test_another_scan_of_the_same_seed_has_other_uids(tmp_path: Path) -> None:
    """A phantom in another phase is another study: nothing collides in an archive."""
    one = write_study(a_phantom(count=2), tmp_path / "a")
    other = write_study(a_phantom(count=2, phase=Phase.ARTERIAL), tmp_path / "b")
    assert one.study_uid != other.study_uid


def test_nobody_can_take_the_patient_for_a_person(tmp_path: Path) -> None:
    """Name, ID and issuer say phantom."""
    image = dcmread(write_study(a_phantom(count=1), tmp_path).ct_paths[0])
    assert str(image.PatientName).startswith("Phantom^Synthetic^")
    assert image.PatientID.startswith("PHANTOM-")
    assert image.IssuerOfPatientID == "CELADON-PHANTOMS"


def test_the_bolus_times_are_there_or_not_as_asked(tmp_path: Path) -> None:
    """Without timing the agent is still named."""
    phantom = a_phantom(count=1)
    with_times = dcmread(write_study(phantom, tmp_path / "a", timed=True).ct_paths[0])
    without = dcmread(write_study(phantom, tmp_path / "b", timed=False).ct_paths[0])
    assert with_times.ContrastBolusStartTime
    assert "ContrastBolusStartTime" not in without
    assert without.ContrastBolusAgent


def test_without_contrast_the_header_names_no_agent(tmp_path: Path) -> None:
    """A non-contrast phantom."""
    image = dcmread(write_study(a_phantom(count=1, phase=Phase.NON_CONTRAST), tmp_path, timed=True).ct_paths[0])
    assert "ContrastBolusAgent" not in image
    assert "ContrastBolusStartTime" not in image


def test_the_seg_marks_the_lesion_voxel_for_voxel(tmp_path: Path) -> None:
    """Its frames, by the images that they reference, are the lesion's mask."""
    phantom = a_phantom()
    study = write_study(phantom, tmp_path, with_seg=True)
    assert study.seg_path is not None
    seg = dcmread(study.seg_path)
    frames = np.atleast_3d(seg.pixel_array) if seg.NumberOfFrames > 1 else seg.pixel_array[None]
    assert int((frames > 0).sum()) == int(phantom.lesion().sum())
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == study.series_uid
