"""Everything that is computed of a cohort, set by set and variant by variant: what the report prints and holds.

One analysis is a pure function of the cohort and of the choices below; the same input gives the same figures.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from models.evaluation import cutoff, roc, subgroups
from models.evaluation.calibration import Calibration, calibrate
from models.evaluation.classification import (
    ClassFigures,
    Figures,
    accuracy_estimate,
    confusion_draws,
    confusion_of,
    figures,
    kappa_estimate,
    quadratic_kappa,
)
from models.evaluation.cohort import Cohort, FollowUp, Variant
from models.evaluation.decision import Consequences, DecisionCurve, consequences, decision_curve
from models.evaluation.estimate import ChiSquare, Estimate, Floats, Ints
from models.evaluation.observers import ObserverFigures, OverlapFigures, agreements, overlaps
from models.evaluation.planning import Plan, plan_area, plan_sensitivity, plan_specificity
from models.evaluation.resampling import DRAWS, Resamples
from models.evaluation.shift import Shift, shifts
from models.evaluation.survival import Arm, Cox, arms, cox, each_alone, log_rank
from node.errors import UsageError

TWO: Final = 2
GOAL_WIDTH: Final = 0.1
"""Of an interval that a next study would be planned for."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decides before looking at the figures."""

    positive_from: str = ""
    """The first positive class; empty: the upper half of the classes, of two the last."""
    cut_from: str = ""
    """The set that chooses a cut by Youden's index, to be applied to the others; empty: none does."""
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """The cut that one set chose, in this one."""

    cut: cutoff.Cut
    chosen_in: str
    here: ClassFigures


@dataclass(frozen=True, slots=True)
class VariantAnalysis:
    """One model on one set."""

    name: str
    digest: str
    figures: Figures
    curves: tuple[roc.Curve | None, ...]
    """A class; None where all cases are of one kind."""
    positive: ClassFigures
    """The positive classes against the rest, as called."""
    calibration: tuple[tuple[str, Calibration], ...]
    """The positive classes together, then each class of more than two."""
    decision: DecisionCurve
    consequences: tuple[Consequences, ...]
    """Of the model's calls and of each reader's."""
    subgroups: tuple[subgroups.Subgroups, ...]
    transfer: Transfer | None


@dataclass(frozen=True, slots=True)
class ReaderAnalysis:
    """A second reader's calls on the cases that they called; a set of which they called none has none."""

    name: str
    cases: int
    accuracy: Estimate
    quadratic_kappa: Estimate
    positive: ClassFigures
    """Its area is that of one point and says no more than sensitivity and specificity."""


@dataclass(frozen=True, slots=True)
class SurvivalAnalysis:
    """Follow-up by what one model called."""

    follow_up: str
    variant: str
    cases: int
    without: int
    """Cases without this follow-up."""
    arms: tuple[Arm, ...]
    log_rank: ChiSquare
    alone: tuple[tuple[str, Cox], ...]
    together: Cox


@dataclass(frozen=True, slots=True)
class SetAnalysis:
    """One set of cases."""

    name: str
    cases: int
    patients: int
    classes: tuple[tuple[str, int], ...]
    positives: int
    variants: tuple[VariantAnalysis, ...]
    comparisons: tuple[roc.Comparison, ...]
    """Of the areas of the positive classes, each pair of variants."""
    readers: tuple[ReaderAnalysis, ...]
    survival: tuple[SurvivalAnalysis, ...]
    plans: tuple[Plan, ...]
    """What another study needs for intervals of ``GOAL_WIDTH``, if it finds what the first variant shows here."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """A cohort's."""

    classes: tuple[str, ...]
    positive: tuple[str, ...]
    choices: Choices
    found: int
    exclusions: tuple[tuple[str, int], ...]
    shared_patients: tuple[tuple[str, str, int], ...]
    """(set, set, patients that are in both): above 0 the second is no independent test."""
    ignored_columns: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    """(case, reason) of each case that is not analysed."""
    overlaps: tuple[OverlapFigures, ...]
    agreements: tuple[ObserverFigures, ...]
    shifts: tuple[Shift, ...]
    """Each centre against the others, over all sets."""
    sets: tuple[SetAnalysis, ...]


