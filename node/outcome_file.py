"""Outcomes in a CSV file: one row a study, named by its Study Instance UID or its accession number."""

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from node.domain.outcome import Outcome, outcome
from node.errors import UsageError

KEYS: Final = ("study_uid", "accession")
COLUMNS: Final = (*KEYS, "outcome", "determined_on", "source")
LARGEST_BYTES: Final = 10 * 2**20

Studies = Callable[[str, Sequence[str]], dict[str, set[str]]]
"""For a column and its values the studies here that have each."""


def read_outcomes(file: Path, by: str, studies: Studies) -> tuple[Outcome, ...]:
    """Every outcome in ``file``.

    Raises:
        UsageError: the first row that cannot be understood, by its number; the message quotes nothing of it.
    """
    rows = _rows(file)
    known = {key: studies(key, sorted({row[key] for row in rows if row.get(key)})) for key in KEYS}
    now = datetime.now(UTC)
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            study = _study(row, known)
            found.append(outcome(study, row["outcome"], row.get("determined_on", ""), row.get("source", ""), by, now))
        except (UsageError, ValueError) as exc:
            raise UsageError(f"{file}: row {number}: {exc}") from exc
    return tuple(found)


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{file}: is larger than {LARGEST_BYTES} bytes")
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            rows = [{key: (value or "").strip() for key, value in row.items() if key in names} for row in reader]
    except OSError as exc:
        raise UsageError(f"{file}: {exc.strerror}") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{file}: is no CSV file in UTF-8") from exc
    if unknown := [name for name in names if name not in COLUMNS]:
        raise UsageError(f"{file}: there is no column {unknown[0]!r}; known: {', '.join(COLUMNS)}")
    if "outcome" not in names or not set(KEYS) & set(names):
        raise UsageError(f"{file}: it needs the column outcome, and study_uid or accession")
    return rows


def _study(row: dict[str, str], known: dict[str, dict[str, set[str]]]) -> str:
    """The one study here that a row names."""
    named = [known[key].get(row[key], set()) for key in KEYS if row.get(key)]
    if not named:
        raise UsageError("it names no study")
    fitting = set.intersection(*named)
    if len(fitting) != 1:
        raise UsageError("no study here is named so" if not fitting else "several studies here are named so")
    return fitting.pop()
