"""The neutrophil-to-T-cell ratio of a tumour, from expression scores or from cells counted under the microscope.

PORCELAIN (doi 10.1038/s41746-025-02303-9, methods): MCP-counter scores are transformed by log2(x + 1) "prior to
subsequent analysis", of which the ratio is one, so it is the ratio of the transformed scores; cells are means over five
fields at 200x, neutrophils (CD66b) over cytotoxic T cells (CD8), not transformed. High is above the cut (>).
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.estimate import Bools, Floats
from models.evaluation.expression import Abundance
from node.errors import UsageError

CUT_EXPRESSION: Final = 2.47
"""Of TCGA overall survival."""
CUT_COUNT: Final = 0.57
"""The midpoint of 0.67 (overall) and 0.47 (recurrence-free survival) in Center A."""
FIELDS: Final = 5
"""That the paper counts in each tumour."""


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """The ratio of each tumour."""

    cases: tuple[str, ...]
    values: Floats
    """(n,): NaN where there is no T cell to divide by."""
    notes: tuple[str, ...]
    """(n,): what is doubtful of one; mostly empty."""

    def is_high(self, cut: float) -> Bools:
        """(n,): above the cut; False where there is no ratio, so look at ``values`` first."""
        high: Bools = self.values > cut
        return high


def of_expression(neutrophils: Abundance, t_cells: Abundance) -> Ratios:
    """From the scores of both populations in the same samples."""
    if neutrophils.samples != t_cells.samples:
        raise UsageError("the two populations are not scored in the same samples")
    return _ratios(neutrophils.samples, np.log2(neutrophils.scores + 1), np.log2(t_cells.scores + 1), None)


def read_counts(file: Path) -> Ratios:
    """From a CSV file with the columns case, field, neutrophils and t_cells: one row a field.

    Raises UsageError naming the line of what is no count.
    """
    counts: dict[str, dict[str, tuple[float, float]]] = {}
    columns = ("case", "field", "neutrophils", "t_cells")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
                raise UsageError(f"{file}: has no column {missing[0]}")
            for row in reader:
                case, field, *cells = (row[column] or "" for column in columns)
                found = counts.setdefault(case, {})
                if not case or not field or field in found:
                    raise UsageError(f"{file}: line {reader.line_num}: names no case or field, or one twice")
                found[field] = _count(file, reader.line_num, cells[0]), _count(file, reader.line_num, cells[1])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    if not counts:
        raise UsageError(f"{file}: holds no count")
    means = np.array([np.mean(list(fields.values()), axis=0) for fields in counts.values()])
    return _ratios(tuple(counts), means[:, 0], means[:, 1], tuple(len(fields) for fields in counts.values()))


def _ratios(cases: tuple[str, ...], above: Floats, below: Floats, fields: tuple[int, ...] | None) -> Ratios:
    values = np.full(len(cases), np.nan)
    np.divide(above, below, out=values, where=below > 0)
    notes = [
        "; ".join(
            note
            for note in (
                "" if value > 0 else "no T cell: the ratio has no value",
                "" if fields is None or fields[index] >= FIELDS else f"{fields[index]} fields counted, not {FIELDS}",
            )
            if note
        )
        for index, value in enumerate(below)
    ]
    return Ratios(cases, values, tuple(notes))


def _count(file: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is no count of cells") from error
    if not 0 <= value < float("inf"):
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is no count of cells")
    return value
