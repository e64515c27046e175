"""A whole training, from a cohort to a bundle; what was done already is not done again.

OUT/
    training.json        what this folder is the training of: another command is refused
    cache/               the cases as arrays
    folds/               a run a fold, with checkpoint, history.jsonl and TensorBoard files; trial-N/ under search/
    final/               the run on all cases
    predictions.csv      out-of-fold predictions by case
    bundle/              the finished bundle
    summary.json         what --json prints
"""

import csv
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from models import registry
from models.training.cohort import Cohort
from models.training.crossval import CrossValidated, Setting, cross_validate, final, once
from models.training.facts import Facts
from models.training.folds import FOLDS, IndexArray, assign
from models.training.hyper import Hyper
from models.training.journal import Journal
from models.training.learner import Finished, Task
from models.training.manifest import read_manifest
from models.training.prepared import prepare
from models.training.search import candidates, search
from models.training.tasks import PHANTOMS, TASKS
from node.errors import UsageError

DESCRIPTION: Final = "training.json"
SUMMARY: Final = "summary.json"
PREDICTIONS: Final = "predictions.csv"
BUNDLE: Final = "bundle"
_PACKAGES: Final = ("torch", "monai", "numpy", "pytorch-tabnet", "scikit-learn")
_OF_PHANTOMS: Final = ("hard", "empty", "small")
"""Options of tasks that say what phantoms are drawn."""
_INDENT: Final = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    task: str
    out: Path
    seed: int
    cohort: Path | None = None
    """A manifest; None: phantoms."""
    phantoms: int = 0
    settings: tuple[str, ...] = ()
    """``name=value`` for hyper-parameters."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the task."""
    folds: int = FOLDS
    is_single: bool = False
    """One run, stopped and judged by the first fold, instead of cross-validation."""
    search: str = ""
    space: Mapping[str, Any] | None = None
    device: str = "cpu"
    workers: int = 1
    """Processes that prepare cases."""
    checkpoint_every_s: float = 60.0
    cache: Path | None = None
    tries_bundle: bool = True


def train(wish: Wish, journal: Journal) -> dict[str, Any]:
    """Do it, or what is left of it; returns the summary.

    Raises UsageError for what a person can mend: cohort, settings, a folder that holds another training.
    """
    # Kernels that give other bits each time would make a resumed run another one; where CUDA has no other, it says so.
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    kind: type[Task] = registry.resolve(TASKS[wish.task])  # type: ignore[assignment]  # a registry holds any class
    base = kind.defaults.changed(wish.settings)
    cohort = _cohort(wish, kind)
    _claim(wish, base, cohort)
    task, dropped = _prepared(wish, kind, cohort, journal)
    folds = assign(task.cohort.cases, wish.seed, wish.folds)
    setting = Setting(wish.seed, wish.device, wish.checkpoint_every_s)
    if wish.is_single:
        hyper, searched = base, 0
        validated, fitted = once(task, folds, hyper, setting, wish.out / "folds", journal)
        epochs = fitted.best_epoch
    else:
        hyper, validated, searched = _validated(wish, task, base, folds, setting, journal)
        fitted, epochs = final(task, validated, hyper, setting, wish.out / "final", journal)
    facts = Facts(
        seed=wish.seed,
        hyper=hyper,
        folds=folds,
        out_of_fold=validated.predictions,
        beside=validated.beside,
        fold_figures=validated.figures,
        best_epochs=validated.best_epochs,
        final_epochs=epochs,
        is_single=wish.is_single,
        searched=searched,
        dropped=dropped,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        device=wish.device,
        threads=torch.get_num_threads(),
    )
    _write_predictions(wish.out / PREDICTIONS, task, facts)
    bundle = _finish(wish, task, fitted.learner, facts)
    return _summarise(wish, task, facts, bundle)


def _cohort(wish: Wish, kind: type[Task]) -> Cohort:
    """The cohort that was asked for."""
    own = {name: wish.options[name] for name in _OF_PHANTOMS if name in wish.options}
    if wish.cohort is not None:
        if own:
            raise UsageError(f"--{', --'.join(own)}: of phantoms; a cohort has its own cases")
        return read_manifest(wish.cohort, kind.labels)
    phantoms: Cohort = registry.resolve(PHANTOMS[wish.task])(wish.phantoms, wish.seed, **own)
    return phantoms


