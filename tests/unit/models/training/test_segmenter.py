"""The segmenter in training: windows, changes, figures, with tiny networks on made-up studies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file, save_model

from models.segmenters.packaging import Widths
from models.segmenters.plan import DEFAULT
from models.training import segmenter
from models.training.cohort import Cohort, FileSource, TrainingCase
from models.training.fit import Plan, fit
from models.training.journal import Journal
from models.training.prepared import Prepared
from models.training.segmenter import Change, SegmenterTask, Turned, around, dice, filled, place
from node.domain.clinical import ClinicalRecord
from node.domain.parts import Part
from node.domain.prediction import TrainingStatus
from node.errors import UsageError

TINY = (4, 4, 4, 6)
WINDOW = (16, 16, 32)


class TinyTask(SegmenterTask):
    """Small windows and networks."""

    plan = replace(
        DEFAULT,
        coarse=replace(DEFAULT.coarse, window_zyx=WINDOW),
        fine=replace(DEFAULT.fine, window_zyx=WINDOW),
    )
    widths = Widths(TINY, TINY)


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., TinyTask]:
    """A task of ``count`` studies: a bright pancreas with a brighter lesion, on both grids."""

    def make(count: int = 4, **options: Any) -> TinyTask:
        prepared, cases = [], []
        for index in range(count):
            rng = np.random.default_rng(index)
            classes = np.zeros((20, 24, 20), np.uint8)
            at = int(rng.integers(3, 8))
            classes[at : at + 10, 5:17, 4:16] = DEFAULT.fine.number(Part.PANCREAS)
            classes[at + 3 : at + 8, 8:14, 7:13] = DEFAULT.fine.number(Part.PANCREAS_LESION)
            hu = (-120.0 + 130.0 * classes + rng.normal(0.0, 5.0, classes.shape)).astype(np.int16)
            coarse = np.where(classes > 0, DEFAULT.coarse.number(Part.PANCREAS), 0).astype(np.uint8)
            file = tmp_path / f"{index}.safetensors"
            save_file({"coarse": hu, "coarse_labels": coarse, "fine": hu, "fine_labels": classes}, file)
            prepared.append(Prepared(file))
            source = FileSource(tmp_path / "image", tmp_path / "mask")
            cases.append(TrainingCase(f"c{index}", f"p{index}", source, 0, "", None, ClinicalRecord(())))
        return TinyTask(Cohort(tuple(cases), TrainingStatus.UNVALIDATED, "made up", "0" * 64), prepared, options)

    return make


def test_a_batch_is_windows_of_both_grids(make_task: Callable[..., TinyTask]) -> None:
    """In training the coarse network sees every second study; unchanged, all of them, and the same each time."""
    learner = make_task().learner([0, 1, 2], TinyTask.defaults, 0, "cpu")
    fine, fine_classes, coarse, coarse_classes = learner.batch([0, 1, 2], 5)
    assert coarse.shape == coarse_classes.shape == (2, 1, *WINDOW)
    assert fine.shape == fine_classes.shape == (3, 1, *WINDOW)
    assert fine.dtype is torch.float32
    assert fine_classes.dtype is torch.int64
    once, again = (learner.batch([0, 1, 2], None) for _ in range(2))
    assert once[2].shape == (3, 1, *WINDOW)
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


def test_what_is_drawn_follows_from_seed_epoch_and_case_alone(make_task: Callable[..., TinyTask]) -> None:
    """So that a killed training goes on as it would have gone."""
    task = make_task()
    first, second = (task.learner([0, 1], TinyTask.defaults, 3, "cpu") for _ in range(2))
    assert torch.equal(first.batch([1], 2)[0], second.batch([0, 1], 2)[0][1:])
    assert not torch.equal(first.batch([1], 2)[0], first.batch([1], 3)[0])


def test_a_run_learns(make_task: Callable[..., TinyTask], tmp_path: Path) -> None:
    """Its loss falls, and what it keeps is the best on studies that it was not trained on."""
    task = make_task(6)
    hyper = replace(TinyTask.defaults, epochs=12, patience=12, learning_rate=0.02)
    plan = Plan("tiny", [0, 1, 2, 3], [4, 5], hyper, 0, "cpu", 60.0)
    untrained = task.learner([0], hyper, 0, "cpu")
    untrained.network.eval()
    with torch.no_grad():
        before = task.judge([4, 5], untrained.predict([4, 5]).double().numpy())
    with Journal(quiet=True) as journal:
        found = fit(task, plan, tmp_path / "run", journal)
    assert found.figures["loss"] < 0.8 * before["loss"]
    assert found.figures["fine pancreas"] > before["fine pancreas"]


def test_the_fine_network_is_trained_alone_where_that_is_asked(
    make_task: Callable[..., TinyTask], tmp_path: Path
) -> None:
    """The coarse one ends as it began, to the bit, and is still judged."""
    start = tmp_path / "start.safetensors"
    save_model(make_task(1).learner([0], TinyTask.defaults, 5, "cpu").network, str(start))
    task = make_task(3, start=start, only="fine")
    hyper = replace(TinyTask.defaults, epochs=2, patience=2)
    with Journal(quiet=True) as journal:
        found = fit(task, Plan("fine", [0, 1], [2], hyper, 0, "cpu", 60.0), tmp_path / "run", journal)
    ended, began = found.learner.network.state_dict(), load_file(start)
    moved = {name.split(".")[0] for name in began if not torch.equal(began[name], ended[name])}
    assert moved == {"fine"}
    assert found.figures["coarse pancreas"] >= 0.0


def test_the_fine_network_is_not_trained_alone_beside_one_that_knows_nothing(
    make_task: Callable[..., TinyTask],
) -> None:
    """The coarse network must come from somewhere."""
    with pytest.raises(UsageError, match=r"--only fine: .*--start"):
        make_task(1, only="fine")


def test_the_hardest_voxels_alone_count_where_that_is_asked(make_task: Callable[..., TinyTask]) -> None:
    """A tenth of them: of a window that is right but for one corner, the corner's cross-entropy, and the Dice."""
    hyper = replace(TinyTask.defaults, hard_share=0.1)
    loss = segmenter._loss(make_task().plan.fine, hyper.hard_share)
    classes = torch.zeros(1, 1, 10, 10, 10, dtype=torch.int64)
    logits = torch.zeros(1, DEFAULT.fine.classes, 10, 10, 10)
    logits[:, 0] = 20.0
    easy = loss(logits, classes)
    logits[0, 0, 0], logits[0, 1, 0] = 0.0, 20.0
    assert 20.0 < loss(logits, classes) - easy < 21.0
    usual = segmenter._loss(make_task().plan.fine, 1.0)
    assert usual(logits, classes) < 5.0
    assert (
        make_task().learner([0, 1], hyper, 0, "cpu").loss(make_task().learner([0, 1], hyper, 0, "cpu").batch([0, 1], 1))
    )


