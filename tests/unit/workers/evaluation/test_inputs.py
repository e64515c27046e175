"""The files of a case as the steps take them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.imaging import Volume
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused
from tests.factories import PATIENT, ct_slices, structure_set, write
from tests.fakes import HERE
from tests.unit.workers.evaluation.conftest import box, nifti, voxels
from workers.evaluation.inputs import Inputs, open_case
from workers.evaluation.manifest import CohortCase
from workers.steps.triage import triage


def case(image: Path, mask: Path | None = None, **observers: Path) -> CohortCase:
    """A case of these files."""
    return CohortCase("c1", image, mask, observers, ClinicalRecord())


def opened(one: CohortCase) -> Inputs:
    """Its inputs."""
    return open_case(one, Anatomy.PANCREAS, HERE)


def volume_of(inputs: Inputs) -> Volume:
    """Its pixels, in the order that triage finds."""
    return inputs.assemble(triage(inputs.series))


def test_dicom_and_nifti_of_the_same_voxels_become_the_same_volume(folder: Path) -> None:
    """Although the NIfTI is stored along other axes."""
    dicom, file = volume_of(opened(case(folder / "a"))), volume_of(opened(case(folder / "b.nii.gz")))
    assert np.array_equal(dicom.hu, file.hu)
    assert np.array_equal(file.hu, voxels())
    for mine, theirs in ((dicom.geometry, file.geometry),):
        assert np.allclose(mine.matrix, theirs.matrix)
        assert np.allclose(mine.origin_lps_mm, theirs.origin_lps_mm)


def test_contours_beside_the_images_are_found_by_their_reference(folder: Path) -> None:
    """As the node links them, and no others."""
    write([structure_set("2.25.9", index=4)], folder / "a" / "stranger")
    assert len(opened(case(folder / "a")).annotations()) == 1


def test_a_mask_of_voxels_lies_where_it_was_drawn(folder: Path) -> None:
    """On the images of either format."""
    from models.segmenters.dicom_seg import ArchiveSegmenter  # noqa: PLC0415 — the port under test is another

    for image in ("a", "b.nii.gz"):
        inputs = opened(case(folder / image, folder / "b-mask.nii.gz"))
        (roi,) = ArchiveSegmenter().locate(volume_of(inputs), inputs.annotations(), (Anatomy.PANCREAS,))
        assert np.array_equal(roi.mask, box() == 1)


def test_a_mask_of_another_patient_is_not_used_and_not_overlooked(folder: Path) -> None:
    """It is a mistake in the file, and nothing takes the mask's place."""
    images = ct_slices(1)
    other = structure_set(str(images[0].SeriesInstanceUID), PatientID=f"{PATIENT.patient_id}-other")
    (mask,) = write([other], folder / "other")
    with pytest.raises(Quarantined) as failed:
        opened(case(folder / "b.nii.gz", mask)).annotations()
    assert failed.value.reason.code is ReasonCode.PATIENT_CONFLICT


def test_of_several_series_the_one_that_the_node_would_choose_is_taken(folder: Path) -> None:
    """The one that somebody drew on; without that, the thinner one of the same part of the body."""
    write(ct_slices(6, series="2.25.77"), folder / "a" / "second")
    assert opened(case(folder / "a")).series.uid == ct_slices(1)[0].SeriesInstanceUID


def test_what_is_no_image_is_refused_with_its_reason(folder: Path) -> None:
    """Each by its code."""
    (folder / "empty").mkdir()
    (folder / "empty" / "README").write_text("nothing here", encoding="utf-8")
    nifti(folder / "grey.nii.gz", np.full((6, 16, 20), 128, dtype=np.float32))
    for name, code in (
        ("empty", ReasonCode.NOT_AN_IMAGE),
        ("broken.nii.gz", ReasonCode.UNDECODABLE),
        ("grey.nii.gz", ReasonCode.NO_RESCALE),
    ):
        with pytest.raises(Refused) as refused:
            opened(case(folder / name))
        assert refused.value.reason.code is code, name


def test_a_folder_without_a_series_that_meets_the_contract_says_which_clause(folder: Path) -> None:
    """Of its largest series."""
    write(ct_slices(5, ImageType=["DERIVED", "SECONDARY", "MPR"]), folder / "derived")
    with pytest.raises(Refused) as refused:
        opened(case(folder / "derived"))
    assert refused.value.reason.code is ReasonCode.DERIVED_IMAGE


def test_observers_keep_their_names(folder: Path) -> None:
    """Each with their own contour."""
    one = replace(case(folder / "b.nii.gz"), observers={"A": folder / "b-mask.nii.gz"})
    assert list(opened(one).observers()) == ["A"]
