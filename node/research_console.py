"""What the commands for researchers do: a marker's chain, a reader study, the size of a study. They need no node."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from node.errors import UsageError
from node.evaluation_commands import Asked, evaluate, library_needed, write_files, write_rows
from node.settings import Settings

_SCORE: Final = "score_"
_RATIO: Final = "ntr"
_MARKER_REPORT: Final = "marker"
_READER_REPORT: Final = "readers"
_PUBLISHED: Final = "GTRNet's published predictions"
_TRAINING: Final = "train_predictions_resnet152.csv"
_TEST: Final = "test_predictions_resnet152.csv"
_REFIT_LIMITS: Final = (
    "The published Rad-score file is empty, so the Rad-score is not in it. Rows are slices and not patients, and age "
    "differs between the slices of one patient: errors are too small, and nothing here is a clinical finding."
)


@dataclass(frozen=True, slots=True)
class Survival:
    """What a marker's study is asked."""

    file: Path
    marker: str
    follow_up: str
    """``os`` for the columns os_months and os_event."""
    covariates: tuple[str, ...]
    cut: float | None
    earliest_days: float
    out: Path
    draws: int
    seed: int


def score_expression(matrix: Path, signatures: Path, above: str, below: str, out: Path, *, as_json: bool) -> int:
    """Write the scores of every population and the ratio of two of them; 0."""
    with library_needed():
        from models.evaluation import expression, ntr  # noqa: PLC0415 — an extra that may be missing
    read, known = expression.read_expression(matrix), expression.read_signatures(signatures)
    upper, lower = (expression.abundance(read, known, name) for name in (above, below))
    ratios = ntr.of_expression(upper, lower)
    found, unscored = [], []
    for name, genes in known.items():
        if set(genes) & set(read.genes):
            found.append(expression.abundance(read, known, name))
        else:
            unscored.append(name)
    high = ratios.is_high(ntr.CUT_EXPRESSION)
    rows = [
        {
            "case": case,
            _RATIO: _number(ratios.values[index]),
            "high": _call(ratios.values[index], bool(high[index])),
            **{f"{_SCORE}{one.population}": _number(one.scores[index]) for one in found},
            "note": ratios.notes[index],
        }
        for index, case in enumerate(ratios.cases)
    ]
    write_rows(out, rows)
    summary = {
        "file": str(out),
        "samples": len(rows),
        "ratio": f"log2(x + 1) of {above} over log2(x + 1) of {below}",
        "cut": ntr.CUT_EXPRESSION,
        "high": sum(row["high"] == "1" for row in rows),
        "without_ratio": sum(row["high"] == "" for row in rows),
        "markers_found": {one.population: [one.markers_found, one.markers] for one in found},
        "not_scored": unscored,
    }
    return _said(summary, as_json=as_json)


def score_counts(file: Path, out: Path, *, as_json: bool) -> int:
    """Write the ratio of each tumour from its counts; 0."""
    with library_needed():
        from models.evaluation import ntr  # noqa: PLC0415 — an extra that may be missing
    ratios = ntr.read_counts(file)
    high = ratios.is_high(ntr.CUT_COUNT)
    rows = [
        {"case": case, _RATIO: _number(value), "high": _call(value, bool(is_high)), "note": note}
        for case, value, is_high, note in zip(ratios.cases, ratios.values, high, ratios.notes, strict=True)
    ]
    write_rows(out, rows)
    summary = {
        "file": str(out),
        "cases": len(rows),
        "cut": ntr.CUT_COUNT,
        "high": sum(row["high"] == "1" for row in rows),
        "without_ratio": sum(row["high"] == "" for row in rows),
        "doubtful": {row["case"]: row["note"] for row in rows if row["note"]},
    }
    return _said(summary, as_json=as_json)


def study_survival(asked: Survival, *, as_json: bool) -> int:
    """Write a marker's report; 0."""
    with library_needed():
        from models.evaluation import biomarker, marker_report  # noqa: PLC0415 — an extra that may be missing
        from models.evaluation.columns import Columns  # noqa: PLC0415 — as above
        from models.evaluation.page import html  # noqa: PLC0415 — as above
        from models.evaluation.paper import pdf  # noqa: PLC0415 — as above
        from models.evaluation.report import plain  # noqa: PLC0415 — as above
    columns = Columns(asked.file)
    months = columns.numbers(f"{asked.follow_up}_months")
    found = biomarker.study(
        columns.numbers(asked.marker),
        months,
        columns.events(f"{asked.follow_up}_event", months),
        {name: columns.numbers(name) for name in asked.covariates},
        columns.groups("patient"),
        cut=asked.cut,
        earliest_months=asked.earliest_days / biomarker.DAYS_A_MONTH,
        draws=asked.draws,
        seed=asked.seed,
    )
    title = f"{asked.marker} and {asked.follow_up}"
    blocks = tuple(marker_report.compose(title, asked.marker, asked.follow_up, found))
    data = {"marker": asked.marker, "follow_up": asked.follow_up, "seed": asked.seed, "study": plain(found)}
    return _reported(asked.out, _MARKER_REPORT, html(title, blocks), pdf(title, blocks), data, as_json=as_json)


