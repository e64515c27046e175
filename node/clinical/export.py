"""Clinical values without the patients: for research.

Patients become keyed hashes (HMAC-SHA256): without the key nobody can find a patient, with it the same patient has the
same name in every export. Dates are moved by a number of days that is one patient's own, so that distances stay (PS3.15
section E.3.6, "Retain Longitudinal Temporal Information with Modified Dates Option"). Ages above 89 become 90 (45 CFR
164.514(b)(2)(i)(C)). What people or machines wrote as text is left out.
"""

import csv
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TextIO

from node.domain.clinical import ClinicalVariable, ValueState
from node.domain.clinical_intake import KnownValue
from node.errors import UsageError

COLUMNS: Final = ("pseudonym", "variable", "value", "unit", "observed_on", "source")
SHORTEST_KEY_BYTES: Final = 32
OLDEST_YEARS: Final = 90.0

_PSEUDONYM_CHARACTERS: Final = 24
_LARGEST_SHIFT_DAYS: Final = 3650

Key = tuple[str, str]


def export(values: Iterable[KnownValue], canonical: Mapping[Key, Key], key: bytes, out: TextIO) -> int:
    """Write the usable ``values``; returns how many.

    ``canonical``: for merged identifiers, the one that stands for all.

    Raises:
        UsageError: the key is too short to keep anything secret.
    """
    if len(key) < SHORTEST_KEY_BYTES:
        raise UsageError(f"the key has fewer than {SHORTEST_KEY_BYTES} bytes")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for known in values:
        if known.state is ValueState.USABLE and known.received.read.value is not None:
            own = known.received.patient.key()
            writer.writerow(_row(known, canonical.get(own, own), key))
            count += 1
    return count


def _row(known: KnownValue, patient: Key, key: bytes) -> tuple[str, ...]:
    read = known.received.read
    value = read.value
    if read.raw.variable is ClinicalVariable.AGE and isinstance(value, float):
        value = min(value, OLDEST_YEARS)
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    day = _moved(read.raw.observed_at, patient, key)
    return (_keyed("patient", patient, key), read.raw.variable.value, shown, read.unit, day, known.received.source)


def _keyed(purpose: str, patient: Key, key: bytes) -> str:
    message = "\x1f".join((purpose, *patient)).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_PSEUDONYM_CHARACTERS]


def _moved(moment: datetime | None, patient: Key, key: bytes) -> str:
    if moment is None:
        return ""
    days = int(_keyed("dates", patient, key), 16) % _LARGEST_SHIFT_DAYS + 1
    return (moment.astimezone().date() - timedelta(days=days)).isoformat()
