"""The search for hyper-parameters: an explicit grid, or seeded draws from it, each judged by the same folds.

Source: PORCELAIN, methods: "hyperparameter tuning was performed using grid search and random search techniques". The
space is a small table that a person can read; a library that models it (Optuna and its like) would earn its place with
hundreds of trials, which three-fold cross-validation of these networks does not allow.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.training.crossval import CrossValidated, Setting, cross_validate
from models.training.folds import IndexArray
from models.training.hyper import Hyper
from models.training.journal import Journal
from models.training.learner import Task
from node.errors import UsageError

Space = Mapping[str, Sequence[Any]]
TRIALS: Final = "trials.jsonl"
_STREAM: Final = 0x5EA


def read_space(file: Path) -> Space:
    """A JSON object of lists by the names of hyper-parameters; UsageError saying what is wrong with it."""
    try:
        space = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--search-space {file}: is not JSON that can be read") from error
    if not isinstance(space, dict) or not space or not all(isinstance(each, list) and each for each in space.values()):
        raise UsageError(f"--search-space {file}: is not an object of lists that are not empty")
    return space


def candidates(base: Hyper, space: Space, how: str, seed: int) -> list[Hyper]:
    """The settings to try: ``grid``, all of the space; ``random:N``, N different ones drawn from ``seed``.

    Raises UsageError for another word, or a space that the hyper-parameters do not know.
    """
    kind, _, number = how.partition(":")
    every = [base.changed([f"{name}={value}" for name, value in setting.items()]) for setting in _grid(space)]
    if kind == "grid" and not number:
        return every
    if kind != "random" or not number.isdecimal() or not int(number):
        raise UsageError(f"--search {how}: it is grid or random:N")
    order = np.random.default_rng((_STREAM, seed)).permutation(len(every))
    return [every[int(index)] for index in order[: int(number)]]


def search(
    task: Task, folds: IndexArray, tried: Sequence[Hyper], setting: Setting, folder: Path, journal: Journal
) -> tuple[Hyper, CrossValidated]:
    """The best of the settings by its criterion, over the folds' mean; of several the first.

    Every trial is kept in ``folder``, so a search that was interrupted goes on, and the best one's folds are used
    again.
    """
    results: list[tuple[float, Hyper, CrossValidated]] = []
    lines = []
    for number, hyper in enumerate(tried):
        validated = cross_validate(task, folds, hyper, setting, folder / f"trial-{number}", journal)
        mean = validated.mean
        score = -mean["loss"] if hyper.stop_on == "loss" else mean["auc"]
        results.append((score, hyper, validated))
        lines.append(json.dumps({"trial": number, "hyper_parameters": hyper.as_dict(), "mean": mean}))
        (folder / TRIALS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        journal.say(f"trial {number + 1} of {len(tried)}: mean AUC {mean['auc']:.3f}")
    _, best, validated = max(results, key=lambda result: result[0])
    return best, validated


def _grid(space: Space) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*space.values()):
        yield dict(zip(space, values, strict=True))
