"""Clinical values from a CSV file: one row a value, a header line that names the columns.

Columns ``patient_id``, ``variable`` and ``value`` must be there; ``unit``, ``observed_at``, ``issuer``, ``name``,
``birth_date``, ``sex`` and ``order`` may be; any other is an error. ``variable`` is a name (``ca19_9``) or a LOINC
code, ``unit`` UCUM or a known spelling, ``observed_at`` and ``birth_date`` ISO 8601 (without zone: the site's),
``name`` as DICOM writes it (``Doe^Jane``). Comma or semicolon, UTF-8.

A file is taken whole or not at all: a row that cannot be understood is an error with its line, and then nothing is
imported. A row that is understood but cannot be believed is imported as held or refused, for people to see.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.clinical.reading import read
from node.domain.clinical import ClinicalVariable
from node.domain.clinical_intake import MessageIdentity, RawValue, ReceivedValue
from node.domain.clinical_variables import BY_LOINC
from node.domain.imaging import PatientIdentity

NAME: Final = "csv"
REQUIRED: Final = ("patient_id", "variable", "value")
OPTIONAL: Final = ("unit", "observed_at", "issuer", "name", "birth_date", "sex", "order")
LARGEST_BYTES: Final = 50_000_000
MOST_ROWS: Final = 200_000
LONGEST_PATIENT_ID: Final = 64
"""VR LO (PS3.5 section 6.2)."""


@dataclass(frozen=True, slots=True)
class RowError:
    """A line that cannot be understood; holds no value of it."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file as it was read."""

    identity: MessageIdentity
    values: tuple[tuple[int, ReceivedValue], ...]
    """Each with its line."""
    errors: tuple[RowError, ...]


def read_csv(content: bytes, name: str, now: datetime) -> CsvFile:
    """What a file holds; ``name`` is what values say they come from. Raises nothing: every fault is an error row."""
    sha256 = hashlib.sha256(content).hexdigest()
    identity = MessageIdentity(NAME, sha256, sha256, "CSV")
    if len(content) > LARGEST_BYTES:
        return CsvFile(identity, (), (RowError(1, f"the file is larger than {LARGEST_BYTES} bytes"),))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        return CsvFile(identity, (), (RowError(line, "the file is not UTF-8 here"),))
    values: list[tuple[int, ReceivedValue]] = []
    errors: list[RowError] = []
    for found in _rows(text, name, now):
        if isinstance(found, RowError):
            errors.append(found)
        else:
            values.append(found)
    return CsvFile(identity, tuple(values), tuple(errors))


def _rows(text: str, name: str, now: datetime) -> Iterator[tuple[int, ReceivedValue] | RowError]:
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if (fault := _header_fault(header)) is not None:
            yield RowError(1, fault)
            return
        for count, cells in enumerate(reader, 1):
            if count > MOST_ROWS:
                yield RowError(reader.line_num, f"the file has more than {MOST_ROWS} rows")
                return
            if any(cell.strip() for cell in cells):
                yield _row(reader.line_num, header, cells, name, now)
    except csv.Error as exc:
        yield RowError(reader.line_num, f"this is no CSV: {exc}")


def _header_fault(header: list[str]) -> str | None:
    missing = [column for column in REQUIRED if column not in header]
    unknown = [column for column in header if column not in REQUIRED + OPTIONAL]
    if missing:
        return f"the header lacks {_listed(missing)}; known columns: {_listed(REQUIRED + OPTIONAL)}"
    if unknown:
        return f"the header has {len(unknown)} column(s) not known; known: {_listed(REQUIRED + OPTIONAL)}"
    return "a column is there twice" if len(set(header)) != len(header) else None


def _row(
    line: int, header: list[str], cells: list[str], name: str, now: datetime
) -> tuple[int, ReceivedValue] | RowError:
    if len(cells) != len(header):
        return RowError(line, f"{len(cells)} cells, but the header has {len(header)}")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    if not 0 < len(row["patient_id"]) <= LONGEST_PATIENT_ID:
        return RowError(line, "patient_id is empty or too long")
    variable = variable_named(row["variable"])
    if variable is None:
        return RowError(line, "variable is neither a known name nor a known LOINC code")
    try:
        observed_at = _moment(row.get("observed_at", ""))
    except ValueError:
        return RowError(line, "observed_at is not a date or time as in 2024-05-06 or 2024-05-06T08:30")
    raw = RawValue(variable, row["value"], row.get("unit", ""), observed_at)
    patient = PatientIdentity(
        row["patient_id"], row.get("issuer", ""), row.get("name", ""), row.get("birth_date", ""), row.get("sex", "")
    )
    return line, ReceivedValue(patient, read(raw, now), NAME, f"{name}:{line}", row.get("order", ""))


def variable_named(text: str) -> ClinicalVariable | None:
    """The variable that a name or a LOINC code stands for, or None."""
    bare = text.strip()
    if bare.lower() in set(ClinicalVariable):
        return ClinicalVariable(bare.lower())
    return BY_LOINC.get(bare)


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone() if text else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
