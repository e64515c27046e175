"""The CSV files that a cohort is read from.

Predictions, one row a case and variant:

    case        its name, unique for each variant
    variant     the model's name, when there are several
    p_<class>   probability of each class, in order of severity, adding up to 1
    called      the class decided for; without it the class with the highest probability, of several the first
    digest      SHA-256 of the bundle that said so
    excluded    why the case has no prediction; then the probabilities may be empty

Labels, one row a case, in a file of their own or in further columns of the predictions; with both, what the file of
labels has not is taken from the rows of the first variant:

    case, label                      what turned out to be true: a class
    patient                          when one patient has several cases; else the case is the patient
    set                              such as training, internal, external
    centre, scanner, sex             words for subgroups
    age_years, thickness_mm          numbers, banded for subgroups
    <name>_months, <name>_event      follow-up (0 or 1), such as os and rfs
    reader_<name>                    the class that a person or another method called
    covariate_<name>                 a number for Cox models
    input_<name>                     a number measured of the images, by which centres are compared

Overlaps of regions and measurements by several observers are columns of either file: see ``observers``.

UTF-8, a comma between columns, a point in numbers; an empty field is unknown. Other columns are named and left alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.cohort import WHOLE, Cohort, Exclusion, FollowUp, Reader, Variant
from models.evaluation.csv_rows import read_rows
from models.evaluation.estimate import Bools, Floats, Ints
from models.evaluation.observers import is_measured, is_overlap, measured_columns, overlap_columns
from node.errors import UsageError

PROBABILITY: Final = "p_"
READER: Final = "reader_"
COVARIATE: Final = "covariate_"
INPUT: Final = "input_"
MONTHS: Final = "_months"
EVENT: Final = "_event"
NO_LABEL: Final = "no label"
NO_PREDICTION: Final = "no prediction"
_WORDS: Final = ("centre", "scanner", "sex")
_BANDS: Final = {"age_years": (50.0, 65.0, 75.0), "thickness_mm": (1.0, 3.0, 5.0)}
"""Upper ends of the bands, each below its end; above the last all are one band."""
_PLAIN: Final = {"case", "variant", "called", "digest", "excluded", "label", "patient", "set", *_WORDS, *_BANDS}
_SUM_TOLERANCE: Final = 1e-3
_FEWEST_CLASSES: Final = 2
_ONE_MODEL: Final = "model"
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a file that knows where it stands, so that what is wrong with it can be found."""

    file: Path
    line: int
    fields: Mapping[str, str]

    def text(self, column: str) -> str:
        return self.fields.get(column, "").strip()

    def number(self, column: str) -> float:
        """NaN when empty."""
        text = self.text(column)
        try:
            value = float(text) if text else math.nan
        except ValueError as error:
            raise self.wrong(column, "is not a number") from error
        if text and not math.isfinite(value):
            raise self.wrong(column, "is not a number")
        return value

    def over(self, other: "_Row") -> "_Row":
        """This row with the columns of the other that it has not."""
        return replace(self, fields={**other.fields, **self.fields})

    def wrong(self, column: str, why: str) -> UsageError:
        return UsageError(f"{self.file}: line {self.line}: column {column}: {self.text(column)[:_SHOWN]!r} {why}")


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's rows and columns."""

    columns: tuple[str, ...]
    rows: tuple[_Row, ...]


def read_cohort(predictions: Path, labels: Path | None = None) -> Cohort:
    """The cohort of these files; UsageError naming file, line and column where they cannot be read."""
    said = _read(predictions, ("case",))
    known = _read(labels, ("case", "label")) if labels else said
    if labels is None and "label" not in said.columns:
        raise UsageError(f"{predictions}: has no column label; name the file that has it with --labels")
    classes = _classes(predictions, said.columns)
    of_variant = _by_variant(said)
    first = next(iter(of_variant.values()))
    truths = _unique(known.rows) if labels else _agreed(said, first)
    cases, exclusions = _analysed(of_variant, truths)
    if not cases:
        raise UsageError(f"{predictions}: no case has both a prediction and a label")
    rows = [truths[case].over(first[case]) for case in cases]
    columns = tuple(dict.fromkeys((*said.columns, *known.columns)))
    measured = _measured(columns, rows)
    return Cohort(
        classes=classes,
        cases=tuple(cases),
        patients=tuple(row.text("patient") or row.text("case") for row in rows),
        sets=tuple(row.text("set") or WHOLE for row in rows),
        labels=_called(rows, "label", classes),
        variants=tuple(
            _variant(name, [of_case[case] for case in cases], classes) for name, of_case in of_variant.items()
        ),
        readers=tuple(
            Reader(column.removeprefix(READER), _called(rows, column, classes, is_optional=True))
            for column in columns
            if column.startswith(READER)
        ),
        follow_ups=tuple(_follow_up(name, rows) for name in _follow_ups(columns)),
        descriptors=_descriptors(columns, rows),
        covariates=_covariates(columns, rows),
        inputs=_numbers({name.removeprefix(INPUT): name for name in columns if name.startswith(INPUT)}, rows),
        overlaps=overlap_columns(measured),
        measurements=measured_columns(measured),
        exclusions=exclusions,
        ignored=strange(columns),
    )


