"""The rows of a CSV file with a header: UTF-8, a comma between columns, every row as long as the header."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from node.errors import UsageError


@dataclass(frozen=True, slots=True)
class CsvRows:
    """A file's columns and rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    """Line number and fields of each."""


def read_rows(file: Path) -> CsvRows:
    """The rows of ``file``; UsageError when it cannot be read, has a column twice, or a row of another length."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = tuple(reader.fieldnames or ())
            if twice := [column for column, times in Counter(columns).items() if times > 1]:
                raise UsageError(f"{file}: has two columns {twice[0]}")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise UsageError(f"{file}: line {reader.line_num}: has not the {len(columns)} fields of the header")
                rows.append((reader.line_num, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    return CsvRows(columns, tuple(rows))
