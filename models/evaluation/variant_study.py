"""Seven models on one cohort, as PORCELAIN's Table 2 puts them: in training, internal and external validation.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02303-9, Table 2 and Figs. 3 and 4. The paper's own external rows
fit 39 cases, where 42 are stated; here numbers of cases stand in the table.

Training is what the finished network says of the cases that it has learnt from; internal validation what networks
said that had not seen the case's patient; external validation what the finished network says of others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.figure import Figure

from models.evaluation import study_figures
from models.evaluation.analysis import Analysis, SetAnalysis
from models.evaluation.document import Block, Heading, Paragraph, Picture, Table, p_text
from models.evaluation.estimate import Estimate

TRAINING: Final = "training"
INTERNAL: Final = "internal"
EXTERNAL: Final = "external"
SETS: Final = {TRAINING: "Training", INTERNAL: "Internal validation", EXTERNAL: "External validation"}
NAMES: Final = {
    "cuboid": "Cuboid-model",
    "roiex-3mm": "ROIex-3mm-model",
    "roiex-5mm": "ROIex-5mm-model",
    "roi": "ROI-model",
    "multimodal-cuboid": "Multimodal Cuboid-model",
    "multimodal-roiex": "Multimodal ROIex-model",
    "multimodal-roi": "Multimodal ROI-model (PORCELAIN)",
}
"""In the order of Table 2."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Where a model looked in one case."""

    variant: str
    case: str
    label: str
    called: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Row:
    """One model in one set."""

    model: str
    set_name: str
    cases: int
    positive: int
    auc: Estimate
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    f1: Estimate

    def cells(self) -> tuple[str, ...]:
        """As the paper prints them: intervals for AUC and accuracy."""
        points = (self.sensitivity, self.specificity, self.f1)
        return (
            NAMES.get(self.model, self.model),
            SETS.get(self.set_name, self.set_name),
            f"{self.cases} ({self.positive})",
            self.auc.text(2),
            self.accuracy.text(2),
            *("\N{EN DASH}" if one.value is None else f"{one.value:.2f}" for one in points),
        )


COLUMNS: Final = ("Model", "Set", "Cases (high)", "AUC (95% CI)", "ACC (95% CI)", "Sensitivity", "Specificity", "F1")


def table_2(analysis: Analysis) -> tuple[Row, ...]:
    """The rows, model by model in the paper's order."""
    sets = {one.name: one for one in analysis.sets}
    found = []
    for model in NAMES:
        for name in SETS:
            found += [_row(model, sets[name])] if name in sets and _has(sets[name], model) else []
    return tuple(found)


def compose(
    analysis: Analysis,
    contributions: Mapping[str, Sequence[Sequence[tuple[str, float]]]],
    examples: Sequence[Example],
    failures: Sequence[tuple[str, str, str]],
    facts: Sequence[tuple[str, str]],
    disclaimers: Sequence[str],
) -> Iterator[Block]:
    """The study as blocks.

    ``contributions``: for each multimodal model, for each external case, (input, Shapley value in logits).
    ``failures``: (model, case, reason code). ``facts``: (what, value) of how it was made.
    """
    yield Heading(1, "Seven models of the neutrophil-to-T-cell ratio")
    for text in disclaimers:
        yield Paragraph(text, is_warning=True)
    yield Table(
        "Performance of the models (the form of PORCELAIN's Table 2)",
        COLUMNS,
        tuple(row.cells() for row in table_2(analysis)),
    )
    yield Paragraph(
        "Training: the finished network on the cases that it has learnt from. Internal validation: each case by a "
        "network that had not seen its patient, at the cut that these predictions themselves chose. External: the "
        "finished network and its cut on other cases."
    )
    if failures:
        yield Table(
            "Cases without an answer",
            ("model", "case", "reason"),
            tuple((NAMES.get(model, model), case, reason) for model, case, reason in failures),
        )
    for one in analysis.sets:
        yield from _set(one)
    yield from _shapley(contributions)
    if examples:
        yield Heading(2, "Where the models looked")
        yield Paragraph("The first case of each class in the external set, or where there is none, of the cohort.")
    for example in examples:
        name = NAMES.get(example.variant, example.variant)
        shown = f"{name}: case {example.case}, {example.label}, called {example.called}"
        yield Picture(f"Grad-CAM, {shown}", example.figure)
    yield Heading(2, "How it was made")
    yield Table("Provenance", ("what", "value"), tuple(facts))


def data(analysis: Analysis) -> list[dict[str, Any]]:
    """Table 2 for programs."""
    return [
        {
            "model": row.model,
            "set": row.set_name,
            "cases": row.cases,
            "positive": row.positive,
            **{
                name: {"value": one.value, "low": one.low, "high": one.high}
                for name, one in (
                    ("auc", row.auc),
                    ("accuracy", row.accuracy),
                    ("sensitivity", row.sensitivity),
                    ("specificity", row.specificity),
                    ("f1", row.f1),
                )
            },
        }
        for row in table_2(analysis)
    ]


def _has(one: SetAnalysis, model: str) -> bool:
    return any(variant.name == model for variant in one.variants)


def _row(model: str, one: SetAnalysis) -> Row:
    found = next(variant for variant in one.variants if variant.name == model).positive
    return Row(
        model,
        one.name,
        one.cases,
        one.positives,
        found.auc,
        found.accuracy,
        found.sensitivity,
        found.specificity,
        found.f1,
    )


def _set(one: SetAnalysis) -> Iterator[Block]:
    yield Heading(2, SETS.get(one.name, one.name))
    if any(variant.curves[-1] is not None for variant in one.variants):
        yield Picture(f"ROC curves, {one.name}", study_figures.roc_of_models(one, NAMES))
    yield Picture(f"Radar of the measures, {one.name}", study_figures.radar(one, NAMES))
    yield Picture(f"Confusion matrices, {one.name}", study_figures.confusions(one, NAMES))
    if one.comparisons:
        yield Table(
            "DeLong's test of AUCs, each pair of models",
            ("first", "second", "difference", "p"),
            tuple(
                (
                    NAMES.get(pair.first, pair.first),
                    NAMES.get(pair.second, pair.second),
                    pair.difference.text(2),
                    p_text(pair.p),
                )
                for pair in one.comparisons
            ),
        )
    for survival in one.survival:
        if survival.variant == "multimodal-roi":
            yield Picture(
                f"Kaplan-Meier ({survival.follow_up}) by what PORCELAIN called, {one.name}; "
                f"log-rank p {p_text(survival.log_rank.p)}",
                study_figures.survival(survival),
            )


def _shapley(contributions: Mapping[str, Sequence[Sequence[tuple[str, float]]]]) -> Iterator[Block]:
    if any(contributions.values()):
        yield Heading(2, "What the models went by")
    for model, cases in contributions.items():
        if cases:
            yield Picture(
                f"Shapley values in logits, {NAMES.get(model, model)}, {len(cases)} cases: mean size, and each case",
                study_figures.shapley(cases),
            )
