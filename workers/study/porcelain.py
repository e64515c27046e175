"""PORCELAIN's seven models on one cohort: trained by cross-validation, judged on an external set by the node's steps.

OUT/
    training.csv            the development cases as ``celadon train`` reads them
    variants/NAME/training  a training, as ``celadon train porcelain --variant NAME`` leaves it
    variants/NAME/cases     what its bundle said of every case
    predictions.csv, labels.csv     of all models and sets, as ``celadon evaluate --predictions`` reads them
    table2.csv, study.html, study.pdf, study.json, figures/
    report/                 the full report
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from models import device, registry
from models.bundle import Bundle
from models.evaluation import study_figures
from models.evaluation.answers import NTR
from models.evaluation.cohort import WHOLE
from models.evaluation.variant_study import EXTERNAL, INTERNAL, NAMES, TRAINING, Example
from models.segmenters.dicom_seg import ArchiveSegmenter
from models.training.journal import Journal
from models.training.run import Wish, train
from node.dicom.sandbox import Decoder
from node.domain.ports import Predictor
from node.errors import Rejected, UsageError
from workers.evaluation.csv_files import write_rows
from workers.evaluation.examine import Bench, Examined, examine
from workers.evaluation.manifest import CohortCase, Manifest
from workers.evaluation.results import CaseResult, ResultFolder
from workers.evaluation.run import Run, run

VARIANTS: Final = tuple(NAMES)
STAGES: Final = {"multimodal-cuboid": "cuboid", "multimodal-roiex": "roiex-3mm", "multimodal-roi": "roi"}
"""Which model's image branch a staged training of a multimodal model takes."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked."""

    manifest: Manifest
    out: Path
    variants: tuple[str, ...] = VARIANTS
    external: str = EXTERNAL
    """Sets whose names begin so are never trained on."""
    folds: int = 3
    seed: int = 0
    settings: tuple[str, ...] = ()
    """``name=value`` for hyper-parameters."""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_staged: bool = False
    device: str = device.CPU
    workers: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class VariantRun:
    """One model, trained and judged."""

    name: str
    bundle: Bundle
    out_of_fold: Mapping[str, float]
    """Development case to its probability by a network that had not seen its patient."""
    threshold: float
    results: tuple[CaseResult, ...]
    """Of every case, by the finished network."""
    examples: tuple[Example, ...]


def run_study(study: Study, decoder: Decoder, journal: Journal, say: Say) -> tuple[VariantRun, ...]:
    """Train and judge every model, or what is left of it.

    Raises UsageError for what a person can mend in the cohort.
    """
    development = _write_training(study)
    if not any(_is_external(study, truth) for truth in study.manifest.truths):
        say("there is no external set: name one in the column set")
    return tuple(_variant(study, name, development, decoder, journal, say) for name in study.variants)


def write_predictions(study: Study, runs: Sequence[VariantRun]) -> tuple[Path, Path]:
    """The files of predictions and of labels that a report is made of."""
    truths = {truth["case"]: truth for truth in study.manifest.truths}
    said: list[dict[str, str]] = []
    for one in runs:
        by_case = {result.case: result for result in one.results}
        for case, truth in truths.items():
            result = by_case[case]
            if _is_external(study, truth):
                said.append(_said(case, one, result, result.probabilities.get("high"), result.called))
            else:
                said.append(_said(f"{case}.{TRAINING}", one, result, result.probabilities.get("high"), result.called))
                judged = one.out_of_fold.get(case)
                called = "" if judged is None else NTR.classes[int(judged >= one.threshold)]
                said.append(_said(case, one, result, judged, called))
    labels = [row for truth in study.manifest.truths for row in _labels(study, truth)]
    return write_rows(study.out / "predictions.csv", said), write_rows(study.out / "labels.csv", labels)


def contributions(study: Study, runs: Sequence[VariantRun]) -> dict[str, list[list[tuple[str, float]]]]:
    """For each model that has Shapley values, those of each external case, or where there is none, of every case."""
    shown = _shown(study)
    return {
        one.name: [
            [(name, logits) for name, logits, _ in result.contributions]
            for result in one.results
            if result.case in shown and result.contributions
        ]
        for one in runs
        if any(result.contributions for result in one.results)
    }