def _read(file: Path, needed: Sequence[str]) -> _Table:
    read = read_rows(file)
    rows = tuple(_Row(file, line, fields) for line, fields in read.rows)
    if missing := [column for column in needed if column not in read.columns]:
        raise UsageError(f"{file}: has no column {missing[0]}")
    if nameless := [row for row in rows if not row.text("case")]:
        raise nameless[0].wrong("case", "names no case")
    return _Table(read.columns, rows)


def _classes(file: Path, columns: Iterable[str]) -> tuple[str, ...]:
    classes = tuple(column.removeprefix(PROBABILITY) for column in columns if column.startswith(PROBABILITY))
    if len(classes) < _FEWEST_CLASSES:
        raise UsageError(f"{file}: needs a column {PROBABILITY}<class> for each of two or more classes")
    return classes


def _by_variant(table: _Table) -> dict[str, dict[str, _Row]]:
    """Variant to case to row."""
    found: dict[str, list[_Row]] = {}
    for row in table.rows:
        found.setdefault(row.text("variant") or _ONE_MODEL, []).append(row)
    if not found:
        return {_ONE_MODEL: {}}
    return {name: _unique(rows) for name, rows in found.items()}


def _unique(rows: Iterable[_Row]) -> dict[str, _Row]:
    """Case to row."""
    found: dict[str, _Row] = {}
    for row in rows:
        before = found.setdefault(row.text("case"), row)
        if before is not row:
            raise row.wrong("case", f"stands in line {before.line} already")
    return found


def _agreed(said: _Table, first: Mapping[str, _Row]) -> Mapping[str, _Row]:
    """The labels in the rows of the ``first`` variant, which those of the others must not contradict."""
    for row in said.rows:
        label, known = row.text("label"), first.get(row.text("case"))
        if label and known is not None and label != known.text("label"):
            raise row.wrong("label", f"and {known.text('label')!r} in line {known.line} are of one case")
    return first


def _analysed(
    of_variant: Mapping[str, Mapping[str, _Row]], truths: Mapping[str, _Row]
) -> tuple[list[str], tuple[Exclusion, ...]]:
    """The cases that every variant predicted and that have a label; the others by reason."""
    cases: list[str] = []
    reasons: dict[str, list[str]] = {}
    for case in dict.fromkeys((*(case for rows in of_variant.values() for case in rows), *truths)):
        if reason := _reason([rows.get(case) for rows in of_variant.values()], truths.get(case)):
            reasons.setdefault(reason, []).append(case)
        else:
            cases.append(case)
    ordered = sorted(reasons.items(), key=lambda one: -len(one[1]))
    return cases, tuple(Exclusion(reason, len(names), tuple(names)) for reason, names in ordered)


def _reason(said: Sequence[_Row | None], truth: _Row | None) -> str:
    """Why a case is not analysed; empty when it is."""
    if given := [row.text("excluded") for row in said if row is not None and row.text("excluded")]:
        return given[0]
    if any(row is None for row in said):
        return NO_PREDICTION
    return "" if truth is not None and truth.text("label") else NO_LABEL


def _variant(name: str, rows: Sequence[_Row], classes: tuple[str, ...]) -> Variant:
    probabilities = np.array([[_probability(row, PROBABILITY + one) for one in classes] for row in rows])
    off = np.abs(probabilities.sum(axis=1) - 1) > _SUM_TOLERANCE
    if off.any():
        row = rows[int(off.argmax())]
        total = probabilities[int(off.argmax())].sum()
        raise UsageError(f"{row.file}: line {row.line}: the probabilities add up to {total:.4f}, not to 1")
    called = _called(rows, "called", classes, is_optional=True)
    digests = {row.text("digest") for row in rows} - {""}
    if len(digests) > 1:
        raise UsageError(f"{rows[0].file}: variant {name} has the digests of {len(digests)} bundles: name them apart")
    decided = np.where(called >= 0, called, probabilities.argmax(axis=1)).astype(np.int64)
    return Variant(name, probabilities, decided, next(iter(digests), ""))


