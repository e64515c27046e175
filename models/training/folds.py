"""The folds of cross-validation: every class in each, every patient in one.

Source: PORCELAIN (doi 10.1038/s41746-025-02303-9), methods: "Three-fold cross-validation". GTRNet's published files are
split by slice, with 177 of 179 test patients in training; here that is an error.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from models.training.cohort import TrainingCase
from node.errors import UsageError

FOLDS: Final = 3
_FEWEST: Final = 2

IndexArray = npt.NDArray[np.int64]


def assign(cases: Sequence[TrainingCase], seed: int, folds: int = FOLDS) -> IndexArray:
    """The fold (0, 1, …) of each case: as the manifest gives it, else drawn from ``seed``.

    Raises UsageError when a patient is in two folds, a fold lacks a class, or there are too few patients.
    """
    given = [case.fold for case in cases if case.fold is not None]
    are_given = bool(given) and len(given) == len(cases)
    found = np.array(given, dtype=np.int64) if are_given else _drawn(cases, seed, folds)
    check(cases, found)
    return found


def check(cases: Sequence[TrainingCase], found: IndexArray) -> None:
    """UsageError when cases leak between folds or a fold cannot be judged."""
    home: dict[str, int] = {}
    for case, fold in zip(cases, found.tolist(), strict=True):
        if home.setdefault(case.patient, fold) != fold:
            raise UsageError(f"case {case.id}: its patient is in folds {home[case.patient]} and {fold}")
    numbers = sorted(set(found.tolist()))
    if len(numbers) < _FEWEST or numbers != list(range(len(numbers))):
        raise UsageError(f"the folds are {numbers}: there must be at least 0 and 1, and no number left out")
    classes = {case.label for case in cases}
    for fold in numbers:
        inside = {case.label for case, number in zip(cases, found.tolist(), strict=True) if number == fold}
        if inside != classes:
            raise UsageError(f"fold {fold} has no case of class {sorted(classes - inside)}: too few, or badly split")


def _drawn(cases: Sequence[TrainingCase], seed: int, folds: int) -> IndexArray:
    patients = {case.patient for case in cases}
    if folds < _FEWEST or len(patients) < folds:
        raise UsageError(f"{folds} folds need at least as many patients, and be two; there are {len(patients)}")
    split = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    found = np.empty(len(cases), dtype=np.int64)
    labels, groups = [case.label for case in cases], [case.patient for case in cases]
    try:
        for fold, (_, held_out) in enumerate(split.split(np.zeros(len(cases)), labels, groups)):
            found[held_out] = fold
    except ValueError as error:
        raise UsageError(f"{folds} folds cannot be made of these cases: {error}") from error
    return found
