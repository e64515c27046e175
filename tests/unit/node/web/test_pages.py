"""How values are written."""

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.web import pages

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "words"),
    [("Müller^Jörg", "Müller, Jörg"), ("Müller^Jörg^^Dr.", "Müller, Jörg Dr."), ("Only", "Only"), ("", ""),
     ("Wang^XiaoDong=王^小东", "Wang, XiaoDong · 王, 小东"), ("^^", "")],
)  # fmt: skip
def test_person_names_are_read_as_people_write_them(value: str, words: str) -> None:
    """Family name first, groups of characters apart (PS3.5 section 6.2.1)."""
    assert pages.person_name(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [("20240506", "2024-05-06"), ("2024", "2024"), ("", ""), ("2024050x", "2024050x")]
)
def test_dates_have_hyphens_where_they_are_dates(value: str, words: str) -> None:
    """What is none stays as it is."""
    assert pages.dicom_date(value) == words


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (60, "1 min"), (7200, "2 h"), (200000, "2 d"), (-5, "0 s")])
def test_ages_are_in_the_largest_unit(seconds: int, words: str) -> None:
    """A clock that was set back gives none below zero."""
    assert pages.ago(NOW - timedelta(seconds=seconds), NOW) == words
    assert pages.ago(None, NOW) == pages.moment(None) == pages.NOTHING


def test_every_state_and_reason_has_words() -> None:
    """An unknown reason is shown as it is."""
    assert {pages.state_words(state) for state in JobState} == set(pages.STATE_WORDS.values())
    assert pages.sentence("NO_ROOM") == ReasonCode.NO_ROOM.sentence
    assert pages.sentence("SOMETHING_NEWER") == "SOMETHING_NEWER"
    assert pages.day(None) == "no date"
