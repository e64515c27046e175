"""Outcomes joined with recorded cases by what identifies a study; nothing is guessed, what does not fit is told.

An outcome names its study by ``study_uid``, ``accession`` or ``patient_id`` (with ``issuer`` where patient IDs have
one); of several the first in that order decides, and the others must not contradict it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.evaluation.csv_rows import read_rows
from node.errors import UsageError

KEYS: Final = ("study_uid", "accession", "patient_id")
ISSUER: Final = "issuer"


@dataclass(frozen=True, slots=True)
class Identity:
    """What identifies a recorded case."""

    case: str
    study_uid: str
    accession: str
    patient_id: str
    issuer: str

    def of(self, key: str) -> str:
        """The identifier of that name."""
        return {"study_uid": self.study_uid, "accession": self.accession, "patient_id": self.patient_id}[key].strip()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line of the file."""

    line: int
    identifiers: Mapping[str, str]
    """Those of ``KEYS`` and the issuer that are not empty."""
    known: Mapping[str, str]
    """Its other columns."""


class Fate(StrEnum):
    """What became of a line."""

    MATCHED = "matched"
    UNMATCHED = "no recorded case has this identifier"
    SEVERAL_CASES = "several recorded cases have this identifier"
    SEVERAL_OUTCOMES = "several outcomes are for the same case"
    CONTRADICTED = "its identifiers are not those of one case"
    NAMELESS = "it names no study, accession or patient"


@dataclass(frozen=True, slots=True)
class Match:
    """A line of the file with what became of it."""

    outcome: Outcome
    fate: Fate
    case: str = ""
    """Where it was matched."""


def read_outcomes(file: Path) -> tuple[Outcome, ...]:
    """The outcomes in ``file``; UsageError where it has no identifier, or a line that is none."""
    read = read_rows(file)
    if not set(read.columns) & set(KEYS):
        raise UsageError(f"{file}: has none of the columns {', '.join(KEYS)}")
    if "label" not in read.columns:
        raise UsageError(f"{file}: has no column label")
    found = []
    for line, row in read.rows:
        given = {name: row[name].strip() for name in (*KEYS, ISSUER) if row.get(name, "").strip()}
        known = {name: text.strip() for name, text in row.items() if name not in (*KEYS, ISSUER, "case")}
        found.append(Outcome(line, given, known))
    return tuple(found)


def match(outcomes: Iterable[Outcome], cases: Sequence[Identity]) -> tuple[Match, ...]:
    """Every outcome with what became of it."""
    first = [_match(one, cases) for one in outcomes]
    times = Counter(one.case for one in first if one.case)
    return tuple(Match(one.outcome, Fate.SEVERAL_OUTCOMES) if times[one.case] > 1 else one for one in first)


def _match(outcome: Outcome, cases: Sequence[Identity]) -> Match:
    given = outcome.identifiers
    key = next((one for one in KEYS if one in given), None)
    if key is None:
        return Match(outcome, Fate.NAMELESS)
    found = [case for case in cases if case.of(key) == given[key]]
    if not found:
        return Match(outcome, Fate.UNMATCHED)
    fitting = [case for case in found if _fits(case, given)]
    if not fitting:
        return Match(outcome, Fate.CONTRADICTED)
    if len(fitting) > 1:
        return Match(outcome, Fate.SEVERAL_CASES)
    return Match(outcome, Fate.MATCHED, fitting[0].case)


def _fits(case: Identity, given: Mapping[str, str]) -> bool:
    """Whether all identifiers given are those of the case."""
    issuer = given.get(ISSUER)
    return all(case.of(key) == given[key] for key in KEYS if key in given) and (
        issuer is None or case.issuer.strip() == issuer
    )
