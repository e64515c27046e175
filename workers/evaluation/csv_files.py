"""CSV files that a run leaves behind: whole or not there."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_rows(file: Path, rows: Sequence[Mapping[str, str]], first: Sequence[str] = ()) -> Path:
    """Write ``rows`` under the columns ``first``, then those that they have besides; an absent field is empty."""
    columns = list(dict.fromkeys((*first, *(column for row in rows for column in row))))
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(file)
    return file
