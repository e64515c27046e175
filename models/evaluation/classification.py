"""How well called classes agree with the truth, each measure with its interval.

The measures are those of ``metrics``; here they get intervals. Shares of cases get Wilson's (statsmodels; Brown, Cai &
DasGupta, Stat Sci 2001) where every case is another patient, else that of the bootstrap over patients, as do F1, kappa
and the macro-average area, for which no formula is as good.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from models.evaluation import roc
from models.evaluation.estimate import LEVEL, Estimate, Floats, Ints, Source, nothing
from models.evaluation.metrics import evaluate
from models.evaluation.resampling import Resamples, bootstrapped

_NO_CASE: Final = "no case to count"


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest."""

    name: str
    cases: int
    called: int
    auc: Estimate
    """With DeLong's interval."""
    auc_bootstrap: Estimate
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    """At the share that the class has among these cases."""
    npv: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class Figures:
    """What the calls and probabilities of one variant are worth on one set of cases."""

    cases: int
    patients: int
    accuracy: Estimate
    macro_auc: Estimate
    quadratic_kappa: Estimate
    confusion: tuple[tuple[int, ...], ...]
    """[true][called] in numbers of cases."""
    classes: tuple[ClassFigures, ...]


def figures(
    labels: Ints, probabilities: Floats, called: Ints, names: tuple[str, ...], groups: Ints, resamples: Resamples
) -> Figures:
    """The measures of ``called`` (n,) and ``probabilities`` (n, k) against ``labels`` (n,), of patients ``groups``.

    Raises UsageError as ``evaluate`` does.
    """
    evaluate(labels, probabilities, names)
    counts, drawn = confusion_of(labels, called, len(names)), confusion_draws(labels, called, len(names), resamples)
    independent = resamples.patients == len(labels)
    classes = tuple(
        _class_figures(name, index, counts, drawn, independent=independent)(
            auc=roc.area(labels == index, probabilities[:, index], groups),
            auc_bootstrap=roc.bootstrapped_area(labels == index, probabilities[:, index], resamples),
        )
        for index, name in enumerate(names)
    )
    return Figures(
        cases=len(labels),
        patients=resamples.patients,
        accuracy=accuracy_estimate(counts, drawn, independent=independent),
        macro_auc=_macro_area(labels, probabilities, resamples),
        quadratic_kappa=kappa_estimate(counts, quadratic_kappa(drawn)),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        classes=classes,
    )


def confusion_of(labels: Ints, called: Ints, classes: int) -> Ints:
    """(k, k): how many of each true class were called what."""
    counts = np.bincount(labels * classes + called, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def confusion_draws(labels: Ints, called: Ints, classes: int, resamples: Resamples) -> Floats:
    """(draws, k, k): the same in each draw."""
    cells = np.eye(classes**2)[labels * classes + called]
    return resamples.sums(cells).reshape(-1, classes, classes)


def share(part: int, whole: int, drawn: Floats, *, independent: bool) -> Estimate:
    """``part`` of ``whole`` cases; ``drawn`` (draws,) is the same share in each draw."""
    if whole == 0:
        return nothing(Source.STATSMODELS, _NO_CASE)
    if not independent:
        return bootstrapped(part / whole, drawn, whole, Source.NUMPY)
    low, high = proportion_confint(part, whole, alpha=1 - LEVEL, method="wilson")
    return Estimate(part / whole, float(low), float(high), whole, "Wilson", Source.STATSMODELS)


def quadratic_kappa(counts: Floats) -> Floats:
    """(draws,): Cohen's kappa with quadratic weights (Cohen 1968) of confusion matrices (draws, k, k).

    NaN where truth and call are one and the same class throughout.
    """
    index = np.arange(counts.shape[1])
    weights = (index[:, None] - index[None]) ** 2
    total = counts.sum(axis=(1, 2))
    chance = counts.sum(axis=2)[:, :, None] * counts.sum(axis=1)[:, None, :] / total[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: Floats = 1 - (weights * counts).sum(axis=(1, 2)) / (weights * chance).sum(axis=(1, 2))
    return kappa


def accuracy_estimate(counts: Ints, drawn: Floats, *, independent: bool) -> Estimate:
    """The share of right calls in the confusion ``counts`` (k, k); ``drawn`` (draws, k, k) is that of each draw."""
    with np.errstate(invalid="ignore", divide="ignore"):
        right = np.trace(drawn, axis1=1, axis2=2) / drawn.sum(axis=(1, 2))
    return share(int(np.trace(counts)), int(counts.sum()), right, independent=independent)


def kappa_estimate(counts: Ints, drawn: Floats) -> Estimate:
    """The quadratic kappa of the confusion ``counts`` (k, k); ``drawn`` (draws,) is that of each draw."""
    value, cases = float(quadratic_kappa(counts[None].astype(np.float64))[0]), int(counts.sum())
    if not np.isfinite(value):
        return nothing(Source.NUMPY, "truth and call are one class throughout", cases)
    return bootstrapped(value, drawn, cases, Source.NUMPY)


def shares_of(counts: Floats, index: int) -> dict[str, tuple[Floats, Floats]]:
    """Measure to numerator and denominator (draws,), for one class of confusion matrices (draws, k, k)."""
    hits = counts[:, index, index]
    cases, calls, total = counts[:, index].sum(axis=1), counts[:, :, index].sum(axis=1), counts.sum(axis=(1, 2))
    rest = total - cases - calls + hits
    return {
        "accuracy": (hits + rest, total),
        "sensitivity": (hits, cases),
        "specificity": (rest, total - cases),
        "ppv": (hits, calls),
        "npv": (rest, total - calls),
        "f1": (2 * hits, cases + calls),
    }


def _class_figures(
    name: str, index: int, counts: Ints, drawn: Floats, *, independent: bool
) -> Callable[..., ClassFigures]:
    """What is counted of one class; the areas are still to be given."""
    here, there = shares_of(counts[None].astype(np.float64), index), shares_of(drawn, index)
    estimates = {}
    for measure, (part, whole) in here.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            values = there[measure][0] / there[measure][1]
        # F1 is no share of cases: its parts overlap.
        plain = independent and measure != "f1"
        estimates[measure] = share(int(part[0]), int(whole[0]), values, independent=plain)
    # It rests on the cases that are of the class or were called so, those that are both counted once.
    hits, twice = here["sensitivity"][0], here["f1"][1]
    estimates["f1"] = replace(estimates["f1"], cases=int((twice - hits)[0]))

    def finished(auc: Estimate, auc_bootstrap: Estimate) -> ClassFigures:
        cases, calls = int(counts[index].sum()), int(counts[:, index].sum())
        return ClassFigures(name, cases, calls, auc, auc_bootstrap, **estimates)

    return finished


def _macro_area(labels: Ints, probabilities: Floats, resamples: Resamples) -> Estimate:
    """The plain mean of the classes' areas."""
    value = evaluate(labels, probabilities, [str(index) for index in range(probabilities.shape[1])]).macro_auc
    if value is None:
        return nothing(Source.SKLEARN, "a class has no case, or nothing but cases", len(labels))
    drawn = [roc.area_draws(labels == index, column, resamples) for index, column in enumerate(probabilities.T)]
    return bootstrapped(value, np.mean(drawn, axis=0), len(labels), Source.SKLEARN)