def analyse(cohort: Cohort, choices: Choices, progress: Progress = lambda _: None) -> Analysis:
    """The analysis; UsageError where a choice names a class or set that is not there."""
    first = _first_positive(cohort, choices.positive_from)
    if choices.cut_from and choices.cut_from not in cohort.set_names():
        raise UsageError(f"no case is of the set {choices.cut_from!r}; there are {', '.join(cohort.set_names())}")
    cuts = _cuts(cohort, choices, first)
    return Analysis(
        classes=cohort.classes,
        positive=cohort.classes[first:],
        choices=choices,
        found=cohort.found,
        exclusions=tuple((one.reason, one.cases) for one in cohort.exclusions),
        shared_patients=_shared(cohort),
        ignored_columns=cohort.ignored,
        left_out=tuple((name, one.reason) for one in cohort.exclusions for name in one.names),
        overlaps=overlaps(cohort.overlaps),
        agreements=agreements(cohort.measurements),
        shifts=shifts(cohort),
        sets=tuple(_set(cohort.of_set(name), name, choices, first, cuts, progress) for name in cohort.set_names()),
    )


def _first_positive(cohort: Cohort, name: str) -> int:
    if not name:
        return len(cohort.classes) // TWO
    if name not in cohort.classes[1:]:
        raise UsageError(f"positive classes cannot begin with {name!r}: choose one of {', '.join(cohort.classes[1:])}")
    return cohort.classes.index(name)


def _cuts(cohort: Cohort, choices: Choices, first: int) -> dict[str, cutoff.Cut]:
    """Variant to its cut."""
    if not choices.cut_from:
        return {}
    part = cohort.of_set(choices.cut_from).dichotomised(first)
    resamples = Resamples.of(part.groups, choices.draws, choices.seed)
    return {one.name: cutoff.youden(part.labels == 1, one.probabilities[:, 1], resamples) for one in part.variants}


def _shared(cohort: Cohort) -> tuple[tuple[str, str, int], ...]:
    patients = {
        name: {patient for patient, one in zip(cohort.patients, cohort.sets, strict=True) if one == name}
        for name in cohort.set_names()
    }
    return tuple((a, b, len(patients[a] & patients[b])) for a, b in combinations(patients, TWO))


def _set(
    part: Cohort, name: str, choices: Choices, first: int, cuts: dict[str, cutoff.Cut], progress: Progress
) -> SetAnalysis:
    groups, two = part.groups, part.dichotomised(first)
    resamples = Resamples.of(groups, choices.draws, choices.seed)
    counts = Counter(part.labels.tolist())
    variants = []
    for variant in part.variants:
        progress(f"{name}: {variant.name}")
        cut = cuts.get(variant.name)
        variants.append(_variant(part, two, variant, first, resamples, choices, cut))
    truth = two.labels == 1
    return SetAnalysis(
        name=name,
        cases=len(part.cases),
        patients=resamples.patients,
        classes=tuple((one, counts[index]) for index, one in enumerate(part.classes)),
        positives=int(truth.sum()),
        variants=tuple(variants),
        comparisons=tuple(
            roc.compare(
                (a.name, b.name), truth, np.column_stack((a.probabilities[:, 1], b.probabilities[:, 1])), groups
            )
            for a, b in combinations(two.variants, TWO)
        ),
        readers=tuple(
            _reader(part, two, index, choices)
            for index, reader in enumerate(part.readers)
            if (reader.called >= 0).any()
        ),
        survival=tuple(_survival(part, follow_up, one) for follow_up in part.follow_ups for one in part.variants),
        plans=_plans(variants[0].positive, float(truth.mean())),
    )


