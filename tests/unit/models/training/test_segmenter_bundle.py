"""What is fitted beside the segmenter's weights, and the bundle that holds both."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.phantoms import Kind
from models.phantoms.spec import T_STAGES
from models.segmenters import zoo
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter
from models.segmenters.outliers import Familiar, calibrated
from models.segmenters.plan import DEFAULT
from models.segmenters.quality import MEAN_PROBABILITY, Limits, RoiQuality
from models.training import segmenter_bundle, segmenter_cohort
from models.training.facts import Facts
from models.training.segmenter_bundle import fit_limits, halves
from models.training.segmenter_judging import Candidate, Judged
from models.training.strangers import STRANGERS
from node.domain.coding import Anatomy
from tests.unit.models.training.test_segmenter import TinyTask, make_task

_ = make_task  # a fixture of that file
SURE = RoiQuality(volume_ml=10.0, components=1, touches_edge=False, probability=0.9, entropy=0.1)


def judged(dice: float, organ: Anatomy = Anatomy.PANCREAS, **quality: float) -> Judged:
    """A study of which this was found."""
    seen = Candidate(organ, replace(SURE, **quality), dice)  # type: ignore[arg-type]
    return Judged("a", "cohort", organ, 0.5, (seen,), {}, 1.0)


def fitted(*studies: Judged, organ: Anatomy = Anatomy.PANCREAS) -> Limits:
    """Those of one organ."""
    return fit_limits(studies, DEFAULT.limits)[organ]


def drawn(seed: int, organ: Anatomy = Anatomy.PANCREAS) -> list[Judged]:
    """Forty lesions and forty that are none: what is wrong is small and doubtful, each lesion at most one of both."""
    rng = np.random.default_rng(seed)
    right = [judged(0.8, organ, probability=p, volume_ml=2.0) for p in rng.uniform(0.75, 0.95, 20)]
    right += [judged(0.8, organ, probability=0.6, volume_ml=ml) for ml in rng.uniform(8.0, 30.0, 20)]
    wrong = [judged(0.0, organ, probability=p, volume_ml=0.8) for p in rng.uniform(0.4, 0.7, 40)]
    return right + wrong


def test_what_is_small_and_doubtful_is_parted_from_what_is_either() -> None:
    """A large lesion may be less sure than something small that is wrong; no limit of one measure does that."""
    studies = drawn(0)
    found = fitted(*studies)
    said = [not found.faults(study.candidates[0].quality) for study in studies]
    assert said == [study.candidates[0].dice > 0 for study in studies]
    assert found.least_chance == 0.5


def test_a_region_counts_that_is_more_probably_a_lesion_than_not() -> None:
    """The chance is one: of those that are no clearer than others as many are lesions as it says."""
    rng = np.random.default_rng(3)
    sure = rng.uniform(0.3, 0.9, 400)
    found = fitted(*(judged(0.8 if rng.random() < p else 0.0, probability=p, volume_ml=4.0) for p in sure))
    for p in (0.4, 0.6, 0.8):
        assert found.chance.of(replace(SURE, probability=p, volume_ml=4.0)) == pytest.approx(p, abs=0.1)


def test_each_organ_has_limits_of_its_own() -> None:
    """What is wrong in the stomach refuses nothing in the pancreas."""
    stomach = drawn(1, Anatomy.STOMACH)
    pancreas = [judged(0.9, probability=0.4, volume_ml=0.8) for _ in range(3)]
    assert not fitted(*stomach, *pancreas).faults(pancreas[0].candidates[0].quality)
    assert fitted(*stomach, *pancreas, organ=Anatomy.STOMACH) == fitted(*stomach, organ=Anatomy.STOMACH)


def test_what_another_limit_refuses_says_nothing_about_the_chance() -> None:
    """What is as large as a patient is never analysed, however sure the network was of it."""
    huge = [judged(0.0, probability=0.9, volume_ml=5000.0) for _ in range(100)]
    assert fitted(*drawn(2), *huge) == fitted(*drawn(2))


def test_what_is_below_the_least_volume_says_what_small_regions_are() -> None:
    """The chance follows the volume: many that are small and wrong make what is nearly as small less probable."""
    small = [judged(0.0, probability=0.7, volume_ml=0.4) for _ in range(100)]
    nearly = replace(SURE, probability=0.7, volume_ml=0.9)
    assert fitted(*drawn(2), *small).chance.of(nearly) < fitted(*drawn(2)).chance.of(nearly)


def test_where_nothing_wrong_was_found_there_is_room_below_the_right() -> None:
    """Of the mean probability; never above where it began."""
    found = fitted(judged(0.8, probability=0.9), judged(0.7, probability=0.5))
    assert (found.chance, found.least_chance) == (MEAN_PROBABILITY, pytest.approx(0.45))
    assert fitted(judged(0.8, probability=0.99)).least_chance == DEFAULT.limits[Anatomy.PANCREAS].least_chance


def test_limits_and_figures_are_of_all_kinds_of_phantom() -> None:
    """Kinds and stages repeat with a period: of every other one no early gastric cancer would fit the limits."""
    cases = segmenter_cohort.phantoms(180, 1, held_out=True).cases
    for first, second in (halves(cases, seed) for seed in range(3)):
        assert len(first) == len(second) == 90
        assert {case.id for case in first} | {case.id for case in second} == {case.id for case in cases}
        for half in (first, second):
            kinds = {(case.source.wanted.kind, case.source.wanted.t_stage) for case in half}  # type: ignore[union-attr]
            assert {(Kind.GASTRIC, stage) for stage in T_STAGES} <= kinds
    assert halves(cases, 0) == halves(cases, 0)
    assert [len(half) for half in halves(cases[:3], 0)] == [2, 1]


def test_no_right_lesion_fits_nothing() -> None:
    """The limits stay what they were."""
    assert fit_limits([judged(0.0)], DEFAULT.limits) == DEFAULT.limits
    assert fit_limits([], DEFAULT.limits) == DEFAULT.limits


def test_an_entropy_that_right_lesions_have_is_no_reason() -> None:
    """The limit moves above it, never below where it began."""
    assert fitted(judged(0.8, entropy=0.6)).most_entropy > 0.6
    assert fitted(judged(0.8, entropy=0.01)).most_entropy == DEFAULT.limits[Anatomy.PANCREAS].most_entropy


def facts(task: TinyTask, **changes: Any) -> Facts:
    """Of a single run, stopped by the first two cases."""
    count = len(task.cohort.cases)
    folds = np.ones(count, np.int64)
    folds[:2] = 0
    out_of_fold = np.full((count, 1), np.nan)
    out_of_fold[:2] = 0.0
    values: dict[str, Any] = {
        "seed": 0, "hyper": TinyTask.defaults, "folds": folds, "out_of_fold": out_of_fold, "beside": out_of_fold,
        "fold_figures": ({},), "best_epochs": (3,), "final_epochs": 3, "is_single": True, "searched": 0, "dropped": 0,
        "versions": {"torch": "2"}, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return Facts(**values | changes)


def test_a_bundle_is_whole_and_its_card_has_the_figures(
    make_task: Callable[..., TinyTask],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loaded by the loader that the node uses; the threshold of the score is between fitted studies and strangers."""
    task = make_task(6)
    learner = task.learner([2, 3, 4, 5], TinyTask.defaults, 0, "cpu")
    answers = [judged(0.9), judged(0.8), replace(judged(0.0), anatomy=None, candidates=()), judged(0.7)]
    monkeypatch.setattr(segmenter_bundle, "judge", lambda _segmenter, cases: answers[: len(cases)])
    asked: list[tuple[Any, ...]] = []

    def recorded(familiar: Familiar, *scores: Any, room: float) -> Familiar:
        asked.append(scores)
        return calibrated(familiar, *scores, room=room)

    monkeypatch.setattr(segmenter_bundle.outliers, "calibrated", recorded)
    folder = tmp_path / "bundle"
    segmenter_bundle.write(folder, task, learner, facts(task), task.cohort.cases[:4])
    made = CoarseToFineSegmenter("own", folder, zoo.digest(folder))
    (scores, strangers), read = asked[0], made._familiar
    assert scores == [0.5, 0.5]
    assert len(strangers) == len(STRANGERS)
    expected = calibrated(read, scores, strangers, room=segmenter_bundle._ROOM).threshold
    assert read.threshold == pytest.approx(expected, rel=1e-5)
    card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert "median Dice of the lesion | 0.850" in card
    assert "not validated" in card
    assert all(name in card for name in STRANGERS)