def _claim(wish: Wish, base: Hyper, cohort: Cohort) -> None:
    """Make the folder this training's, or see that it is."""
    mine = {
        "task": wish.task,
        "seed": wish.seed,
        "cohort_sha256": cohort.digest,
        "hyper_parameters": base.as_dict(),
        "options": {name: str(value) for name, value in sorted(wish.options.items())},
        "folds": wish.folds,
        "single": wish.is_single,
        "search": wish.search,
        "space": json.loads(json.dumps(wish.space)),
        "device": wish.device,
    }
    wish.out.mkdir(parents=True, exist_ok=True)
    file = wish.out / DESCRIPTION
    if not file.exists():
        if any(wish.out.iterdir()):
            raise UsageError(f"--out {wish.out}: is not empty, and holds no training")
        _write_json(file, mine)
        return
    try:
        theirs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--out {wish.out}: {DESCRIPTION} cannot be read") from error
    if other := [name for name in mine if not isinstance(theirs, dict) or theirs.get(name) != mine[name]]:
        raise UsageError(
            f"--out {wish.out}: holds another training (it differs in {', '.join(other)}); take another folder"
        )


def _prepared(wish: Wish, kind: type[Task], cohort: Cohort, journal: Journal) -> tuple[Task, int]:
    """The task with every case as arrays, and how many phantoms were left out."""
    name = "cases"
    journal.bar(name, len(cohort.cases))
    preparation = kind.preparation(wish.options)
    cache = wish.cache or wish.out / "cache"
    left, arrays, dropped = prepare(cohort, preparation, cache, wish.workers, lambda: journal.step(name))
    journal.end(name)
    return kind(left, arrays, wish.options), dropped


def _validated(
    wish: Wish, task: Task, base: Hyper, folds: IndexArray, setting: Setting, journal: Journal
) -> tuple[Hyper, CrossValidated, int]:
    """The hyper-parameters, what cross-validation says of them, and how many settings were compared."""
    if not wish.search:
        return base, cross_validate(task, folds, base, setting, wish.out / "folds", journal), 0
    tried = candidates(base, wish.space or task.space, wish.search, wish.seed)
    folder = wish.out / "search"
    folder.mkdir(exist_ok=True)
    best, validated = search(task, folds, tried, setting, folder, journal)
    return best, validated, len(tried)


def _finish(wish: Wish, task: Task, learner: Any, facts: Facts) -> Finished:
    """The bundle, whole or not there; opened, and tried in a process of its own."""
    part, whole = wish.out / f"{BUNDLE}.part", wish.out / BUNDLE
    for folder in (part, whole):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir()
    task.finish(part, learner, facts)
    part.replace(whole)
    return task.open(whole, is_tried=wish.tries_bundle)


def _write_predictions(file: Path, task: Task, facts: Facts) -> None:
    """What each case got from the network that had not seen its patient; ids as the manifest has them, no patients."""
    count = facts.out_of_fold.shape[1]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "centre", "fold", "label", *(f"output_{index}" for index in range(count))))
        for index in facts.judged.tolist():
            case, row = task.cohort.cases[index], facts.out_of_fold[index]
            writer.writerow(
                (case.id, case.centre, int(facts.folds[index]), case.label, *(repr(float(value)) for value in row))
            )


def _summarise(wish: Wish, task: Task, facts: Facts, bundle: Finished) -> dict[str, Any]:
    figures = task.judge(facts.judged.tolist(), facts.out_of_fold[facts.judged])
    summary = {
        "task": wish.task,
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "status": bundle.status.value,
        "disclaimer": bundle.disclaimer,
        "cases": len(task.cohort.cases),
        "patients": task.cohort.patients,
        "judged": int(facts.judged.size),
        "held_out": {name: value if np.isfinite(value) else None for name, value in figures.items()},
        "best_epochs": list(facts.best_epochs),
        "final_epochs": facts.final_epochs,
        "hyper_parameters": facts.hyper.as_dict(),
    }
    _write_json(wish.out / SUMMARY, summary)
    return summary


def _write_json(file: Path, document: Mapping[str, Any]) -> None:
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(document, indent=_INDENT, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