def _probability(row: _Row, column: str) -> float:
    value = row.number(column)
    if not 0 <= value <= 1:  # NaN as well
        raise row.wrong(column, "is no probability")
    return value


def _called(rows: Sequence[_Row], column: str, classes: tuple[str, ...], *, is_optional: bool = False) -> Ints:
    """The number of the class in each row; -1 where an optional one is empty."""
    numbers = {name: index for index, name in enumerate(classes)}
    found = []
    for row in rows:
        text = row.text(column)
        if text not in numbers and (text or not is_optional):
            raise row.wrong(column, f"is none of the classes {', '.join(classes)}")
        found.append(numbers.get(text, -1))
    return np.array(found, dtype=np.int64)


def _follow_ups(columns: Sequence[str]) -> tuple[str, ...]:
    """The names that have both of their columns."""
    names = [column.removesuffix(MONTHS) for column in columns if column.endswith(MONTHS)]
    return tuple(name for name in names if name + EVENT in columns)


def _follow_up(name: str, rows: Sequence[_Row]) -> FollowUp:
    months, events = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=np.bool_)
    for index, row in enumerate(rows):
        time, event = row.number(name + MONTHS), row.text(name + EVENT)
        if event not in {"", "0", "1"}:
            raise row.wrong(name + EVENT, "is neither 0 nor 1")
        if math.isnan(time) != (not event):
            raise row.wrong(name + MONTHS, f"and {name + EVENT} {event!r}: one is given without the other")
        if time < 0:
            raise row.wrong(name + MONTHS, "lies before the start")
        months[index], events[index] = time, event == "1"
    return FollowUp(name, months, events)


def _descriptors(columns: Sequence[str], rows: Sequence[_Row]) -> dict[str, tuple[str, ...]]:
    words = {name: tuple(row.text(name) for row in rows) for name in _WORDS if name in columns}
    bands = {
        name: tuple(_band(row.number(name), ends) for row in rows) for name, ends in _BANDS.items() if name in columns
    }
    return {name: values for name, values in (words | bands).items() if any(values)}


def _band(value: float, ends: tuple[float, ...]) -> str:
    """The band of ``value``; empty when unknown."""
    if math.isnan(value):
        return ""
    below = [end for end in ends if end <= value]
    above = [end for end in ends if end > value]
    if not below:
        return f"< {above[0]:g}"
    return f"{below[-1]:g} to < {above[0]:g}" if above else f"≥ {below[-1]:g}"


def _covariates(columns: Sequence[str], rows: Sequence[_Row]) -> dict[str, Floats]:
    named = {column.removeprefix(COVARIATE): column for column in columns if column.startswith(COVARIATE)}
    if "age_years" in columns:
        named["age_years"] = "age_years"
    return _numbers(named, rows)


def _numbers(named: Mapping[str, str], rows: Sequence[_Row]) -> dict[str, Floats]:
    """Name to the numbers of its column, where anybody has one."""
    found = {name: np.array([row.number(column) for row in rows]) for name, column in named.items()}
    return {name: values for name, values in found.items() if _is_known(values).any()}


def _measured(columns: Sequence[str], rows: Sequence[_Row]) -> dict[str, Floats]:
    wanted = [column for column in columns if is_overlap(column) or is_measured(column)]
    return {column: np.array([row.number(column) for row in rows]) for column in wanted}


def _is_known(values: Floats) -> Bools:
    known: Bools = ~np.isnan(values)
    return known


def strange(columns: Sequence[str]) -> tuple[str, ...]:
    """Those of a file's ``columns`` that are not understood and left alone."""
    follow_ups = _follow_ups(columns)
    return tuple(column for column in columns if not _is_understood(column, follow_ups))


def _is_understood(column: str, follow_ups: tuple[str, ...]) -> bool:
    return (
        column in _PLAIN
        or is_overlap(column)
        or is_measured(column)
        or column.startswith((PROBABILITY, READER, COVARIATE, INPUT))
        or column in {name + end for name in follow_ups for end in (MONTHS, EVENT)}
    )