def test_a_window_can_be_turned_and_stretched() -> None:
    """About its own middle: what lies there stays there, classes stay classes, and beyond the study is its edge."""
    classes = np.zeros((24, 40, 40), np.uint8)
    classes[10:14, 10:30, 18:22] = 2
    at = around((24, 40, 40), [12, 20, 20], WINDOW)
    turned = Turned.drawn(np.random.default_rng(3), at)
    seen, plain = turned.of(classes, WINDOW, 0), classes[at]
    assert seen.shape == WINDOW
    assert set(np.unique(seen)) == {0, 2}
    assert not np.array_equal(seen, plain)
    assert dice(2.0 * ((seen == 2) & (plain == 2)).sum() / 2.0, (seen == 2).sum(), (plain == 2).sum()) > 0.6
    assert (turned.of(np.full((4, 4, 4), 7, np.uint8), WINDOW, 0) == 7).all()


def test_windows_are_turned_as_often_as_is_asked(make_task: Callable[..., TinyTask]) -> None:
    """Never by default; what else is drawn stays what it was."""
    task = make_task()
    usual = task.learner([0, 1], TinyTask.defaults, 3, "cpu").batch([0, 1], 2)
    never = task.learner([0, 1], replace(TinyTask.defaults, turned_share=0.0, anywhere_share=0.0), 3, "cpu")
    always = task.learner([0, 1], replace(TinyTask.defaults, turned_share=1.0, anywhere_share=0.5), 3, "cpu")
    assert torch.equal(never.batch([0, 1], 2)[0], usual[0])
    assert not torch.equal(always.batch([0, 1], 2)[0], usual[0])
    assert torch.equal(always.batch([0, 1], None)[0], never.batch([0, 1], None)[0])


