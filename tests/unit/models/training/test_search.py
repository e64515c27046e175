"""The search for hyper-parameters."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.training.crossval import Setting
from models.training.journal import Journal
from models.training.search import TRIALS, candidates, read_space, search
from node.errors import UsageError
from tests.unit.models.training.toy import HYPER, ToyTask

SPACE = {"learning_rate": [0.01, 0.1], "batch_size": [4, 8, 16]}
SETTING = Setting(0, "cpu", 60.0)


def test_a_grid_is_all_of_it() -> None:
    """Every combination once, in order."""
    found = candidates(HYPER, SPACE, "grid", 0)
    assert [(each.learning_rate, each.batch_size) for each in found] == [
        (rate, size) for rate in (0.01, 0.1) for size in (4, 8, 16)
    ]


def test_random_draws_differ_and_follow_the_seed() -> None:
    """Four different ones of six; the same again from the same seed."""
    found = candidates(HYPER, SPACE, "random:4", 0)
    assert len(set(found)) == 4
    assert candidates(HYPER, SPACE, "random:4", 0) == found
    assert any(candidates(HYPER, SPACE, "random:4", seed) != found for seed in range(1, 5))


@pytest.mark.parametrize("how", ["all", "grid:3", "random", "random:0", "random:x"])
def test_another_word_is_refused(how: str) -> None:
    """With the words that are understood."""
    with pytest.raises(UsageError, match="grid or random:N"):
        candidates(HYPER, SPACE, how, 0)


def test_an_unknown_parameter_is_refused() -> None:
    """By its name."""
    with pytest.raises(UsageError, match="depth=3"):
        candidates(HYPER, {"depth": [3]}, "grid", 0)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"epochs": 3}', '{"epochs": []}'])
def test_a_space_is_an_object_of_lists(tmp_path: Path, content: str) -> None:
    """Anything else is refused, naming the file."""
    file = tmp_path / "space.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"space\.json"):
        read_space(file)


def test_the_best_mean_wins_and_every_trial_is_kept(tmp_path: Path) -> None:
    """A network that learns is preferred to one whose rate is 0; the table of trials has both."""
    task = ToyTask(48)
    tried = candidates(HYPER.changed(["epochs=6"]), {"learning_rate": [0.0, 0.02]}, "grid", 0)
    with Journal(quiet=True) as journal:
        best, validated = search(task, np.arange(48) // 2 % 3, tried, SETTING, tmp_path, journal)
    lines = [json.loads(line) for line in (tmp_path / TRIALS).read_text(encoding="utf-8").splitlines()]
    means = [line["mean"]["auc"] for line in lines]
    assert best == tried[int(np.argmax(means))]
    assert validated.mean["auc"] == max(means)
    assert {path.name for path in tmp_path.iterdir()} == {TRIALS, "trial-0", "trial-1"}


def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    """Trials that are done are not done again."""
    tried = candidates(HYPER, {"learning_rate": [0.02]}, "grid", 0)
    folds = np.arange(24) // 2 % 3
    with Journal(quiet=True) as journal:
        search(ToyTask(), folds, tried, SETTING, tmp_path, journal)
        again = ToyTask()
        search(again, folds, tried, SETTING, tmp_path, journal)
    assert all(learner.seen == [] for learner in again.learners)
