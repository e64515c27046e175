"""How well class probabilities agree with the truth: the measures that GTRNet's Table 2 gives, and the ordinal ones.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), methods, "Evaluation metrics and statistical analysis": one-vs-rest ROC
areas and their macro average, sensitivity, specificity, PPV, NPV a class. Quadratic-weighted kappa is our addition: T1
to T4 are ordered, and calling a T4 a T1 is worse than calling it a T3. What has no meaning is None, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score

from node.errors import UsageError

LabelArray = NDArray[np.int64]
ProbabilityArray = NDArray[np.float64]

_SUM_TOLERANCE: Final = 1e-3
_FEWEST_CLASSES: Final = 2


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against the rest. Every share lies in [0, 1]; None where nothing could be counted."""

    name: str
    cases: int
    """That truly are of this class."""
    called: int
    """That were called it."""
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    """At the prevalence of these cases, which need not be that of a clinic."""
    npv: float | None
    f1: float | None
    auc: float | None
    """Area under the one-vs-rest ROC curve."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a set of predictions is worth; every case counts once."""

    cases: int
    accuracy: float
    macro_auc: float | None
    """The plain mean of the classes' areas; None when a class has no case or nothing but cases."""
    quadratic_kappa: float | None
    """Cohen's kappa with weights that grow with the square of the distance; None when there is but one class."""
    confusion: tuple[tuple[int, ...], ...]
    """[true][called] in numbers of cases."""
    classes: tuple[ClassMetrics, ...]


def evaluate(labels: LabelArray, probabilities: ProbabilityArray, names: Sequence[str]) -> Evaluation:
    """The measures for ``labels`` (n,) in 0…k-1 and ``probabilities`` (n, k), for k classes in order of severity.

    A case is called the class with its highest probability, of several the first. Raises UsageError that names the row
    (from 0) where the two do not fit each other.
    """
    _check(labels, probabilities, names)
    called = probabilities.argmax(axis=1).astype(np.int64)
    counts: LabelArray = confusion_matrix(labels, called, labels=range(len(names)))
    classes = tuple(
        _one_against_rest(name, index, counts, _auc(labels == index, probabilities[:, index]))
        for index, name in enumerate(names)
    )
    areas = [one.auc for one in classes if one.auc is not None]
    return Evaluation(
        cases=len(labels),
        accuracy=float(np.trace(counts) / counts.sum()),
        macro_auc=float(np.mean(areas)) if len(areas) == len(classes) else None,
        quadratic_kappa=_kappa(labels, called, len(names)),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        classes=classes,
    )


def _check(labels: LabelArray, probabilities: ProbabilityArray, names: Sequence[str]) -> None:
    """Raise UsageError unless there is one row of probabilities a label, of one class a name."""
    if len(names) < _FEWEST_CLASSES or len(labels) == 0:
        raise UsageError(f"nothing can be said of {len(labels)} cases in {len(names)} classes")
    if labels.ndim != 1 or probabilities.shape != (len(labels), len(names)):
        shape = probabilities.shape
        raise UsageError(f"{len(labels)} labels and {len(names)} classes do not fit probabilities of shape {shape}")
    known = (labels >= 0) & (labels < len(names))
    proper = np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1)
    proper &= np.abs(probabilities.sum(axis=1) - 1) <= _SUM_TOLERANCE
    for what, rows in (("has a label that is no class", ~known), ("has numbers that are no probabilities", ~proper)):
        if rows.any():
            raise UsageError(f"row {int(rows.argmax())} {what}")


def _one_against_rest(name: str, index: int, counts: LabelArray, auc: float | None) -> ClassMetrics:
    """The measures of one class from the confusion matrix."""
    true_positive = int(counts[index, index])
    cases, called, total = int(counts[index].sum()), int(counts[:, index].sum()), int(counts.sum())
    true_negative = total - cases - called + true_positive
    return ClassMetrics(
        name=name,
        cases=cases,
        called=called,
        sensitivity=_share(true_positive, cases),
        specificity=_share(true_negative, total - cases),
        ppv=_share(true_positive, called),
        npv=_share(true_negative, total - called),
        f1=_share(2 * true_positive, cases + called),
        auc=auc,
    )


def _auc(is_positive: NDArray[np.bool_], scores: ProbabilityArray) -> float | None:
    """The area under the ROC curve; None when all cases are of one kind."""
    if is_positive.all() or not is_positive.any():
        return None
    return float(roc_auc_score(is_positive, scores))


def _kappa(labels: LabelArray, called: LabelArray, classes: int) -> float | None:
    """Quadratic-weighted kappa; None when truth and call are one and the same class throughout."""
    if len(np.union1d(labels, called)) == 1:
        return None
    return float(cohen_kappa_score(labels, called, labels=range(classes), weights="quadratic"))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