def test_figures_are_of_all_windows_together(make_task: Callable[..., TinyTask]) -> None:
    """A class that is in no window and that nothing was called is right."""
    task = make_task()
    names = len(TinyTask.plan.coarse.parts) + len(TinyTask.plan.fine.parts)
    rows = np.zeros((2, 1 + 3 * names))
    rows[:, 0] = (1.0, 3.0)
    rows[0, 1:4], rows[1, 1:4] = (4, 8, 4), (2, 2, 4)  # the liver: 6 of 10 said and 8 true
    found = task.judge([0, 1], rows)
    assert found["loss"] == pytest.approx(2.0)
    assert found["coarse liver"] == pytest.approx(12.0 / 18.0)
    assert found["fine stomach-lesion"] == 1.0


def test_windows_lie_in_lesions_more_often_than_by_chance() -> None:
    """A small lesion is seen in most windows of its study; without one, an organ is."""
    classes = np.zeros((30, 30, 30), np.uint8)
    classes[2:28, 2:28, 2:28] = DEFAULT.fine.number(Part.STOMACH)
    classes[5:8, 5:8, 5:8] = DEFAULT.fine.number(Part.STOMACH_LESION)
    rng = np.random.default_rng(0)
    hits = [classes[tuple(place(classes, DEFAULT.fine, rng))] for _ in range(300)]
    lesion = DEFAULT.fine.number(Part.STOMACH_LESION)
    assert np.mean([hit == lesion for hit in hits]) == pytest.approx(segmenter._LESION_SHARE, abs=0.1)
    assert 0 not in hits
    assert place(np.zeros((4, 6, 8), np.uint8), DEFAULT.fine, rng) == [2, 3, 4]


def test_a_window_lies_within_the_study() -> None:
    """Moved where it would not, cut and filled up where the study is smaller."""
    assert around((40, 40, 40), (0, 20, 39), WINDOW) == (slice(0, 16), slice(12, 28), slice(8, 40))
    part = np.arange(10)[:, None, None] * np.ones((1, 16, 32))
    assert around((10, 16, 32), (5, 5, 5), WINDOW)[0] == slice(0, 10)
    whole = filled(part, WINDOW)
    assert whole.shape == WINDOW
    assert (whole[10:] == 9.0).all()


def test_a_change_is_of_brightness_contrast_and_noise() -> None:
    """The same for the same seed; none leaves the HU as they were."""
    hu = np.full((8, 8, 8), 100, np.int16)
    assert np.array_equal(Change().applied(hu), hu.astype(np.float32))
    drawn = Change.drawn(np.random.default_rng(1))
    assert np.array_equal(drawn.applied(hu), drawn.applied(hu))
    assert Change(gain=1.05, offset_hu=-3.0).applied(hu)[0, 0, 0] == pytest.approx(102.0)
    assert Change(noise_hu=5.0, seed=2).applied(hu).std() == pytest.approx(5.0, rel=0.2)


def test_two_empty_sets_overlap_wholly() -> None:
    """Nothing said of nothing is right."""
    assert dice(0.0, 0.0, 0.0) == 1.0
    assert dice(2.0, 4.0, 4.0) == 0.5


def test_a_criterion_that_the_task_has_no_figure_of_is_wrong_usage(
    make_task: Callable[..., TinyTask], tmp_path: Path
) -> None:
    """Without it every epoch would count as better than the one before."""
    task = make_task(3)
    plan = Plan("x", [0, 1], [2], task.defaults.changed(["stop_on=auc", "epochs=1"]), 0, "cpu", 60.0)
    with Journal(quiet=True) as journal, pytest.raises(UsageError, match="stop_on=auc: segmenter has no such figure"):
        fit(task, plan, tmp_path / "run", journal)


def test_too_few_phantoms_to_judge_by_are_missed_before_the_training(make_task: Callable[..., TinyTask]) -> None:
    """One for the limits and one for the figures at least; a cohort has its own cases."""
    made = make_task(1, held_out=1)
    with pytest.raises(UsageError, match="--held-out: 2 or more"):
        TinyTask(replace(made.cohort, status=TrainingStatus.PHANTOM), made.prepared, {"held_out": 1})
