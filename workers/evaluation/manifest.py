"""The cohort whose images are to be analysed: a CSV file with one row a case, or a folder with ``cohort.csv``.

    case (or id)    a pseudonym: letters, digits, dots, dashes and underscores
    image           a folder with DICOM files, or a NIfTI, MHA or NRRD file; relative to the file
    mask            the lesion: a SEG or RTSTRUCT, or a file of voxels that are not 0; empty: a segmenter finds it
    mask_<name>     the same lesion as drawn by a further observer; never analysed, compared

Clinical variables are columns as for training: ``sex``, ``ca19_9[U/mL]``. Every other column is what is known of the
case, as ``models.evaluation.cohort_file`` has it: label, patient, set, centre, os_months, os_event, reader_…
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.evaluation.answers import Question
from models.evaluation.cohort_file import READER
from models.training.clinical_columns import ClinicalColumn, clinical_column
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.errors import UsageError
from workers.evaluation.csv_files import write_rows

NAME: Final = "cohort.csv"
OBSERVER: Final = "mask_"
_CASE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMES: Final = ("case", "id")
_OURS: Final = ("image", "mask", "fold")
_MOST_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class CohortCase:
    """One case to be analysed."""

    name: str
    image: Path
    mask: Path | None
    observers: Mapping[str, Path]
    """Observer to their mask."""
    clinical: ClinicalRecord


@dataclass(frozen=True, slots=True)
class Manifest:
    """A read file."""

    file: Path
    cases: tuple[CohortCase, ...]
    truths: tuple[Mapping[str, str], ...]
    """What is known of each case, in the columns of ``cohort_file``; labels as written."""


def read_manifest(path: Path) -> Manifest:
    """The cohort of ``path``; UsageError with every fault, each with its line and column."""
    file = path / NAME if path.is_dir() else path
    headings, rows = _table(file)
    name = next((one for one in _NAMES if one in headings), "")
    faults = [
        f"line 1: column {one}: is missing" for one in ("image", *(() if name else ("case",))) if one not in headings
    ]
    if faults:
        raise _wrong(file, faults)
    clinical: dict[str, ClinicalColumn] = {}
    for heading in headings:
        try:
            clinical |= {heading: column} if (column := _clinical(heading)) is not None else {}
        except ValueError as error:
            faults.append(f"line 1: column {heading}: {error}")
    cases, truths = [], []
    seen: dict[str, int] = {}
    for line, row in rows:
        if row[name] in seen:
            faults.append(f"line {line}: column {name}: stands in line {seen[row[name]]} already")
        seen[row[name]] = line
        try:
            cases.append(_case(file.parent, row, row[name], clinical))
        except _Fault as fault:
            faults.append(f"line {line}: column {fault.column}: {fault}")
        truths.append(_truth(row, row[name], clinical))
    if not rows:
        faults.append("line 1: there is no case")
    if faults:
        raise _wrong(file, faults)
    return Manifest(file, tuple(cases), tuple(truths))


def write_labels(manifest: Manifest, question: Question, file: Path) -> None:
    """What is known of the cases as a file of labels, each class by its own name.

    Raises UsageError where a word is none, or where no case has a label: nothing could be measured in the end.
    """
    if not any(truth.get("label") for truth in manifest.truths):
        raise UsageError(f"{manifest.file}: no case has a label: name what turned out to be true in the column label")
    rows = []
    for truth in manifest.truths:
        row = dict(truth)
        for column in (one for one in row if one == "label" or one.startswith(READER)):
            try:
                row[column] = question.class_of(row[column])
            except UsageError as error:
                raise UsageError(f"{manifest.file}: case {row['case']}: column {column}: {error}") from error
        rows.append(row)
    write_rows(file, rows)


class _Fault(Exception):
    """What is wrong with a row."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(why)
        self.column = column


def _wrong(file: Path, faults: Sequence[str]) -> UsageError:
    shown = [*faults[:_MOST_SHOWN], *([f"and {len(faults) - _MOST_SHOWN} more"] if len(faults) > _MOST_SHOWN else [])]
    return UsageError("\n  ".join((f"{file}: {len(faults)} fault(s)", *shown)))


def _table(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Headings, and line number and fields of each row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
            headings = [heading.strip() for heading in next(reader, [])]
            if twice := [one for one in headings if headings.count(one) > 1]:
                raise UsageError(f"{file}: has two columns {twice[0]!r}")
            rows = []
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(headings):
                    raise UsageError(
                        f"{file}: line {reader.line_num}: has not the {len(headings)} fields of the header"
                    )
                stripped = (cell.strip() for cell in cells)
                rows.append((reader.line_num, dict(zip(headings, stripped, strict=True))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    return headings, rows


def _clinical(heading: str) -> ClinicalColumn | None:
    """The clinical column of a heading; None when it is another kind. ValueError for a variable in a wrong unit."""
    is_clinical = heading.partition("[")[0].strip() in set(ClinicalVariable)
    return clinical_column(heading) if is_clinical else None


def _case(folder: Path, row: Mapping[str, str], name: str, clinical: Mapping[str, ClinicalColumn]) -> CohortCase:
    if not _CASE.fullmatch(name):
        raise _Fault("case", f"{name[:70]!r} is not 1 to 64 letters, digits, dots, dashes and underscores")
    image = _path(folder, row, "image")
    if image is None:
        raise _Fault("image", "is empty")
    return CohortCase(
        name=name,
        image=image,
        mask=_path(folder, row, "mask"),
        observers=dict(_observers(folder, row)),
        clinical=ClinicalRecord(tuple(_values(row, clinical))),
    )


def _path(folder: Path, row: Mapping[str, str], column: str) -> Path | None:
    text = row.get(column, "")
    if not text:
        return None
    path = (folder / text).absolute()
    if not path.exists():
        raise _Fault(column, f"{text}: there is no such file or folder")
    return path


def _observers(folder: Path, row: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    for column in row:
        if column.startswith(OBSERVER) and (path := _path(folder, row, column)) is not None:
            yield column.removeprefix(OBSERVER), path


def _values(row: Mapping[str, str], clinical: Mapping[str, ClinicalColumn]) -> Iterator[ClinicalValue]:
    for heading, column in clinical.items():
        if row[heading]:
            try:
                yield column.value(row[heading])
            except ValueError as error:
                raise _Fault(heading, str(error)) from error


def _truth(row: Mapping[str, str], name: str, clinical: Mapping[str, ClinicalColumn]) -> dict[str, str]:
    """The columns that say what is known of a case; age and sex are known by their clinical columns too."""
    kept = {
        column: text
        for column, text in row.items()
        if column not in (*_NAMES, *_OURS) and not column.startswith(OBSERVER) and column not in clinical
    }
    for heading, column in clinical.items():
        if column.variable is ClinicalVariable.SEX:
            kept["sex"] = row[heading]
        elif column.variable is ClinicalVariable.AGE:
            kept.setdefault("age_years", row[heading])
    return {"case": name, **kept}
