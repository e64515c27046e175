"""Cross-validation and the final model: a run a fold, then one on all cases for as many epochs as the folds needed.

Or one run alone, stopped and judged by the first fold: a third of the time and less, and figures of fewer cases.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from models.training.fit import Fitted, Plan, fit
from models.training.folds import IndexArray
from models.training.hyper import Hyper
from models.training.journal import Journal
from models.training.learner import Predictions, Task

_FINAL_SEED = 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a training share."""

    seed: int
    device: str
    checkpoint_every_s: float


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """What the folds say together: each case was judged by the network that had not seen its patient."""

    predictions: Predictions
    beside: Predictions
    figures: tuple[dict[str, float], ...]
    """Of each fold."""
    best_epochs: tuple[int, ...]

    @property
    def mean(self) -> dict[str, float]:
        """Over the folds."""
        return {name: float(np.mean([each[name] for each in self.figures])) for name in self.figures[0]}


def cross_validate(
    task: Task, folds: IndexArray, hyper: Hyper, setting: Setting, folder: Path, journal: Journal
) -> CrossValidated:
    """Train a network a fold in ``folder``, and put their predictions of held-out cases together."""
    numbers = range(int(folds.max()) + 1)
    return _joined(folds, [_one(task, folds, fold, hyper, setting, folder, journal) for fold in numbers])


def once(
    task: Task, folds: IndexArray, hyper: Hyper, setting: Setting, folder: Path, journal: Journal
) -> tuple[CrossValidated, Fitted]:
    """One network, trained on all folds but the first, which stops and judges it; others have no prediction."""
    fitted = _one(task, folds, 0, hyper, setting, folder, journal)
    return _joined(folds, [fitted]), fitted


def final(
    task: Task, validated: CrossValidated, hyper: Hyper, setting: Setting, folder: Path, journal: Journal
) -> tuple[Fitted, int]:
    """The network trained on all cases, and its number of epochs: the median of the folds' best.

    No case is left to stop by, so the number that the folds found is what there is. A cosine schedule ends with them;
    the others are the same functions of the epoch as they were for the folds.
    """
    epochs = max(1, round(median(validated.best_epochs)))
    everything = list(range(len(task.cohort.cases)))
    seed = setting.seed + _FINAL_SEED
    plan = Plan(
        "final", everything, [], replace(hyper, epochs=epochs), seed, setting.device, setting.checkpoint_every_s
    )
    return fit(task, plan, folder, journal), epochs


def _one(
    task: Task, folds: IndexArray, fold: int, hyper: Hyper, setting: Setting, folder: Path, journal: Journal
) -> Fitted:
    """The run that has not seen ``fold``."""
    held_out, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
    plan = Plan(
        f"{folder.name} fold {fold}",
        train.tolist(),
        held_out.tolist(),
        hyper,
        setting.seed + fold,
        setting.device,
        setting.checkpoint_every_s,
    )
    return fit(task, plan, folder / f"fold-{fold}", journal)


def _joined(folds: IndexArray, runs: list[Fitted]) -> CrossValidated:
    """What the first folds' runs say."""
    held_out = [np.flatnonzero(folds == fold) for fold in range(len(runs))]
    return CrossValidated(
        _together(folds.size, [(cases, run.predictions) for cases, run in zip(held_out, runs, strict=True)]),
        _together(folds.size, [(cases, run.beside) for cases, run in zip(held_out, runs, strict=True)]),
        tuple(run.figures for run in runs),
        tuple(run.best_epoch for run in runs),
    )


def _together(count: int, parts: list[tuple[IndexArray, Predictions]]) -> Predictions:
    """Rows of held-out cases in the cohort's order."""
    whole = np.full((count, parts[0][1].shape[1]), np.nan)
    for held_out, rows in parts:
        whole[held_out] = rows
    return whole
