"""From what a source sent to a value that models can take: number, unit, category and time, each believed or not."""

import math
import re
from datetime import datetime
from typing import Final

from node.clinical.units import convert, to_ucum
from node.domain.clinical import ValueReason
from node.domain.clinical_intake import RawValue, ReadValue
from node.domain.clinical_matching import is_future
from node.domain.clinical_variables import ROWS, CategoryRow, NumberRow

LONGEST_TEXT: Final = 128

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,15}))")
_LIMIT: Final = re.compile(r"(?:[<>≤≥]|less than|more than|greater than|below|above)", re.IGNORECASE)
_UNFIT: Final = re.compile(
    r"ha?emoly|lipa?em|icter|clott|coagul|contamin|insufficient|qns|unsuitable|unsatisf|溶血", re.IGNORECASE
)


def read(raw: RawValue, now: datetime, *, needs_time: bool = True) -> ReadValue:
    """What ``raw`` says, in the unit of its variable, with the first reason that there is not to use it.

    ``needs_time``: a value that does not say when it was observed is held; one that a person enters need not say.
    """
    row = ROWS[raw.variable]
    if raw.is_ambiguous or raw.is_withdrawn:
        return ReadValue(raw, None, "", ValueReason.WITHDRAWN if raw.is_withdrawn else ValueReason.AMBIGUOUS)
    value, reason = _number(raw, row) if isinstance(row, NumberRow) else _category(raw, row)
    unit = row.unit if isinstance(row, NumberRow) and value is not None else ""
    return ReadValue(raw, value, unit, reason or _circumstance(raw, now, needs_time=needs_time))


def _circumstance(raw: RawValue, now: datetime, *, needs_time: bool) -> ValueReason | None:
    if not raw.is_final:
        return ValueReason.NOT_FINAL
    if is_future(raw.observed_at, now):
        return ValueReason.FUTURE
    return ValueReason.NO_TIME if needs_time and raw.observed_at is None else None


def _number(raw: RawValue, row: NumberRow) -> tuple[float | None, ValueReason | None]:
    number = _parse(raw.text)
    if isinstance(number, ValueReason):
        return None, number
    code = to_ucum(raw.unit, row)
    if isinstance(code, ValueReason):
        return None, code
    if number < 0:
        return None, ValueReason.NEGATIVE
    value = convert(number, code, row)
    return value, None if row.believes(value) else ValueReason.IMPLAUSIBLE


def _parse(text: str) -> float | ValueReason:
    """The number that ``text`` is; a comma is decimal only where it cannot part thousands."""
    bare = text.strip()
    if len(bare) > LONGEST_TEXT:
        return ValueReason.TOO_LONG
    if _UNFIT.search(bare):
        return ValueReason.SPECIMEN
    if _LIMIT.match(bare):
        return ValueReason.CENSORED
    if _DECIMAL_COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    if not _NUMBER.fullmatch(bare) or not math.isfinite(number := float(bare)):
        return ValueReason.NOT_A_NUMBER
    return number


def _category(raw: RawValue, row: CategoryRow) -> tuple[str | None, ValueReason | None]:
    if len(raw.text) > LONGEST_TEXT:
        return None, ValueReason.TOO_LONG
    found = row.meant(raw.text)
    return found, None if found is not None else ValueReason.UNKNOWN_CATEGORY
