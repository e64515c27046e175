"""What the segmenter learns from: studies on its two grids, with the part that each cell belongs to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 — as the field calls it

from models.phantoms import Kind, Organ, Wanted
from models.segmenters.plan import DEFAULT
from models.training.cohort import FileSource, PhantomSource, TrainingCase
from models.training.segmenter_cases import PARTS, StudyPreparation, of_organs
from node.domain.clinical import ClinicalRecord
from node.domain.parts import Part
from node.errors import UsageError

PREPARED = StudyPreparation.of(DEFAULT)


def case(source: FileSource | PhantomSource) -> TrainingCase:
    """A case of a source."""
    return TrainingCase("c", "p", source, 0, "", None, ClinicalRecord(()))


def volume(part: Part | None = Part.PANCREAS_LESION) -> tuple[np.ndarray, np.ndarray]:
    """A pancreas with ``part`` in it, and an aorta, in 80 x 100 x 120 voxels of 1 mm."""
    labels = np.zeros((80, 100, 120), np.uint8)
    labels[30:50, 40:60, 40:90] = PARTS.index(Part.PANCREAS) + 1
    if part is not None:
        labels[34:46, 44:56, 60:76] = PARTS.index(part) + 1
    labels[:, 70:90, 50:70] = PARTS.index(Part.AORTA) + 1
    return (labels.astype(np.float32) * 20.0 - 100.0), labels


def files(folder: Path, hu: np.ndarray, labels: np.ndarray, flip: bool = False) -> FileSource:
    """The volume as a researcher has it; ``flip``: stored feet first."""
    for name, array in (("image", hu), ("mask", labels)):
        image = sitk.GetImageFromArray(array[::-1].copy() if flip else array)
        if flip:
            image.SetDirection((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return FileSource(folder / "image.nii.gz", folder / "mask.nii.gz")


def prepared(source: FileSource | PhantomSource) -> dict[str, Any]:
    """Its arrays."""
    return dict(PREPARED(case(source)))


@pytest.mark.parametrize("flip", [False, True])
def test_a_study_of_files_is_on_both_grids(tmp_path: Path, flip: bool) -> None:
    """Whole and coarse, and the box around the organs fine; a lesion is of its organ where there is no class for it."""
    made = prepared(files(tmp_path, *volume(), flip=flip))
    coarse, fine = DEFAULT.coarse, DEFAULT.fine
    assert made["coarse"].shape == made["coarse_labels"].shape == (16, 20, 24)
    assert (made["coarse"].dtype, made["fine_labels"].dtype) == (np.int16, np.uint8)
    assert set(np.unique(made["coarse_labels"])) == {0, coarse.number(Part.PANCREAS), coarse.number(Part.AORTA)}
    sizes = {part: int((made["fine_labels"] == fine.number(part)).sum()) * 8 for part in fine.parts}
    assert sizes[Part.PANCREAS_LESION] == pytest.approx(12 * 12 * 16, rel=0.1)
    assert sizes[Part.PANCREAS] == pytest.approx(20 * 20 * 50 - 12 * 12 * 16, rel=0.1)
    middle = np.argwhere(made["coarse_labels"] == coarse.number(Part.PANCREAS)).mean(axis=0)
    assert middle == pytest.approx([7.5, 9.5, 12.5], abs=0.6)


@pytest.mark.parametrize("flips", [(1.0, 1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, 1.0)])
def test_labels_lie_on_the_image_however_both_are_stored(tmp_path: Path, flips: tuple[float, float, float]) -> None:
    """Feet first, from right and front as most NIfTI files are, or mirrored: the organ is where its HU are."""
    hu, labels = volume()
    hu[:20], labels[:20] = -100.0, 0
    hu[:, :, :30], labels[:, :, :30] = -100.0, 0
    for name, array in (("image", hu), ("mask", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetDirection((flips[0], 0.0, 0.0, 0.0, flips[1], 0.0, 0.0, 0.0, flips[2]))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    made = prepared(FileSource(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz"))
    for part in (Part.PANCREAS, Part.PANCREAS_LESION):
        inside = made["fine"][made["fine_labels"] == DEFAULT.fine.number(part)]
        assert float(np.median(inside)) == pytest.approx((PARTS.index(part) + 1) * 20 - 100, abs=10)


def test_a_phantom_has_its_organs_and_lesion() -> None:
    """In the classes of the networks."""
    made = prepared(PhantomSource(3, Wanted(kind=Kind.GASTRIC, t_stage=4, thickness_mm=5.0)))
    fine = DEFAULT.fine
    assert (made["fine_labels"] == fine.number(Part.STOMACH_LESION)).sum() > 100
    assert not (made["fine_labels"] == fine.number(Part.PANCREAS_LESION)).any()
    assert set(np.unique(made["coarse_labels"])) == set(range(DEFAULT.coarse.classes))
    liver = made["coarse"][made["coarse_labels"] == DEFAULT.coarse.number(Part.LIVER)]
    assert 40 < float(np.median(liver)) < 160


def test_lesions_of_a_phantom_are_of_the_organ_that_they_lie_in() -> None:
    """Whatever their numbers."""
    organs = np.array([Organ.PANCREAS, Organ.PANCREAS, Organ.STOMACH, Organ.STOMACH, Organ.MUSCLE], np.uint8)
    lesions = np.array([0, 2, 1, 0, 0], np.uint8)
    found = [PARTS[label - 1] if label else None for label in of_organs(organs, lesions).tolist()]
    assert found == [Part.PANCREAS, Part.PANCREAS_LESION, Part.STOMACH_LESION, Part.STOMACH, None]


def test_a_mask_without_either_organ_teaches_nothing(tmp_path: Path) -> None:
    """The case is named as unusable."""
    hu, labels = volume()
    labels[labels != PARTS.index(Part.AORTA) + 1] = 0
    with pytest.raises(UsageError, match="neither"):
        prepared(files(tmp_path, hu, labels))


def test_a_mask_with_other_labels_is_refused(tmp_path: Path) -> None:
    """They might mean anything."""
    hu, labels = volume()
    labels[0, 0, 0] = len(PARTS) + 1
    with pytest.raises(UsageError, match="labels"):
        prepared(files(tmp_path, hu, labels))


def test_numbers_of_parts_stay_what_they_are() -> None:
    """Masks on researchers' disks have them."""
    assert [part.value for part in PARTS] == [
        "liver", "spleen", "kidney", "aorta", "portal-vein", "stomach", "pancreas", "stomach-lesion", "pancreas-lesion",
    ]  # fmt: skip


def test_preparation_does_not_hang_on_windows_or_limits() -> None:
    """Its name tells what it depends on, so that prepared cases serve every plan on the same grids."""
    assert "window" not in repr(PREPARED)
    assert "5.0" in repr(PREPARED)
