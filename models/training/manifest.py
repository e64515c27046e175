"""The manifest of a cohort: a CSV file with one row a case; every fault in it is found at once.

Columns ``id``, ``patient``, ``image`` and ``mask`` must be there, and ``label`` where the task has classes; ``centre``
and ``fold`` (0, 1, 2, …) may be. Every other column is a clinical variable by its name, a number with the one unit
that it has in Celadon in brackets: ``ca19_9[U/mL]``, ``haemoglobin[g/L]``, ``sex``. Paths are relative to the manifest.
Comma or semicolon, UTF-8; an empty cell is a value that nobody has.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.training.clinical_columns import ClinicalColumn, clinical_column
from models.training.cohort import Cohort, FileSource, Labels, TrainingCase
from models.training.images import grid_of
from node.domain.clinical import ClinicalRecord
from node.domain.prediction import TrainingStatus
from node.errors import CeladonError, UsageError

NAME: Final = "cohort.csv"
"""What a manifest is called in the folder that ``--cohort`` may name instead."""
_REQUIRED: Final = ("id", "patient", "image", "mask")
_OPTIONAL: Final = ("label", "centre", "fold")
_LARGEST_BYTES: Final = 50_000_000
_MOST_SHOWN: Final = 200
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong, and where."""

    line: int
    column: str
    what: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{place}: {self.what}"


class CohortError(UsageError):
    """A manifest with faults, all of them."""

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        shown = [f"  {fault}" for fault in self.faults[:_MOST_SHOWN]]
        if len(self.faults) > _MOST_SHOWN:
            shown.append(f"  and {len(self.faults) - _MOST_SHOWN} more")
        super().__init__("\n".join((f"{path}: {len(self.faults)} fault(s)", *shown)))


def read_manifest(path: Path, labels: Labels | None) -> Cohort:
    """The cohort of the manifest ``path``, or of ``cohort.csv`` in that folder.

    Raises CohortError with every fault: of the table, and of the images' headers. ``labels``: None for a task that has
    no classes.
    """
    file = path / NAME if path.is_dir() else path
    content = _content(file)
    reader = _Reader(file, labels)
    cases = reader.read(content.decode("utf-8-sig", errors="replace"))
    if reader.faults:
        raise CohortError(file, reader.faults)
    return Cohort(
        cases=tuple(cases),
        status=TrainingStatus.UNVALIDATED,
        origin=(
            f"A cohort of {len(cases)} cases of {len({case.patient for case in cases})} patients, read from a manifest"
        ),
        digest=hashlib.sha256(content).hexdigest(),
    )


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"--cohort: {file} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST_BYTES:
        raise UsageError(f"--cohort: {file} is larger than {_LARGEST_BYTES} bytes")
    return content


