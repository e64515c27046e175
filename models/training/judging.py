"""Figures of predictions: what early stopping looks at, and what a model card says, with intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from models.evaluation.resampling import percentiles

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[np.int64]], float]
"""Of the cases with these indices; NaN where it has no meaning."""

RESAMPLES: Final = 1000
_TINY: Final = 1e-12


def binary(labels: Labels, probabilities: Probabilities, threshold: float = 0.5) -> dict[str, float]:
    """``auc``, ``loss`` (binary cross-entropy), ``accuracy``, ``sensitivity`` and ``specificity`` for (n,) each.

    NaN where there are no cases to count.
    """
    called, truth = probabilities >= threshold, labels == 1
    safe = np.clip(probabilities, _TINY, 1.0 - _TINY)
    return {
        "auc": area(truth, probabilities),
        "loss": float(-np.log(np.where(truth, safe, 1.0 - safe)).mean()),
        "accuracy": float((called == truth).mean()),
        "sensitivity": share(called[truth]),
        "specificity": share(~called[~truth]),
    }


def ordinal(labels: Labels, probabilities: Probabilities, called: Labels) -> dict[str, float]:
    """``auc`` (macro, one against the rest), ``loss`` (cross-entropy), ``accuracy`` and quadratic-weighted ``kappa``.

    ``probabilities`` (n, k); ``called`` (n,) is the class that each case was given, which a vote may decide.
    """
    classes = list(range(probabilities.shape[1]))
    areas = [area(labels == index, probabilities[:, index]) for index in classes]
    safe = np.clip(probabilities, _TINY, 1.0)
    return {
        "auc": float(np.mean(areas)),
        "loss": float(-np.log(safe[np.arange(len(labels)), labels]).mean()),
        "accuracy": float((called == labels).mean()),
        "kappa": kappa(labels, called, classes),
    }


def area(truth: npt.NDArray[np.bool_], scores: Probabilities) -> float:
    """The area under the ROC curve, as Mann and Whitney's U has it (ties count half); NaN when all are of one kind.

    By ranks: a thousand draws of a bootstrap ask for it, and a curve each time takes twenty times as long.
    """
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        return float("nan")
    return float((rankdata(scores)[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def kappa(labels: Labels, called: Labels, classes: Sequence[int]) -> float:
    """Quadratic-weighted kappa (Cohen 1968); NaN when truth and call are one and the same class throughout.

    ``classes``: all that there are, ascending. By counts alone, as ``area`` by ranks: a thousand draws ask for it, and
    scikit-learn, which gives the same, checks its arguments for longer than it counts.
    """
    if len(np.union1d(labels, called)) == 1:
        return float("nan")
    count = len(classes)
    true, said = (np.searchsorted(classes, given) for given in (labels, called))
    seen = np.bincount(true * count + said, minlength=count * count).reshape(count, count)
    by_chance = np.outer(seen.sum(axis=0), seen.sum(axis=1)) / seen.sum()
    apart = np.subtract.outer(np.arange(count), np.arange(count)) ** 2
    return float(1.0 - (apart * seen).sum() / (apart * by_chance).sum())


def share(flags: npt.NDArray[np.bool_]) -> float:
    """The part that is set; NaN of none."""
    return float(flags.mean()) if flags.size else float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; NaN ends where too few draws have a meaning, as ``percentiles`` has it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def intervals(
    statistics: Callable[[npt.NDArray[np.int64]], Mapping[str, float]], patients: Sequence[str], seed: int
) -> dict[str, Interval]:
    """As ``interval``, for several statistics that are computed together from the same draws."""
    draws = _draws(patients, seed)
    drawn = [statistics(chosen) for chosen in draws]
    everyone = statistics(np.arange(len(patients)))
    return {name: _between(value, np.array([one[name] for one in drawn])) for name, value in everyone.items()}


def interval(statistic: Statistic, patients: Sequence[str], seed: int) -> Interval:
    """The statistic of all cases, and its percentile bootstrap over ``RESAMPLES`` draws of patients, not of cases.

    All NaN without a case.
    """
    if not patients:
        return Interval(math.nan, math.nan, math.nan)
    return intervals(lambda chosen: {"": statistic(chosen)}, patients, seed)[""]


def _draws(patients: Sequence[str], seed: int) -> list[npt.NDArray[np.int64]]:
    """The cases of each of ``RESAMPLES`` draws of patients."""
    names = sorted(set(patients))
    number = {name: index for index, name in enumerate(names)}
    owned: list[list[int]] = [[] for _ in names]
    for case, patient in enumerate(patients):
        owned[number[patient]].append(case)
    rng = np.random.default_rng(seed)
    return [
        np.array([case for index in rng.integers(len(names), size=len(names)) for case in owned[index]], dtype=np.int64)
        for _ in range(RESAMPLES)
    ]


def _between(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    low, high = percentiles(drawn)
    return Interval(value, math.nan if low is None else low, math.nan if high is None else high)