def plan_readers(file: Path, readers: Sequence[str], out: Path, seed: int, *, as_json: bool) -> int:
    """Write the plan of a reader study; 0."""
    with library_needed():
        from models.evaluation import reader_plan  # noqa: PLC0415 — an extra that may be missing
        from models.evaluation.columns import Columns  # noqa: PLC0415 — as above
    columns = Columns(file)
    readings = reader_plan.plan(columns.cases, columns.words("label"), tuple(readers), seed)
    files = reader_plan.write_plan(readings, out)
    summary = {
        "cases": len(columns.cases),
        "readers": list(readers),
        "readings": len(readings),
        "sessions": reader_plan.SESSIONS,
        "pause_days": reader_plan.PAUSE_DAYS,
        "seed": seed,
        "files": [str(one) for one in files],
    }
    return _said(summary, as_json=as_json)


def evaluate_readers(
    plan: Path, sheets: Sequence[Path], labels: Path, classes: Sequence[str], out: Path, draws: int, seed: int,
    *, as_json: bool,
) -> int:  # fmt: skip
    """Write a reader study's report; 0."""
    with library_needed():
        from models.evaluation import reader_plan, reader_report, reader_study  # noqa: PLC0415 — may be missing
        from models.evaluation.columns import Columns  # noqa: PLC0415 — as above
        from models.evaluation.page import html  # noqa: PLC0415 — as above
        from models.evaluation.paper import pdf  # noqa: PLC0415 — as above
        from models.evaluation.report import plain  # noqa: PLC0415 — as above
    columns = Columns(labels)
    words = dict(zip(columns.cases, columns.words("label"), strict=True))
    names = tuple(classes) or tuple(sorted(set(words.values())))
    if unknown := [word for word in words.values() if word not in names]:
        raise UsageError(f"{labels}: {unknown[0]!r} is none of the classes {', '.join(names)}")
    study = reader_study.analyse(
        reader_plan.read_key(plan / "key.csv"),
        reader_plan.read_answers(sheets or tuple(sorted(plan.glob("sheet-*.csv"))), names),
        {case: names.index(word) for case, word in words.items()},
        names,
        seed,
        draws,
    )
    title = "Reader study"
    blocks = tuple(reader_report.compose(title, study))
    data = {"classes": list(names), "seed": seed, "draws": draws, "study": plain(study)}
    return _reported(out, _READER_REPORT, html(title, blocks), pdf(title, blocks), data, as_json=as_json)


def evaluate_published(settings: Settings, folder: Path, out: Path, draws: int, seed: int, *, as_json: bool) -> int:
    """Write the report of GTRNet's published files and the refit of its nomogram; 0."""
    with library_needed():
        from models.evaluation import ordinal, published  # noqa: PLC0415 — an extra that may be missing
        from models.evaluation.cohort_file import PROBABILITY  # noqa: PLC0415 — as above
        from models.evaluation.report import plain  # noqa: PLC0415 — as above
    said, known = [], []
    for name, file in (("training", _TRAINING), ("internal", _TEST)):
        found = published.read_predictions(folder / file)
        for number, image in enumerate(found.images):
            shares = {
                f"{PROBABILITY}{one}": repr(float(p))
                for one, p in zip(published.CLASSES, found.probabilities[number], strict=True)
            }
            said.append({"case": f"{name}-{image}", **shares})
            label = published.CLASSES[found.labels[number]]
            patient = published.patient_of(image)
            known.append({"case": f"{name}-{image}", "label": label, "patient": patient, "set": name})
    write_rows(out / "predictions.csv", said)
    write_rows(out / "labels.csv", known)
    refit = ordinal.fit(*published.read_nomogram_table(folder / "clinic_sel.csv", folder / "train.csv"))
    text = json.dumps({"limits": _REFIT_LIMITS, "refit": plain(refit)}, indent=1)
    write_files(out, {"nomogram.json": f"{text}\n".encode()})
    asked = Asked(out / "predictions.csv", out / "labels.csv", out, "", "", "", _PUBLISHED, draws, seed)
    return evaluate(settings, asked, as_json=as_json)


def plan_size(what: str, numbers: Mapping[str, float], *, as_json: bool) -> int:
    """Say how many cases a study needs; 0. ``what``: a function ``plan_<what>`` of ``models.evaluation.planning``."""
    with library_needed():
        from models.evaluation import planning  # noqa: PLC0415 — an extra that may be missing
    found = getattr(planning, f"plan_{what}")(**numbers)
    summary = {
        "for": found.asked,
        "cases": found.cases,
        "events": found.events,
        "formula": found.formula,
        "library": found.source.value,
    }
    return _said(summary, as_json=as_json)


def _reported(folder: Path, name: str, html: str, pdf: bytes, data: dict[str, Any], *, as_json: bool) -> int:
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    files = {f"{name}.html": html.encode(), f"{name}.pdf": pdf, f"{name}.json": f"{text}\n".encode()}
    write_files(folder, files)
    if as_json:
        print(text)  # noqa: T201 — the promised document
    else:
        for one in files:
            Console().print(str(folder / one), markup=False, highlight=False, soft_wrap=True)
    return 0


def _said(summary: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(summary, indent=1, ensure_ascii=False))  # noqa: T201 — the promised document
        return 0
    table = Table(show_header=False)
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), _shown(value))
    Console().print(table, markup=False)
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_shown(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def _call(value: float, is_high: bool) -> str:
    return ("1" if is_high else "0") if math.isfinite(value) else ""
