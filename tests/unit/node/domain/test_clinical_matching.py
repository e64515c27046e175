"""Whose a value is, and whether it is of the time of the study."""

from datetime import UTC, date, datetime, timedelta

import pytest

from node.domain.clinical import ValueReason
from node.domain.clinical_matching import contradicts, dicom_day, is_future, untimely
from node.domain.imaging import PatientIdentity

STUDY_DAY = date(2024, 5, 6)


def person(name: str = "Doe^Jane", born: str = "19600101", sex: str = "F") -> PatientIdentity:
    """Somebody under one patient ID."""
    return PatientIdentity("4711", "", name, born, sex)


@pytest.mark.parametrize(
    "other",
    [
        person(),
        person(name=""),
        person(born="", sex=""),
        person(name="DOE^JANE^MARY"),
        person(name="Doe^J"),
        person(name="Doe"),
        person(name="Döe^Jané"),
        person(born="1960-01-01"),
        person(born="196001011200"),
        person(sex="U"),
        person(sex="f"),
    ],
)
def test_the_same_person_written_otherwise(other: PatientIdentity) -> None:
    """Case, accents, initials, further names, forms of a date, and what is not said."""
    assert not contradicts(person(), other)
    assert not contradicts(other, person())


@pytest.mark.parametrize(
    "other",
    [
        person(name="Roe^Jane"),
        person(name="Doe^Mary"),
        person(name="Doe^John", sex="M"),
        person(born="19600102"),
        person(sex="M"),
    ],
)
def test_two_people_under_one_number(other: PatientIdentity) -> None:
    """Twins differ in the given name alone; one difference is enough."""
    assert contradicts(person(), other)
    assert contradicts(other, person())


def test_names_are_compared_in_an_alphabet_that_both_use() -> None:
    """An ideographic group says nothing against a Latin one, but agrees or not with another."""
    both = person(name="Yamada^Tarou=山田^太郎")
    assert not contradicts(both, person(name="YAMADA^TAROU"))
    assert not contradicts(both, person(name="山田^太郎"))
    assert contradicts(both, person(name="田中^太郎"))
    assert not contradicts(person(name="Yamada^Tarou"), person(name="山田^太郎"))


@pytest.mark.parametrize(
    ("days_before", "reason"),
    [(0, None), (30, None), (31, ValueReason.STALE), (-1, ValueReason.AFTER_STUDY), (400, ValueReason.STALE)],
)
def test_the_day_of_the_study_counts_whole(days_before: int, reason: ValueReason | None) -> None:
    """From its end back to the staleness limit."""
    noon = datetime(2024, 5, 6, 12).astimezone()
    assert untimely(noon - timedelta(days=days_before), STUDY_DAY, 30) is reason


def test_without_a_time_nothing_can_be_said() -> None:
    """Neither of the value nor of the study."""
    assert untimely(None, STUDY_DAY, 30) is ValueReason.NO_TIME
    assert untimely(datetime(2024, 5, 6, tzinfo=UTC), None, 30) is ValueReason.NO_TIME


def test_clocks_may_differ_by_minutes() -> None:
    """A laboratory's clock a little ahead is no future."""
    now = datetime(2024, 5, 6, 12, tzinfo=UTC)
    assert not is_future(None, now)
    assert not is_future(now + timedelta(minutes=9), now)
    assert is_future(now + timedelta(minutes=11), now)


@pytest.mark.parametrize("text", ["", "2024", "20240230", "garbage", "2024111"])
def test_what_is_no_day_is_none(text: str) -> None:
    """Nothing is completed."""
    assert dicom_day(text) is None


def test_a_day_is_read() -> None:
    """Eight digits."""
    assert dicom_day("20240506") == STUDY_DAY
