"""A whole cohort, case by case: what is done is taken from its file, what fails is written down and passed over."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from models.evaluation.answers import Question, of_prediction
from models.evaluation.observers import BY, MEASURED, MEASURES, OVERLAP
from node.domain.reasons import ReasonCode
from node.errors import CeladonError, Rejected
from workers.evaluation.csv_files import write_rows
from workers.evaluation.examine import Bench, Examined, examine
from workers.evaluation.inputs import files_of
from workers.evaluation.manifest import CohortCase
from workers.evaluation.results import CaseResult, Region, ResultFolder, key_of

PREDICTIONS: Final = "predictions.csv"
FAILURES: Final = "failures.csv"

Progress = Callable[[CaseResult, bool], None]
"""Told of each case when it is done, and whether it was done before."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is run, and how its results are found again."""

    bench: Bench
    facts: Mapping[str, Any]
    """What results rest on besides the case: bundle, segmenters, versions; as JSON has it."""
    folder: ResultFolder


def run(cases: Sequence[CohortCase], how: Run, progress: Progress) -> tuple[CaseResult, ...]:
    """The result of every case, in their order."""
    found = []
    for case in cases:
        result, was_known = _one(case, how)
        found.append(result)
        progress(result, was_known)
    return tuple(found)


def write_predictions(results: Iterable[CaseResult], question: Question, file: Path) -> None:
    """The results in the columns of ``models.evaluation.cohort_file``."""
    known = ["case", *(f"p_{name}" for name in question.classes), "called", "digest", "excluded"]
    write_rows(file, [dict(_row(one)) for one in results], known)


def write_failures(results: Iterable[CaseResult], file: Path) -> tuple[CaseResult, ...]:
    """The cases without an answer, each with its reason; also returned."""
    failed = tuple(one for one in results if one.reason)
    rows = [{"case": one.case, "reason": one.reason, "sentence": _reason(one), "detail": one.detail} for one in failed]
    write_rows(file, rows, ["case", "reason", "sentence", "detail"])
    return failed


def _one(case: CohortCase, how: Run) -> tuple[CaseResult, bool]:
    started = time.perf_counter()
    try:
        key = _key(case, how.facts)
        if (known := how.folder.find(case.name, key)) is not None:
            return known, True
        try:
            result = _answered(case, key, examine(case, how.bench))
        except Rejected as error:
            result = CaseResult(case.name, key, reason=error.reason.code.name, detail=error.reason.detail)
    except (CeladonError, OSError, MemoryError) as error:
        # Of the surroundings: the next run tries again.
        why = str(error) or type(error).__name__
        result = CaseResult(case.name, "", reason=ReasonCode.NOT_NOW.name, detail=why, is_final=False)
    except Exception as error:  # noqa: BLE001 — one strange file must not cost the other cases
        result = CaseResult(case.name, "", reason=ReasonCode.INTERNAL.name, detail=type(error).__name__, is_final=False)
    result = replace(result, seconds=round(time.perf_counter() - started, 3))
    how.folder.keep(result)
    return result, False


def _key(case: CohortCase, facts: Mapping[str, Any]) -> str:
    files = [file for path in (case.image, case.mask, *case.observers.values()) if path for file in files_of(path)]
    values = [(value.variable.value, value.value, value.unit) for value in case.clinical.values]
    return key_of({**facts, "case": case.name, "clinical": values, "observers": list(case.observers)}, files)


def _answered(case: CohortCase, key: str, found: Examined) -> CaseResult:
    answer = of_prediction(found.prediction)
    attribution = found.prediction.attribution
    return CaseResult(
        case=case.name,
        key=key,
        probabilities=dict(zip(answer.question.classes, answer.probabilities, strict=True)),
        called=answer.called,
        digest=found.prediction.algorithm.digest,
        region=Region(found.roi.source, found.roi.made_by, round(found.roi.volume_ml, 4)),
        phase=found.phase.phase.value,
        remarks=tuple(one.code.name for one in found.remarks),
        map_dice=found.prediction.explanation.roi_dice,
        contributions=tuple((one.name, one.logits, one.is_imputed) for one in attribution.contributions)
        if attribution
        else (),
        overlap=dict(found.overlap),
        observers={name: dict(measured) for name, measured in found.observers.items()},
    )


def _row(one: CaseResult) -> Iterator[tuple[str, str]]:
    """Column and text."""
    yield from (("case", one.case), ("called", one.called), ("digest", one.digest), ("excluded", _reason(one)))
    yield from ((f"p_{name}", repr(value)) for name, value in one.probabilities.items())
    yield from ((f"{OVERLAP}{measure}", repr(value)) for measure, value in one.overlap.items())
    for observer, measured in one.observers.items():
        for name, value in measured.items():
            yield f"{OVERLAP if name in MEASURES else MEASURED}{name}{BY}{observer}", repr(value)


def _reason(result: CaseResult) -> str:
    """The reason as a person reads it; empty when there is an answer."""
    return f"{result.reason}: {ReasonCode[result.reason].sentence}" if result.reason else ""
