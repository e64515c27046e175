"""Outcomes: what can be entered, and what of a score it answers."""

from datetime import UTC, date, datetime

import pytest

from node.domain.outcome import ANSWERS, Question, came_true, outcome

NOW = datetime(2025, 3, 4, 12, tzinfo=UTC)


def test_an_outcome_is_what_somebody_wrote_in_our_words() -> None:
    """Upper case, a day, one line of source."""
    made = outcome("2.25.1", " t3 ", "2025-02-01", "pathology\n report", "Dr Jones", NOW)
    assert (made.answer, made.question, made.determined_on) == ("T3", Question.T_CATEGORY, date(2025, 2, 1))
    assert made.source == "pathology report"


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "T5"},
        {"answer": ""},
        {"determined_on": "01.02.2025"},
        {"determined_on": "2025-03-05"},
        {"source": "x" * 201},
        {"entered_by": " "},
    ],
)
def test_what_makes_no_sense_is_refused_without_being_quoted(changes: dict[str, str]) -> None:
    """No such class, no such day, a day to come, a novel, nobody."""
    values = {"answer": "T3", "determined_on": "", "source": "", "entered_by": "Dr Jones"} | changes
    with pytest.raises(ValueError, match=r"outcome|day|source") as raised:
        outcome("2.25.1", values["answer"], values["determined_on"], values["source"], values["entered_by"], NOW)
    assert "T5" not in str(raised.value).replace("T1, T2, T3, T4", "")


def test_an_answer_counts_for_the_scores_of_its_question_alone() -> None:
    """A T category says nothing of an NTR."""
    assert came_true("T3", "T3") is True
    assert came_true("T2", "T3") is False
    assert came_true("NTR_HIGH", "NTR_LOW") is False
    assert came_true("NTR_HIGH", "T3") is None
    assert came_true("SOMETHING", "T3") is None
    assert set(ANSWERS.values()) == set(Question)
