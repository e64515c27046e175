"""The report as a list of blocks, before it is a page or a paper: what is said, in which order, with which pictures.

Nothing is computed here. What is doubtful about a figure stands beside it, and what is doubtful about the whole stands
first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from models.evaluation import figures
from models.evaluation.analysis import Analysis, SetAnalysis, SurvivalAnalysis, Transfer, VariantAnalysis
from models.evaluation.checklists import OPEN, Answer
from models.evaluation.classification import ClassFigures
from models.evaluation.estimate import Estimate
from models.evaluation.survival import Arm, Cox

FEW: Final = 10
"""Cases of a kind below which a figure is an anecdote."""
TWO: Final = 2
MOST_LISTED: Final = 200
"""Cases left out that a page lists by name."""
SMALLEST_P: Final = 0.001
"""Below, journals want no digits."""


@dataclass(frozen=True, slots=True)
class Heading:
    """1 is the report's, 2 a chapter's, 3 a section's."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences; a warning stands out."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of words."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure with what it shows."""

    caption: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Somebody else's text, as it is."""

    text: str


Block = Heading | Paragraph | Table | Picture | Verbatim


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a report comes from."""

    title: str
    created_at: str
    """ISO 8601, UTC."""
    software: tuple[tuple[str, str], ...]
    """(name, version)."""
    inputs: tuple[tuple[str, str], ...]
    """(file name, SHA-256)."""
    bundle: str
    digest: str
    """Of the bundle; empty when not known."""
    model_card: str
    disclaimer: str
    flow: tuple[tuple[str, int], ...] = ()
    """(step, number): how the cohort came about, before there were cases."""


def compose(
    analysis: Analysis, provenance: Provenance, tripod: Sequence[Answer], claim: Sequence[Answer]
) -> Iterator[Block]:
    """The blocks of the whole report."""
    yield Heading(1, provenance.title)
    yield Paragraph(f"Made {provenance.created_at} by Celadon. Every interval is at 95 %.")
    if provenance.disclaimer:
        yield Paragraph(provenance.disclaimer, is_warning=True)
    for warning in warnings(analysis):
        yield Paragraph(warning, is_warning=True)
    yield from _flow(analysis, provenance)
    for one in analysis.sets:
        yield from _set(analysis, one)
    yield from _observers(analysis)
    yield from _shifts(analysis)
    yield from _checklist("TRIPOD+AI", tripod)
    yield from _checklist("CLAIM", claim)
    yield from _origins(analysis, provenance)


def warnings(analysis: Analysis) -> tuple[str, ...]:
    """What a reader must know before any figure."""
    found = [
        f"{shared} patients are in both {first} and {second}: neither is an independent test of the other."
        for first, second, shared in analysis.shared_patients
        if shared
    ]
    for one in analysis.sets:
        few = [name for name, cases in one.classes if cases < FEW]
        if few:
            found.append(f"Set {one.name}: fewer than {FEW} cases of {', '.join(few)}: its figures are anecdotes.")
        if one.patients < one.cases:
            found.append(
                f"Set {one.name}: {one.cases} cases of {one.patients} patients; intervals are made over patients."
            )
        shares = {cases for _, cases in one.classes}
        if len(shares) == 1 and one.cases > FEW * len(one.classes):
            found.append(
                f"Set {one.name}: the classes are equally frequent, as by selection; PPV and NPV hold for that alone."
            )
    found += [
        f"Centre {one.centre}: {one.quantity} is unlike that of the others (PSI {one.psi:.2f}); see its own figures."
        for one in analysis.shifts
        if one.is_shifted
    ]
    if analysis.ignored_columns:
        found.append(f"Columns not understood and left alone: {', '.join(analysis.ignored_columns)}.")
    return tuple(found)


def _flow(analysis: Analysis, provenance: Provenance) -> Iterator[Block]:
    yield Heading(2, "Cohort")
    analysed = analysis.found - sum(cases for _, cases in analysis.exclusions)
    rows = [(step, str(number)) for step, number in provenance.flow]
    rows += [("cases found", str(analysis.found))]
    rows += [(f"left out: {reason}", str(cases)) for reason, cases in analysis.exclusions]
    rows += [("analysed", str(analysed))]
    rows += [(f"set {one.name}", f"{one.cases} of {one.patients} patients") for one in analysis.sets]
    yield Table("Flow of cases", ("step", "cases"), tuple(rows))
    if analysis.left_out:
        shown = analysis.left_out[:MOST_LISTED]
        rest = len(analysis.left_out) - len(shown)
        caption = "Cases left out" + (f"; {rest} more are in the data beside this page" if rest else "")
        yield Table(caption, ("case", "why"), shown)
    yield Table(
        f"True classes; positive means {' or '.join(analysis.positive)}",
        ("set", *analysis.classes, "positive"),
        tuple((one.name, *(str(cases) for _, cases in one.classes), str(one.positives)) for one in analysis.sets),
    )


def _shifts(analysis: Analysis) -> Iterator[Block]:
    """Centres whose cases are unlike the others'."""
    if analysis.shifts:
        yield Heading(2, "Shift between centres")
        yield Table(
            "Each centre against all others: Kolmogorov-Smirnov (p after Holm) and population stability index",
            ("centre", "quantity", "cases", "others", "median", "of the others", "PSI", "distance", "p", "shifted"),
            tuple(
                (
                    one.centre,
                    one.quantity,
                    str(one.cases),
                    str(one.others),
                    f"{one.median:.3g}",
                    f"{one.median_of_others:.3g}",
                    f"{one.psi:.2f}",
                    f"{one.distance:.2f}",
                    p_text(one.p),
                    "yes" if one.is_shifted else "",
                )
                for one in analysis.shifts
            ),
        )


