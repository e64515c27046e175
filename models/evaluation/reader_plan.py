"""The plan of a reader study: who reads which case when, with or without the model's help.

A fully crossed design in two sessions with a pause between them. Each reader reads every case once with help and once
without; which comes first is drawn within each class, so that both sessions have the same mix. The order within a
session is drawn anew for each reader. Readers see a code, never a case's name or truth; the key stays with the
coordinator. GTRNet's own study gave every reader the unassisted phase first, and other cases in the second
(doi 10.1038/s41746-025-02002-5, methods): order and cases are then mixed up with the help, which this plan avoids.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from node.errors import UsageError

SESSIONS: Final = 2
PAUSE_DAYS: Final = 28
"""Between the sessions, so that a case is not remembered."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One case, once, by one reader. The whole row is the coordinator's key."""

    code: str
    """What the reader sees; the same case has another in the other session."""
    reader: str
    session: int
    position: int
    """From 1 within the session."""
    assisted: bool
    case: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """What a reader is given: nothing of the case but where to look and whether the model's answer is shown."""

    code: str
    session: int
    position: int
    assisted: bool
    called: str = ""
    seconds: str = ""


def plan(cases: Sequence[str], classes: Sequence[str], readers: Sequence[str], seed: int) -> tuple[Reading, ...]:
    """The readings of ``cases``, whose truths are ``classes``, by ``readers``; the same seed gives the same plan."""
    for what, names in (("case", cases), ("reader", readers)):
        if not names or len(set(names)) != len(names):
            raise UsageError(f"a reader study needs {what}s, each named once")
    generator = np.random.default_rng(seed)
    codes = iter(generator.permutation(len(cases) * len(readers) * SESSIONS) + 1)
    digits = len(str(len(cases) * len(readers) * SESSIONS))
    found = []
    for reader in readers:
        helped_first = _drawn_halves(classes, generator)
        for session in range(1, SESSIONS + 1):
            for position, index in enumerate(generator.permutation(len(cases)), start=1):
                assisted = bool(helped_first[index]) == (session == 1)
                code = f"{next(codes):0{digits}d}"
                found.append(Reading(code, reader, session, position, assisted, cases[index]))
    return tuple(found)


def write_plan(readings: Iterable[Reading], folder: Path) -> tuple[Path, ...]:
    """Write the key and one sheet a reader; UsageError when one is there already, for a key must not be lost."""
    readings = tuple(readings)
    folder.mkdir(parents=True, exist_ok=True)
    files = [_written(folder / "key.csv", Reading, map(asdict, readings))]
    for reader in dict.fromkeys(one.reader for one in readings):
        rows = (
            asdict(SheetRow(one.code, one.session, one.position, one.assisted))
            for one in readings
            if one.reader == reader
        )
        files.append(_written(folder / f"sheet-{len(files)}.csv", SheetRow, rows))
    return tuple(files)


def read_key(file: Path) -> tuple[Reading, ...]:
    """The plan in ``file``; UsageError naming the line where it is none, or names a code again."""
    found: dict[str, Reading] = {}
    for line, row in _rows(file, [field.name for field in fields(Reading)]):
        try:
            numbers = int(row["session"]), int(row["position"])
            assisted = {"True": True, "False": False}[row["assisted"]]
        except (ValueError, KeyError) as error:
            raise UsageError(f"{file}: line {line}: is no line of a key") from error
        if row["code"] in found:
            raise UsageError(f"{file}: line {line}: code {row['code']!r} stands there already")
        found[row["code"]] = Reading(row["code"], row["reader"], *numbers, assisted, row["case"])
    return tuple(found.values())


def _drawn_halves(classes: Sequence[str], generator: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(cases,): half of each class, drawn; of an odd number, the half that is larger is drawn as well."""
    drawn = np.zeros(len(classes), dtype=np.bool_)
    for one in dict.fromkeys(classes):
        rows = generator.permutation(np.flatnonzero(np.array(classes) == one))
        drawn[rows[: (len(rows) + int(generator.integers(0, 2))) // 2]] = True
    return drawn


def _written(file: Path, kind: type[Reading] | type[SheetRow], rows: Iterable[dict[str, object]]) -> Path:
    try:
        with file.open("x", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(kind)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except FileExistsError as error:
        raise UsageError(f"{file}: is there already; a study's plan is not written over") from error
    return file


def _rows(file: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{file}: has no column {missing[0]}")
            return [(reader.line_num, {name: row[name] or "" for name in columns}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error


def read_answers(files: Iterable[Path], classes: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Code to the class called and the seconds it took (NaN when not noted), from filled-in sheets.

    A sheet's line without an answer is left out; UsageError names file and line of an answer that is none.
    """
    found: dict[str, tuple[int, float]] = {}
    for file in files:
        for line, row in _rows(file, ("code", "called", "seconds")):
            called = row["called"].strip()
            if not called:
                continue
            if called not in classes:
                raise UsageError(f"{file}: line {line}: {called[:40]!r} is none of the classes {', '.join(classes)}")
            if row["code"] in found:
                raise UsageError(f"{file}: line {line}: code {row['code']!r} is answered already")
            found[row["code"]] = list(classes).index(called), _seconds(file, line, row["seconds"])
    return found


def _seconds(file: Path, line: int, text: str) -> float:
    try:
        seconds = float(text) if text.strip() else float("nan")
    except ValueError as error:
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is not a time in seconds") from error
    if seconds < 0 or seconds == float("inf"):
        raise UsageError(f"{file}: line {line}: {text[:40]!r} is not a time in seconds")
    return seconds
