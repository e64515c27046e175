"""A CSV file as columns: words and numbers by name, for commands that ask for a few of them."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.csv_rows import read_rows
from models.evaluation.estimate import Bools, Floats, Ints
from node.errors import UsageError

_SHOWN: Final = 40


class Columns:
    """The columns of a file; each row names a case, once."""

    def __init__(self, file: Path, case: str = "case") -> None:
        """Read ``file``; UsageError when it cannot be, or names a case twice. ``case``: the column that does."""
        self.file = file
        found = read_rows(file)
        self.names, self._rows = found.columns, found.rows
        self.cases = self.words(case)
        if not self.cases:
            raise UsageError(f"{file}: holds no case")
        times = Counter(self.cases)
        for (line, _), name in zip(self._rows, self.cases, strict=True):
            if not name or times[name] > 1:
                raise UsageError(f"{file}: line {line}: column {case}: {name!r} is no name, or stands twice")

    def words(self, column: str) -> tuple[str, ...]:
        """A column; UsageError when there is none."""
        if column not in self.names:
            raise UsageError(f"{self.file}: has no column {column!r}; it has {', '.join(self.names)}")
        return tuple(row[column].strip() for _, row in self._rows)

    def numbers(self, column: str) -> Floats:
        """A column of numbers, NaN where it is empty; UsageError with the line of what is none."""
        found = []
        for (line, _), text in zip(self._rows, self.words(column), strict=True):
            try:
                value = float(text) if text else math.nan
            except ValueError as error:
                raise self._wrong(line, column, text, "is not a number") from error
            if text and not math.isfinite(value):
                raise self._wrong(line, column, text, "is not a number")
            found.append(value)
        return np.array(found)

    def events(self, column: str, months: Floats) -> Bools:
        """A column of 0 and 1, which may be empty where ``months`` is; UsageError with the line of what is neither."""
        found = []
        for (line, _), text, time in zip(self._rows, self.words(column), months, strict=True):
            if text not in {"0", "1"} and (text or math.isfinite(time)):
                raise self._wrong(line, column, text, "is neither 0 nor 1")
            found.append(text == "1")
        return np.array(found, dtype=np.bool_)

    def groups(self, column: str) -> Ints:
        """(n,): the words of a column, numbered; every case its own where there is no such column."""
        names: Sequence[str] = self.words(column) if column in self.names else self.cases
        groups: Ints = np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)
        return groups

    def _wrong(self, line: int, column: str, text: str, why: str) -> UsageError:
        return UsageError(f"{self.file}: line {line}: column {column}: {text[:_SHOWN]!r} {why}")