def _variant(study: Study, name: str, development: Path, decoder: Decoder, journal: Journal, say: Say) -> VariantRun:
    folder = study.out / "variants" / name
    say(f"{NAMES[name]}: training")
    options = {"variant": name, **study.options}
    if study.is_staged and name in STAGES:
        options["image_from"] = study.out / "variants" / STAGES[name] / TRAINING
    train(
        Wish(
            task="porcelain",
            out=folder / TRAINING,
            seed=study.seed,
            cohort=development,
            settings=study.settings,
            options=options,
            folds=study.folds,
            device=study.device,
            workers=study.workers,
            tries_bundle=False,
        ),
        journal,
    )
    bundle = Bundle.open(folder / TRAINING / "bundle")
    predictor: Predictor = registry.resolve(registry.PREDICTORS[bundle.predictor])(bundle, study.device, None)
    # Not warmed: what compiling saves a case, a study of some hundred cases does not get back seven times.
    bench = Bench(predictor, ((ArchiveSegmenter(), (bundle.anatomy,)),), decoder, ignores_masks=False)
    say(f"{NAMES[name]}: {len(study.manifest.cases)} cases")
    facts = {"celadon": metadata.version("celadon"), "bundle": bundle.digest}
    results = run(study.manifest.cases, Run(bench, facts, ResultFolder(folder / "cases")), lambda *_: None)
    judged = _out_of_fold(folder / TRAINING / "predictions.csv")
    threshold = bundle.celadon.child("parameters").number("threshold")
    return VariantRun(name, bundle, judged, threshold, results, tuple(_examples(study, name, bench)))


def _examples(study: Study, name: str, bench: Bench) -> Iterator[Example]:
    """The first case of each class that can be examined: a rule that nobody can choose by."""
    shown, seen = _shown(study), set[str]()
    truths = {truth["case"]: truth for truth in study.manifest.truths}
    for case in study.manifest.cases:
        label = NTR.class_of(truths[case.name].get("label", ""))
        if case.name not in shown or label in seen or not label:
            continue
        try:
            found = examine(case, bench)
        except Rejected:
            continue
        seen.add(label)
        yield Example(name, case.name, label, _called(found), _picture(found))


def _called(found: Examined) -> str:
    return NTR.classes[NTR.conclusions.index(found.prediction.conclusion)]


def _picture(found: Examined) -> Any:
    index = next(iter(found.prediction.explanation.key_slices), found.roi.largest_slice)
    plane = found.volume.hu[index]
    saliency = found.prediction.explanation.on_slice(index, (plane.shape[0], plane.shape[1]))
    return study_figures.overlay(plane, saliency, found.roi.mask[index].astype(np.float32))


def _shown(study: Study) -> frozenset[str]:
    """The external cases; where there is none, every case."""
    outside = frozenset(truth["case"] for truth in study.manifest.truths if _is_external(study, truth))
    return outside or frozenset(case.name for case in study.manifest.cases)


def _is_external(study: Study, truth: Mapping[str, str]) -> bool:
    return truth.get("set", WHOLE).startswith(study.external)


def _write_training(study: Study) -> Path:
    """The development cases in the columns of ``models.training.manifest``; UsageError where one lacks a mask."""
    truths = {truth["case"]: truth for truth in study.manifest.truths}
    rows = []
    for case in study.manifest.cases:
        truth = truths[case.name]
        if _is_external(study, truth):
            continue
        if case.mask is None:
            raise UsageError(f"{study.manifest.file}: case {case.name}: a case to be trained on needs a mask")
        rows.append(_training_row(case, truth))
    if not rows:
        raise UsageError(f"{study.manifest.file}: every case is external: there is nothing to train on")
    study.out.mkdir(parents=True, exist_ok=True)
    return write_rows(study.out / "training.csv", rows)


def _training_row(case: CohortCase, truth: Mapping[str, str]) -> dict[str, str]:
    row = {
        "id": case.name,
        "patient": truth.get("patient") or case.name,
        "image": str(case.image),
        "mask": str(case.mask),
        "label": NTR.class_of(truth.get("label", "")),
        "centre": truth.get("centre", ""),
    }
    values = {value.variable: value for value in case.clinical.values}
    for variable, value in values.items():
        row[f"{variable.value}[{value.unit}]" if value.unit else variable.value] = str(value.value)
    return row


def _out_of_fold(file: Path) -> dict[str, float]:
    with file.open(encoding="utf-8", newline="") as stream:
        return {row["id"]: float(row["output_0"]) for row in csv.DictReader(stream)}


def _said(case: str, one: VariantRun, result: CaseResult, high: float | None, called: str) -> dict[str, str]:
    shares = ("", "") if high is None else (repr(1 - high), repr(high))
    reason = result.reason or ("" if high is not None else "no prediction")
    return {
        "case": case,
        "variant": one.name,
        "p_low": shares[0],
        "p_high": shares[1],
        "called": called,
        "digest": one.bundle.digest,
        "excluded": reason,
    }


def _labels(study: Study, truth: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What is known of a case, once for each set that it is in."""
    row = {**truth, "label": NTR.class_of(truth.get("label", "")), "patient": truth.get("patient") or truth["case"]}
    if _is_external(study, truth):
        yield {**row, "set": EXTERNAL}
    else:
        yield {**row, "case": f"{truth['case']}.{TRAINING}", "set": TRAINING}
        yield {**row, "set": INTERNAL}
