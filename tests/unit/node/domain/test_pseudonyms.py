"""Pseudonyms: the same under one key, others under another, and valid where DICOM asks for something valid."""

from datetime import date, timedelta

import pytest
from pydicom.uid import UID

from node.domain.pseudonyms import Pseudonyms

ONE, OTHER = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
PATIENT = ("4711", "HOSP")


def test_a_name_is_of_one_patient_and_one_key() -> None:
    """Also the issuer counts, and where one ends and the other begins."""
    assert ONE.patient(PATIENT) == ONE.patient(PATIENT)
    names = {ONE.patient(PATIENT), OTHER.patient(PATIENT), ONE.patient(("4711", "")), ONE.patient(("4711H", "OSP"))}
    assert len(names) == 4
    assert all(len(name) == 24 for name in names)


def test_a_uid_is_one_that_dicom_accepts() -> None:
    """Derived from a UUID, and the same for each reference to it."""
    made = UID(ONE.uid("1.2.840.1"))
    assert made.is_valid
    assert made == ONE.uid("1.2.840.1")
    assert made != OTHER.uid("1.2.840.1")


def test_days_move_by_one_number_a_patient() -> None:
    """Back, by at least one day and at most ten years."""
    day = date(2024, 5, 6)
    moves = {ONE.moved(day + timedelta(days=more), PATIENT) - timedelta(days=more) for more in range(30)}
    assert len(moves) == 1
    assert 1 <= (day - moves.pop()).days <= 3650
    assert len({ONE.moved(day, (str(number), "")) for number in range(50)}) > 40


def test_a_short_key_is_refused() -> None:
    """Patient IDs are few: a key that can be guessed hides nobody."""
    with pytest.raises(ValueError, match="fewer than 32"):
        Pseudonyms(b"short")