def _observers(analysis: Analysis) -> Iterator[Block]:
    """Regions and measurements of one lesion by several."""
    if analysis.overlaps or analysis.agreements:
        yield Heading(2, "Regions and observers")
    if analysis.overlaps:
        yield Table(
            "The regions analysed against masks; distances in millimetres",
            ("against", "measure", "mean", "median", "lowest", "highest", "cases"),
            tuple(
                (
                    one.observer,
                    one.measure.replace("_", " "),
                    one.mean.text(),
                    *(f"{value:.3f}" for value in (one.median, one.lowest, one.highest)),
                    str(one.mean.cases),
                )
                for one in analysis.overlaps
            ),
        )
    if analysis.agreements:
        yield Table(
            "Intraclass correlation of single measurements, two-way: absolute between observers, consistent within one",
            ("quantity", "agreement", "observers", "ICC", "form", "cases", "note"),
            tuple(
                (
                    one.quantity.replace("_", " "),
                    one.kind,
                    ", ".join(one.observers),
                    one.icc.text(),
                    one.form,
                    str(one.icc.cases),
                    one.icc.note,
                )
                for one in analysis.agreements
            ),
        )


def _set(analysis: Analysis, one: SetAnalysis) -> Iterator[Block]:
    yield Heading(2, f"Set {one.name}")
    for variant in one.variants:
        yield Heading(3, variant.name)
        yield from _variant(analysis, variant)
    if one.comparisons:
        yield _comparisons(one)
    if one.readers:
        yield _readers(one)
    for survival in one.survival:
        yield Heading(3, f"Survival ({survival.follow_up}) by what {survival.variant} called")
        yield from _survival(survival)
    if one.plans:
        yield Table(
            "What another study needs, if it finds what is found here",
            ("for", "cases", "positive among them", "formula"),
            tuple((plan.asked, str(plan.cases), str(plan.events or ""), plan.formula) for plan in one.plans),
        )


def _variant(analysis: Analysis, variant: VariantAnalysis) -> Iterator[Block]:
    found, classes = variant.figures, analysis.classes
    rows = tuple(
        (name, one.text(), str(one.cases), one.interval, one.source.value, one.note)
        for name, one in (
            ("accuracy", found.accuracy),
            ("macro AUC", found.macro_auc),
            ("quadratic kappa", found.quadratic_kappa),
        )
    )
    yield Table("All classes", ("measure", "value", "cases", "interval", "library", "note"), rows)
    yield _classes(variant, analysis)
    if any(variant.curves):
        yield Picture("ROC curves, each class against the rest", figures.roc_curves(variant, classes))
    yield Picture("Confusion: cases by true and called class", figures.confusion(variant, classes))
    yield _calibration(variant)
    name, first = variant.calibration[0]
    yield Picture(f"Calibration of {name}", figures.calibration(name, first))
    yield Picture(
        f"Decision curve: acting on {' or '.join(analysis.positive)}, with the model's interval",
        figures.decision(variant.decision),
    )
    useful = variant.decision.useful_between()
    yield Paragraph(
        f"The model has the highest net benefit at thresholds from {useful[0]:.2f} to {useful[1]:.2f} at most."
        if useful
        else "At no threshold from 0.01 to 0.80 has the model the highest net benefit."
    )
    yield _consequences(variant)
    if variant.transfer:
        yield _transfer(variant.transfer)
    yield from _subgroups(variant)