class _Reader:
    """Reads the rows of one manifest and collects the faults."""

    def __init__(self, file: Path, labels: Labels | None) -> None:
        self.faults: list[Fault] = []
        self._folder, self._labels = file.parent, labels
        self._ids: dict[str, int] = {}
        self._folds: dict[str, tuple[int, int]] = {}
        self._owners: dict[Path, str] = {}

    def read(self, text: str) -> list[TrainingCase]:
        """The cases that have no fault."""
        if "\ufffd" in text:
            self._fault(1, "", "the file is not UTF-8")
        first = text.partition("\n")[0]
        rows = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
        headings = [heading.strip() for heading in next(self._whole(rows), [])]
        clinical = self._clinical(headings)
        cases = []
        for cells in self._whole(rows):
            if not any(cell.strip() for cell in cells):
                continue
            line = rows.line_num
            if len(cells) != len(headings):
                self._fault(line, "", f"has {len(cells)} cells, the heading {len(headings)}")
                continue
            row = {heading: cell.strip() for heading, cell in zip(headings, cells, strict=True)}
            case = self._case(line, row, clinical)
            if case is not None:
                cases.append(case)
        if not cases and not self.faults:
            self._fault(1, "", "there is no case")
        self._folds_agree(cases)
        return cases

    def _whole(self, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        """The rows; the first that is none is a fault and the last."""
        try:
            yield from rows
        except csv.Error as error:
            self._fault(1, "", f"the file is no CSV: {error}")

    def _clinical(self, headings: Sequence[str]) -> list[ClinicalColumn]:
        """The clinical columns; what is wrong with the headings is noted."""
        needed = (*_REQUIRED, *(("label",) if self._labels else ()))
        for name in needed:
            if name not in headings:
                self._fault(1, name, "this column is missing")
        columns: list[ClinicalColumn] = []
        for heading in headings:
            if headings.count(heading) > 1:
                self._fault(1, heading, "this column is there twice")
            if heading not in (*_REQUIRED, *_OPTIONAL):
                columns += self._column(heading)
        variables = [column.variable for column in columns]
        for column in columns:
            if variables.count(column.variable) > 1:
                self._fault(1, column.heading, "two columns are of the same variable")
        return columns

    def _column(self, heading: str) -> Iterator[ClinicalColumn]:
        """The column of a heading; none when it cannot be understood."""
        try:
            yield clinical_column(heading)
        except ValueError as error:
            self._fault(1, heading, str(error))

    def _case(self, line: int, row: dict[str, str], clinical: Sequence[ClinicalColumn]) -> TrainingCase | None:
        """The case of a row; None when something is wrong with it."""
        before = len(self.faults)
        name, patient = row.get("id", ""), row.get("patient", "")
        if not _ID.fullmatch(name):
            self._fault(line, "id", f"{name!r} is not 1 to 64 letters, digits, dots, dashes and underscores")
        elif self._ids.setdefault(name, line) != line:
            self._fault(line, "id", f"{name} is that of line {self._ids[name]}")
        if not patient:
            self._fault(line, "patient", "is empty: a split by patient needs to know whose the case is")
        source = self._source(line, row, patient)
        label, fold = self._label(line, row), self._fold(line, row, patient)
        record = self._record(line, row, clinical)
        if len(self.faults) > before or source is None:
            return None
        return TrainingCase(name, patient, source, label, row.get("centre", ""), fold, record)

    def _source(self, line: int, row: dict[str, str], patient: str) -> FileSource | None:
        """Image and mask, whose grids are the same; None when they are not there."""
        paths, grids = {}, {}
        for column in ("image", "mask"):
            text = row.get(column, "")
            path = (self._folder / text).absolute()
            if not text or not path.exists():
                self._fault(line, column, f"{text}: there is no such file or folder" if text else "is empty")
                continue
            try:
                paths[column], grids[column] = path, grid_of(path)
            except CeladonError as error:
                self._fault(line, column, f"{text}: {error}")
        if len(grids) < 2:  # noqa: PLR2004  image and mask
            return None
        if difference := grids["mask"].difference(grids["image"]):
            self._fault(line, "mask", f"is not on the grid of the image: {difference}")
        if self._owners.setdefault(paths["image"], patient) != patient:
            self._fault(line, "image", "the same image is given for another patient")
        return FileSource(paths["image"], paths["mask"])

    def _label(self, line: int, row: dict[str, str]) -> int:
        if self._labels is None:
            return 0
        word = row.get("label", "").lower()
        if word not in self._labels.words:
            self._fault(line, "label", f"{word!r} is not one of {', '.join(self._labels.names)}")
        return self._labels.words.get(word, 0)

    def _fold(self, line: int, row: dict[str, str], patient: str) -> int | None:
        """The fold that a row asks for; a patient in two folds would be tested on what was learnt from."""
        text = row.get("fold", "")
        if not text:
            return None
        if not text.isdecimal():
            self._fault(line, "fold", f"{text!r} is not 0, 1, 2, …")
            return None
        fold = int(text)
        before, where = self._folds.setdefault(patient, (fold, line))
        if before != fold:
            self._fault(line, "fold", f"this patient is in fold {fold} here and in fold {before} in line {where}")
        return fold

    def _folds_agree(self, cases: Sequence[TrainingCase]) -> None:
        """Folds are given for all cases or for none."""
        given = sum(case.fold is not None for case in cases)
        if 0 < given < len(cases):
            self._fault(1, "fold", f"is given for {given} of {len(cases)} cases; give it for all or for none")

    def _record(self, line: int, row: dict[str, str], clinical: Sequence[ClinicalColumn]) -> ClinicalRecord:
        values = []
        for column in clinical:
            text = row[column.heading]
            if not text:
                continue
            try:
                values.append(column.value(text))
            except ValueError as error:
                self._fault(line, column.heading, str(error))
        return ClinicalRecord(tuple(values))

    def _fault(self, line: int, column: str, what: str) -> None:
        self.faults.append(Fault(line, column, what))