def _variant(
    part: Cohort,
    two: Cohort,
    variant: Variant,
    first: int,
    resamples: Resamples,
    choices: Choices,
    cut: cutoff.Cut | None,
) -> VariantAnalysis:
    groups, truth, scores = part.groups, two.labels == 1, two.variant(variant.name).probabilities[:, 1]
    called = two.variant(variant.name).called
    binary = figures(two.labels, two.variant(variant.name).probabilities, called, two.classes, groups, resamples)
    several = [(two.classes[1], calibrate(truth, scores, groups, resamples))]
    if len(part.classes) > TWO:
        several += [
            (name, calibrate(part.labels == index, variant.probabilities[:, index], groups, resamples))
            for index, name in enumerate(part.classes)
        ]
    readers = {one.name: one.called == 1 for one in two.readers if (one.called >= 0).all()}
    return VariantAnalysis(
        name=variant.name,
        digest=variant.digest,
        figures=figures(part.labels, variant.probabilities, variant.called, part.classes, groups, resamples),
        curves=tuple(_curve(part, variant, index) for index in range(len(part.classes))),
        positive=binary.classes[1],
        calibration=tuple(several),
        decision=decision_curve(truth, scores, readers, resamples),
        consequences=tuple(
            consequences(name, truth, calls, resamples)
            for name, calls in {variant.name: called == 1, **readers}.items()
        ),
        subgroups=subgroups.by_descriptor(part, variant.name, first, choices.seed),
        transfer=_transfer(two, scores, cut, resamples, choices.cut_from) if cut else None,
    )


def _transfer(two: Cohort, scores: Floats, cut: cutoff.Cut, resamples: Resamples, chosen_in: str) -> Transfer | None:
    if cut.value.value is None:
        return None
    here = cutoff.transferred(cut.value.value, two.labels == 1, scores, two.groups, resamples)
    return Transfer(cut, chosen_in, here)


def _curve(part: Cohort, variant: Variant, index: int) -> roc.Curve | None:
    truth = part.labels == index
    return roc.curve(truth, variant.probabilities[:, index]) if truth.any() and not truth.all() else None


def _reader(part: Cohort, two: Cohort, index: int, choices: Choices) -> ReaderAnalysis:
    rows = part.readers[index].called >= 0
    seen, seen_two = part.take(rows), two.take(rows)
    called, calls = seen.readers[index].called, seen_two.readers[index].called
    resamples = Resamples.of(seen.groups, choices.draws, choices.seed)
    classes = len(part.classes)
    counts = confusion_of(seen.labels, called, classes)
    drawn = confusion_draws(seen.labels, called, classes, resamples)
    certain = np.column_stack((1 - calls, calls)).astype(np.float64)
    return ReaderAnalysis(
        name=part.readers[index].name,
        cases=len(seen.cases),
        accuracy=accuracy_estimate(counts, drawn, independent=resamples.patients == len(seen.cases)),
        quadratic_kappa=kappa_estimate(counts, quadratic_kappa(drawn)),
        positive=figures(seen_two.labels, certain, calls, two.classes, seen.groups, resamples).classes[1],
    )


def _survival(part: Cohort, follow_up: FollowUp, variant: Variant) -> SurvivalAnalysis:
    rows = np.isfinite(follow_up.months)
    known = part.take(rows)
    months, events = follow_up.months[rows], follow_up.events[rows]
    called = known.variant(variant.name).called
    terms = _terms(known, called)
    return SurvivalAnalysis(
        follow_up=follow_up.name,
        variant=variant.name,
        cases=len(months),
        without=int((~rows).sum()),
        arms=arms(part.classes, called, months, events),
        log_rank=log_rank(called, months, events),
        alone=each_alone(terms, months, events, known.groups),
        together=cox(terms, months, events, known.groups),
    )


def _terms(known: Cohort, called: Ints) -> dict[str, Floats]:
    """What was called, each class against the lowest that anyone was called, and the covariates."""
    present = sorted(set(called.tolist()))
    against = [(f"called {known.classes[index]} (against {known.classes[present[0]]})", index) for index in present[1:]]
    return {name: (called == index).astype(np.float64) for name, index in against} | dict(known.covariates)


def _plans(shown: ClassFigures, prevalence: float) -> tuple[Plan, ...]:
    """None for what is shown to be perfect or empty: no width follows from it."""
    asked = ((plan_area, shown.auc), (plan_sensitivity, shown.sensitivity), (plan_specificity, shown.specificity))
    return tuple(
        plan(round(one.value, 2), GOAL_WIDTH, round(prevalence, 2))
        for plan, one in asked
        if one.value is not None and 0 < round(one.value, 2) < 1 and 0 < round(prevalence, 2) < 1
    )