def _classes(variant: VariantAnalysis, analysis: Analysis) -> Table:
    two = len(analysis.classes) == TWO
    rows = [_class_row(one) for one in (variant.figures.classes[1:] if two else variant.figures.classes)]
    if not two:
        rows.append(_class_row(variant.positive))
    return Table(
        "Each class against the rest",
        (
            "class",
            "cases",
            "AUC, DeLong",
            "AUC, bootstrap",
            "accuracy",
            "sensitivity",
            "specificity",
            "PPV",
            "NPV",
            "F1",
        ),
        tuple(rows),
    )


def _class_row(one: ClassFigures) -> tuple[str, ...]:
    measures = (one.auc, one.auc_bootstrap, one.accuracy, one.sensitivity, one.specificity, one.ppv, one.npv, one.f1)
    return (one.name, str(one.cases), *(measure.text() for measure in measures))


def _calibration(variant: VariantAnalysis) -> Table:
    return Table(
        "Calibration: slope 1 and intercept 0 are right",
        ("class", "slope", "intercept", "Brier", "scaled Brier", "ICI", "Hosmer-Lemeshow p", "note"),
        tuple(
            (
                name,
                one.slope.text(2),
                one.intercept.text(2),
                one.brier.text(),
                one.brier_scaled.text(2),
                one.ici.text(),
                p_text(one.hosmer_lemeshow.p),
                "; ".join(dict.fromkeys(note for note in (one.slope.note, one.hosmer_lemeshow.note) if note)),
            )
            for name, one in variant.calibration
        ),
    )


def _consequences(variant: VariantAnalysis) -> Table:
    return Table(
        "What the calls would have done; net benefit and number needed at a threshold of one half",
        ("by", "over-treatment", "under-treatment", "net benefit", "number needed to treat", "note"),
        tuple(
            (
                one.name,
                one.over_treatment.text(),
                one.under_treatment.text(),
                one.net_benefit.text(),
                one.number_needed_to_treat.text(2),
                one.number_needed_to_treat.note,
            )
            for one in variant.consequences
        ),
    )


def _transfer(transfer: Transfer) -> Table:
    cut, here = transfer.cut, transfer.here
    measures = (here.accuracy, here.sensitivity, here.specificity, here.ppv, here.npv, here.f1)
    return Table(
        f"The cut of the positive classes' probability that set {transfer.chosen_in} chose, applied here",
        ("cut", "Youden's index there", "accuracy", "sensitivity", "specificity", "PPV", "NPV", "F1"),
        ((cut.value.text(), cut.youden.text(), *(measure.text() for measure in measures)),),
    )


def _subgroups(variant: VariantAnalysis) -> Iterator[Block]:
    rows = []
    for one in variant.subgroups:
        for index, group in enumerate(one.groups):
            positive = group.positive
            measures = (positive.auc, positive.accuracy, positive.sensitivity, positive.specificity)
            p = p_text(one.heterogeneity_p) if index == 0 else ""
            counts = (str(group.cases), str(positive.cases))
            rows.append((one.descriptor, group.value, *counts, *(measure.text(2) for measure in measures), p))
    if rows:
        columns = (
            "by",
            "value",
            "cases",
            "positive",
            "AUC",
            "accuracy",
            "sensitivity",
            "specificity",
            "p, areas differ",
        )
        yield Table("Subgroups: many are looked at, and one will look odd by chance", columns, tuple(rows))
    for one in variant.subgroups:
        if len(one.groups) > 1:
            yield Picture(f"AUC by {one.descriptor}", figures.forest(one))


