"""Export for research: values without patients."""

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from node.clinical.export import COLUMNS, export
from node.domain.clinical import ClinicalVariable, ValueState
from node.domain.clinical_intake import KnownValue, RawValue, ReadValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from node.domain.pseudonyms import Pseudonyms

KEY = b"k" * 32
MOMENT = datetime(2024, 5, 6, 12, tzinfo=UTC)


def known(
    value: float = 37.0,
    patient: str = "Secret4711",
    days: int = 0,
    variable: ClinicalVariable = ClinicalVariable.CA19_9,
) -> KnownValue:
    """A usable value whose every text says that it is secret."""
    raw = RawValue(variable, "Secret", "Secret", MOMENT + timedelta(days=days))
    person = PatientIdentity(patient, "Secret", "Secret^Jane", "19600101", "F")
    received = ReceivedValue(person, ReadValue(raw, value, "U/mL"), "hl7", "Secret", "Secret", "Secret")
    return KnownValue(1, received, MOMENT, ValueState.USABLE, None)


def exported(*values: KnownValue, key: bytes = KEY, **canonical: str) -> list[dict[str, str]]:
    """The rows of the file."""
    out = io.StringIO()
    own = {(prior, "Secret"): (survivor, "Secret") for prior, survivor in canonical.items()}
    count = export(values, own, Pseudonyms(key), out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert "Secret" not in out.getvalue()
    assert "1960" not in out.getvalue()
    assert count == len(rows)
    return rows


def test_values_stay_and_patients_do_not() -> None:
    """No number, name, birth date, text, message or person."""
    (row,) = exported(known())
    assert tuple(row) == COLUMNS
    assert (row["variable"], row["value"], row["unit"], row["source"]) == ("ca19_9", "37", "U/mL", "hl7")


def test_one_patient_has_one_name_and_only_with_the_key() -> None:
    """The same in every export of this key, another with another key, and one for merged identifiers."""
    one, again, other = exported(known(), known(1.0), known(patient="Secret4712"))
    assert one["pseudonym"] == again["pseudonym"] != other["pseudonym"]
    assert exported(known(), key=b"x" * 32)[0]["pseudonym"] != one["pseudonym"]
    assert exported(known(patient="Secret4712"), Secret4712="Secret4711")[0]["pseudonym"] == one["pseudonym"]


def test_dates_move_and_distances_stay() -> None:
    """By one number of days a patient, at least one."""
    first, second = (date.fromisoformat(row["observed_on"]) for row in exported(known(), known(days=10)))
    assert second - first == timedelta(days=10)
    assert first < MOMENT.date()


def test_the_very_old_are_ninety() -> None:
    """A patient of 103 can be found."""
    assert exported(known(103.0, variable=ClinicalVariable.AGE))[0]["value"] == "90"


def test_only_what_is_usable_is_exported() -> None:
    """Held and superseded values are not data."""
    assert exported(replace(known(), state=ValueState.HELD), replace(known(), state=ValueState.SUPERSEDED)) == []
