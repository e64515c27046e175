"""How well a whole segmenter does on whole studies."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 — as the field calls it

from models.phantoms import Phase
from models.preprocessing.regrid import grid_of
from models.segmenters.coarse_to_fine import Found, Look, Survey
from models.segmenters.plan import DEFAULT
from models.segmenters.quality import Chance, RoiQuality
from models.training.cohort import FileSource, TrainingCase
from models.training.segmenter_cases import PARTS
from models.training.segmenter_judging import Candidate, Judged, figures, judge
from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.imaging import Volume
from node.domain.parts import Part

SURE = RoiQuality(volume_ml=10.0, components=1, touches_edge=False, probability=0.95, entropy=0.05)
UNSURE = replace(SURE, probability=0.1)
STUDY = Judged("a", "portal-venous", Anatomy.PANCREAS, 0.5, (Candidate(Anatomy.PANCREAS, SURE, 0.9),), {}, 1.0)
EMPTY = replace(STUDY, anatomy=None, candidates=(Candidate(Anatomy.PANCREAS, SURE, 0.0),))


def named(*studies: Judged) -> list[Judged]:
    """Each under a name of its own."""
    return [replace(study, case=str(number)) for number, study in enumerate(studies)]


def test_what_is_not_reported_counts_as_nought() -> None:
    """Nothing found, too unsure, or unlike the training: the overlap that it would have had is not its merit."""
    studies = named(
        STUDY,
        replace(STUDY, candidates=(Candidate(Anatomy.PANCREAS, SURE, 0.7),)),
        replace(STUDY, candidates=()),
        replace(STUDY, candidates=(Candidate(Anatomy.PANCREAS, UNSURE, 0.9),)),
        replace(STUDY, score=3.0),
    )
    found = figures(studies, DEFAULT, 1.0, seed=0)
    assert (found.studies, found.lesions) == (5, 5)
    assert found.dice.value == 0.0
    assert found.found.value == pytest.approx(0.4)
    assert found.strange.value == pytest.approx(0.2)


def test_a_region_that_is_not_the_lesion_is_not_found() -> None:
    """It was reported, and counts among neither the found nor the false."""
    found = figures(
        named(STUDY, replace(STUDY, candidates=(Candidate(Anatomy.PANCREAS, SURE, 0.05),))), DEFAULT, 1.0, seed=0
    )
    assert found.found.value == pytest.approx(0.5)
    assert np.isnan(found.false.value)


def test_only_what_the_node_would_analyse_is_in_phase() -> None:
    """The portal-venous phase, and whatever a cohort has: other phases end before anybody looks for a lesion."""
    groups = {group: replace(STUDY, group=group).is_in_phase for group in (*map(str, Phase), "cohort")}
    assert [group for group, is_in in groups.items() if is_in] == ["portal-venous", "cohort"]


def test_a_region_without_a_lesion_is_false() -> None:
    """Only where it would be reported."""
    found = figures(named(EMPTY, replace(EMPTY, candidates=()), replace(EMPTY, score=9.0)), DEFAULT, 1.0, seed=0)
    assert found.false.value == pytest.approx(1.0 / 3.0)
    assert np.isnan(found.dice.value)


def test_the_largest_that_is_plausible_is_answered_with() -> None:
    """What is larger and unsure stands in nobody's way."""
    study = replace(
        STUDY,
        candidates=(
            Candidate(Anatomy.PANCREAS, UNSURE, 0.0),
            Candidate(Anatomy.PANCREAS, SURE, 0.6),
            Candidate(Anatomy.PANCREAS, SURE, 0.0),
        ),
    )
    assert study.answer(DEFAULT.limits, 1.0) == study.candidates[1]
    assert study.answer(DEFAULT.limits, 0.1) is None


def test_the_likelier_organ_is_answered_with() -> None:
    """As the node would choose: a larger region of the other organ comes after it."""
    larger, likelier = Candidate(Anatomy.PANCREAS, SURE, 0.0), Candidate(Anatomy.STOMACH, SURE, 0.6)
    study = replace(STUDY, candidates=(larger, likelier))
    chance = Chance(intercept=2.0, of_logit=1.0, of_log_ml=0.0)
    limits = {**DEFAULT.limits, Anatomy.STOMACH: replace(DEFAULT.limits[Anatomy.STOMACH], chance=chance)}
    assert study.answer(DEFAULT.limits, 1.0) == larger
    assert study.answer(limits, 1.0) == likelier


class Says:
    """A segmenter that gives the answers it was given."""

    def __init__(self, *masks: np.ndarray) -> None:
        self._masks = masks

    def look(self, volume: Volume, organs: Sequence[Anatomy]) -> Look:  # noqa: ARG002 — the interface
        """The lesions, and a liver of 100 HU."""
        grid = grid_of((1, 1, 1), (5.0, 5.0, 5.0))
        survey = Survey(grid, np.zeros((1, 1, 1), np.uint8), {Part.LIVER: 100.0}, np.zeros(3))
        found = (Found(Anatomy.PANCREAS, mask, int(mask.sum()), SURE) for mask in self._masks)
        return Look(survey, 0.5, tuple(found))


@pytest.fixture
def case(tmp_path: Path) -> tuple[TrainingCase, np.ndarray]:
    """A study with a large and a small lesion and a liver of 110 HU, and where the lesions are."""
    labels = np.zeros((12, 20, 20), np.uint8)
    labels[2:10, 2:10, 2:10] = PARTS.index(Part.PANCREAS_LESION) + 1
    labels[2:5, 14:17, 14:17] = PARTS.index(Part.PANCREAS_LESION) + 1
    labels[11, 0:3, 0:3] = PARTS.index(Part.LIVER) + 1
    for name, array in (("image", np.full(labels.shape, 110.0, np.float32)), ("mask", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    source = FileSource(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    return TrainingCase("c", "p", source, 0, "", None, ClinicalRecord(())), labels == PARTS.index(
        Part.PANCREAS_LESION
    ) + 1


def test_the_largest_answer_is_compared_with_what_it_overlaps(case: tuple[TrainingCase, np.ndarray]) -> None:
    """One lesion of several, not all of them together."""
    study, truth = case
    large = truth.copy()
    large[:, 12:] = False
    (found,) = judge(Says(large, truth & ~large), [study])  # type: ignore[arg-type]  # a fake
    assert [one.dice for one in found.candidates] == [pytest.approx(1.0)] * 2
    assert (found.anatomy, found.group) == (Anatomy.PANCREAS, "cohort")
    assert found.off_hu == {"liver": pytest.approx(-10.0)}


def test_no_answer_overlaps_nothing(case: tuple[TrainingCase, np.ndarray]) -> None:
    """Nor has it a quality."""
    (found,) = judge(Says(), [case[0]])  # type: ignore[arg-type]  # a fake
    assert found.candidates == ()