def _comparisons(one: SetAnalysis) -> Table:
    return Table(
        "DeLong's test of the positive classes' areas; meant for models that are not nested in each other",
        ("first", "second", "difference", "z", "p"),
        tuple(
            (
                pair.first,
                pair.second,
                pair.difference.text(),
                "\N{EN DASH}" if pair.z is None else f"{pair.z:.2f}",
                p_text(pair.p),
            )
            for pair in one.comparisons
        ),
    )


def _readers(one: SetAnalysis) -> Table:
    return Table(
        "Second readers",
        ("reader", "cases", "accuracy", "quadratic kappa", "sensitivity for positive", "specificity for positive"),
        tuple(
            (
                reader.name,
                str(reader.cases),
                reader.accuracy.text(),
                reader.quadratic_kappa.text(),
                reader.positive.sensitivity.text(),
                reader.positive.specificity.text(),
            )
            for reader in one.readers
        ),
    )


def _survival(found: SurvivalAnalysis) -> Iterator[Block]:
    yield Picture(
        f"Kaplan-Meier; log-rank p {p_text(found.log_rank.p)} {found.log_rank.note}".strip(), figures.survival(found)
    )
    yield arms_table(f"Arms; {found.without} cases have no follow-up", "called", found.arms)
    yield cox_table((("alone", tuple(model for _, model in found.alone)), ("together", (found.together,))))


def arms_table(caption: str, by: str, arms: Sequence[Arm]) -> Table:
    """What Kaplan-Meier curves say at their landmarks."""
    return Table(
        caption,
        (by, "cases", "events", "median months", "share without the event"),
        tuple(
            (
                arm.name,
                str(arm.cases),
                str(arm.events),
                _or_note(arm.median_months, 1),
                "; ".join(f"{months:g} months: {estimate.text(2)}" for months, estimate in arm.landmarks),
            )
            for arm in arms
        ),
    )


def cox_table(labelled: Sequence[tuple[str, Sequence[Cox]]]) -> Table:
    """The terms of Cox models, each model under its label."""
    rows = []
    for label, models in labelled:
        for model in models:
            rows += [
                (
                    label,
                    term.name,
                    str(model.cases),
                    term.hazard_ratio.text(2),
                    p_text(term.p),
                    p_text(term.proportional_p),
                )
                for term in model.terms
            ]
            if model.note:
                rows.append((label, model.note, str(model.cases), "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}"))
    return Table(
        "Cox models",
        ("model", "term", "cases", "hazard ratio", "p", "p, hazards not proportional"),
        tuple(rows),
    )


def _checklist(name: str, answers: Sequence[Answer]) -> Iterator[Block]:
    done = sum(answer.answer != OPEN for answer in answers)
    yield Heading(2, f"{name}: {done} of {len(answers)} items filled; the others are for the authors")
    rows = tuple((one.number, one.topic, one.answer or "…") for one in answers)
    yield Table(name, ("item", "topic", "answer"), rows)


def _origins(analysis: Analysis, provenance: Provenance) -> Iterator[Block]:
    yield Heading(2, "Where this comes from")
    rows = [("seed", str(analysis.choices.seed)), ("bootstrap draws", str(analysis.choices.draws))]
    rows += [(f"software: {name}", version) for name, version in provenance.software]
    rows += [(f"input: {name}", digest) for name, digest in provenance.inputs]
    if provenance.bundle:
        rows.append((f"bundle: {provenance.bundle}", provenance.digest))
    digests = {variant.name: variant.digest for one in analysis.sets for variant in one.variants}
    rows += [(f"predictions of {name}", digest or "no digest recorded") for name, digest in digests.items()]
    yield Table("Provenance", ("what", "value"), tuple(rows))
    if provenance.model_card:
        yield Heading(2, "Model card, as it stands in the bundle")
        yield Verbatim(provenance.model_card)


def p_text(value: float | None) -> str:
    """As journals want it."""
    if value is None:
        return "\N{EN DASH}"
    return "< 0.001" if value < SMALLEST_P else f"{value:.3f}"


def _or_note(estimate: Estimate, digits: int) -> str:
    return estimate.note if estimate.value is None else estimate.text(digits)
