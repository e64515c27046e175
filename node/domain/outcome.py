"""Outcomes: what turned out to be true of a study, so that probabilities can be held to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from node.domain.prediction import Quantity

LONGEST_SOURCE: Final = 200
"""Characters."""


class Question(StrEnum):
    """What an outcome is the answer to."""

    NTR = "ntr"
    T_CATEGORY = "t-category"


ANSWERS: Final[Mapping[str, Question]] = MappingProxyType(
    {"NTR_HIGH": Question.NTR, "NTR_LOW": Question.NTR}
    | {quantity.name: Question.T_CATEGORY for quantity in (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4)}
)
"""Each answer with the question that it answers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer about one study. Added, never changed: a later one about the same question counts instead."""

    study_uid: str
    answer: str
    """One of ``ANSWERS``."""
    entered_by: str
    at: datetime
    """When it was entered."""
    determined_on: date | None = None
    """When it was found out."""
    source: str = ""
    """How it is known: for example ``pathology``; no patient data."""

    @property
    def question(self) -> Question:
        """What it answers."""
        return ANSWERS[self.answer]


def outcome(study_uid: str, answer: str, determined_on: str, source: str, entered_by: str, now: datetime) -> Outcome:
    """An outcome from what somebody has written.

    Raises:
        ValueError: it is not complete or not possible; the message quotes nothing of it.
    """
    known = answer.strip().upper()
    if known not in ANSWERS:
        raise ValueError(f"an outcome is one of {', '.join(ANSWERS)}")
    if not entered_by.strip():
        raise ValueError("an outcome is entered by somebody with a name")
    words = " ".join(source.replace("\x00", "").split())
    if len(words) > LONGEST_SOURCE:
        raise ValueError(f"a source has at most {LONGEST_SOURCE} characters")
    try:
        day = date.fromisoformat(determined_on.strip()) if determined_on.strip() else None
    except ValueError as exc:
        raise ValueError("a day is written YYYY-MM-DD") from exc
    if day is not None and day > now.astimezone().date():
        raise ValueError("an outcome cannot have been determined in the future")
    return Outcome(study_uid, known, entered_by.strip(), now, day, words)


def came_true(quantity: str, answer: str) -> bool | None:
    """Whether what a score was the probability of came true; None where the answer is to another question."""
    question = ANSWERS.get(quantity)
    if question is None or ANSWERS[answer] is not question:
        return None
    return quantity == answer
