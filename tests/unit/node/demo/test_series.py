"""The bundled case: a new patient each time, the scanner's pixels always, and no identity left behind."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from node.demo.series import DemoCase, Organ, make_case
from node.dicom.annotations import read_annotation
from node.domain.coding import Anatomy

DATA = Path(__file__).parents[4] / "node" / "demo" / "data"


@pytest.fixture(params=["pancreas", "stomach"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> DemoCase:
    """Each of the two cases."""
    return make_case(request.param, tmp_path / "case")


def test_a_case_is_ten_slices_and_a_contour(case: DemoCase) -> None:
    """A case has ten CT slices of one series, from the lowest up, and one SEG in the same study."""
    images = [dcmread(path) for path in case.ct_paths]
    heights = [float(image.ImagePositionPatient[2]) for image in images]
    assert heights == [-804.5 + 2 * number for number in range(10)]
    assert {image.SeriesInstanceUID for image in images} == {case.series_uid}
    seg = dcmread(case.seg_path)
    assert seg.StudyInstanceUID == images[0].StudyInstanceUID == case.study_uid
    assert seg.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    assert case.paths == (*case.ct_paths, case.seg_path)


def test_pixels_are_the_scanners(case: DemoCase) -> None:
    """The compressed pixel stream is the bundled one, byte for byte."""
    for path, source in zip(case.ct_paths, sorted((DATA / "ct").glob("*.dcm")), strict=True):
        assert dcmread(path).PixelData == dcmread(source).PixelData
        assert dcmread(path).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"


def test_contour_references_the_new_images(case: DemoCase) -> None:
    """Every image that the SEG references is one of the case's."""
    images = {dcmread(path).SOPInstanceUID for path in case.ct_paths}
    seg = dcmread(case.seg_path)
    referenced = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced <= images
    assert read_annotation(case.seg_path).referenced_series == (case.series_uid,)


def test_contour_marks_a_stand_in_in_the_organ(case: DemoCase) -> None:
    """The region is coded as what Celadon analyses and labelled as a stand-in."""
    (region,) = read_annotation(case.seg_path).regions
    assert region.anatomy is case.organ
    assert region.is_lesion
    assert "stand-in, not a lesion finding" in region.label


def test_the_same_case_has_the_same_bytes(tmp_path: Path) -> None:
    """A case is a pure function of organ and suffix."""
    first, second = make_case("stomach", tmp_path / "a", "7"), make_case("stomach", tmp_path / "b", "7")
    assert [path.read_bytes() for path in first.paths] == [path.read_bytes() for path in second.paths]


@pytest.mark.parametrize(("organ", "suffix"), [("pancreas", "2"), ("stomach", "1")])
def test_another_case_is_another_patient(tmp_path: Path, organ: Organ, suffix: str) -> None:
    """Another organ or suffix shares no patient, accession number or UID."""
    first, second = make_case("pancreas", tmp_path / "a", "1"), make_case(organ, tmp_path / "b", suffix)
    assert first.patient_id != second.patient_id
    assert first.accession_number != second.accession_number
    assert {first.study_uid, first.series_uid, first.seg_uid}.isdisjoint(
        {second.study_uid, second.series_uid, second.seg_uid}
    )


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.dcm")), ids=lambda path: path.name)
def test_bundled_files_hold_no_identity(path: Path) -> None:
    """No private attribute, institution, person or order is left in what is bundled."""
    dataset = dcmread(path)
    assert not [element for element in dataset.iterall() if element.tag.is_private]
    for keyword in (
        "InstitutionName",
        "InstitutionAddress",
        "StationName",
        "RequestingPhysician",
        "PerformingPhysicianName",
        "RequestAttributesSequence",
        "RequestedProcedureCodeSequence",
        "ProcedureCodeSequence",
        "IssuerOfPatientID",
    ):
        assert keyword not in dataset
    assert str(dataset.get("ReferringPhysicianName", "")) == ""


def test_volumes_are_those_that_the_readme_states() -> None:
    """2.5 ml of pancreas and 3.9 ml of stomach wall."""
    voxel_ml = 0.9765625**2 * 2.0 / 1000
    for organ, volume_ml in ((Anatomy.PANCREAS, 2.5), (Anatomy.STOMACH, 3.9)):
        (region,) = read_annotation(DATA / f"{organ.key}-stand-in.dcm").regions
        voxels = sum(int(plane.mask.sum()) for plane in region.planes)
        assert voxels * voxel_ml == pytest.approx(volume_ml, abs=0.05)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_a_case_conforms(case: DemoCase) -> None:
    """Dciodvfy finds no error in any file of a case."""
    for path in case.paths:
        told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        assert not [line for line in told.splitlines() if line.startswith("Error")]
