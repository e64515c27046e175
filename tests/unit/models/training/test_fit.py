"""The training loop: it learns, stops early, keeps the best weights, and goes on after a kill as if nothing were."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training import checkpoint
from models.training.fit import CHECKPOINT, FITTED, batches
from models.training.journal import HISTORY
from node.errors import UsageError
from tests.unit.models.training.toy import ToyTask, plan, trained

ROOT = Path(__file__).parents[4]


def history(folder: Path) -> list[dict[str, float]]:
    """The log of a run without what the clock says."""
    lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def same(first: Path, second: Path) -> bool:
    """Whether two finished runs hold the same bits."""
    one, other = checkpoint.read(first / FITTED), checkpoint.read(second / FITTED)
    assert one is not None
    assert other is not None
    alike = all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    return alike and one.tensors.keys() == other.tensors.keys() and one.scalars == other.scalars


def test_it_learns(tmp_path: Path) -> None:
    """The loss on training cases falls, and held-out cases are told apart better than by a coin."""
    fitted = trained(ToyTask(96), tmp_path, plan(epochs=12, patience=12))
    entries = history(tmp_path)
    assert entries[-1]["train_loss"] < entries[0]["train_loss"]
    assert fitted.figures["auc"] > 0.5


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """A process killed amid an epoch, and another that goes on: weights, predictions and log of one never stopped."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    child = subprocess.Popen([sys.executable, "-m", "tests.unit.models.training.toy", str(killed)], cwd=ROOT)
    try:
        while not _is_amid(killed):
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert not (killed / FITTED).exists()
    trained(ToyTask(), killed)
    trained(ToyTask(), whole)
    assert same(killed, whole)
    assert history(killed) == history(whole)


def _is_amid(folder: Path) -> bool:
    """Whether an epoch is over and steps of the next one are done."""
    found = checkpoint.read(folder / CHECKPOINT)
    return found is not None and found.scalars["epoch"] >= 1 and found.scalars["step"] >= 1


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    """What the comparison of bits above rests on can differ."""
    trained(ToyTask(), tmp_path / "a")
    trained(ToyTask(), tmp_path / "b", plan(learning_rate=0.01))
    assert not same(tmp_path / "a", tmp_path / "b")


def test_half_precision_learns_too_and_is_another_training(tmp_path: Path) -> None:
    """What is kept is fp32, the loss falls, and the weights are not those of a training in fp32."""
    trained(ToyTask(96), tmp_path / "half", plan(epochs=12, patience=12, precision="bf16"))
    trained(ToyTask(96), tmp_path / "full", plan(epochs=12, patience=12))
    entries = history(tmp_path / "half")
    assert entries[-1]["train_loss"] < entries[0]["train_loss"]
    found = checkpoint.read(tmp_path / "half" / FITTED)
    assert found is not None
    weights = checkpoint.part(found.tensors, "network")
    assert {each.dtype for each in weights.values() if each.is_floating_point()} == {torch.float32}
    assert not same(tmp_path / "half", tmp_path / "full")


def test_judged_every_third_epoch_and_at_the_end(tmp_path: Path) -> None:
    """Only weights that were judged can be the best."""
    fitted = trained(ToyTask(), tmp_path, plan(epochs=8, patience=8, judge_every=3))
    judged = [entry["epoch"] for entry in history(tmp_path) if "validation_auc" in entry]
    assert judged == [3, 6, 8]
    assert fitted.best_epoch in judged


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    """The second time there is no step, and the answer is the same."""
    first = trained(ToyTask(), tmp_path)
    task = ToyTask()
    second = trained(task, tmp_path)
    assert task.learners[0].seen == []
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert first.best_epoch == second.best_epoch


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    """After ``patience`` epochs without a better one; the best one's weights are kept."""
    task = ToyTask()
    task.aucs = [0.6, 0.9, 0.7, 0.8, 0.5]
    fitted = trained(task, tmp_path, plan(epochs=9, patience=3))
    assert len(history(tmp_path)) == 5
    assert fitted.best_epoch == 2


def test_the_best_epochs_weights_count(tmp_path: Path) -> None:
    """A run whose second epoch was best ends with the parameters of a run that had two epochs."""
    task = ToyTask()
    task.aucs = [0.6, 0.9, 0.7, 0.8, 0.5]
    best = trained(task, tmp_path / "long", plan(epochs=9, patience=3, schedule="constant"))
    short = ToyTask()
    short.aucs = [0.6, 0.9]
    two = trained(short, tmp_path / "short", plan(epochs=2, schedule="constant"))
    pairs = zip(best.learner.network.parameters(), two.learner.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_loss_can_decide(tmp_path: Path) -> None:
    """With ``stop_on`` loss the lowest validation loss is the best epoch, whatever the AUC says."""
    task = ToyTask()
    task.aucs = [0.1, 0.9, 0.2, 0.3]
    fitted = trained(task, tmp_path, plan(stop_on="loss"))
    losses = [entry["validation_loss"] for entry in history(tmp_path)]
    assert fitted.best_epoch == 1 + int(np.argmin(losses))


def test_held_out_cases_are_never_trained_on(tmp_path: Path) -> None:
    """Every training case is in every epoch once, and no other."""
    task = ToyTask()
    trained(task, tmp_path)
    seen = [index for indices in task.learners[0].seen for index in indices]
    assert sorted(seen) == sorted(list(range(18)) * 4)


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    """A training that diverges ends with a sentence, not with weights of NaN."""
    with pytest.raises(UsageError, match="no longer finite in epoch 1"):
        trained(ToyTask(factor=float("inf")), tmp_path)


def test_no_batch_has_one_case() -> None:
    """BatchNorm cannot take one value: a single last case joins the batch before."""
    assert batches(list(range(7)), 3) == [[0, 1, 2], [3, 4, 5, 6]]
    assert batches(list(range(6)), 3) == [[0, 1, 2], [3, 4, 5]]
