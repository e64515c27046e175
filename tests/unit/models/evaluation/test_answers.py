"""A predictor's answer as the classes of a cohort."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from models.evaluation.answers import NTR, T_CATEGORY, of_document, of_prediction, question_of
from models.registry import PREDICTORS
from node.domain.prediction import Conclusion, Quantity, Score
from node.errors import UsageError

STAGES = (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4)


def prediction(conclusion: Conclusion, *scores: Score) -> Any:
    """What an answer is made of."""
    return SimpleNamespace(conclusion=conclusion, scores=scores)


def test_one_probability_becomes_two() -> None:
    """Of the high class and what is left; the call is the bundle's, whatever one half would say."""
    found = of_prediction(prediction(Conclusion.NTR_LOW, Score(Quantity.NTR_HIGH, 0.75)))
    assert (found.question, found.probabilities, found.called) == (NTR, (0.25, 0.75), "low")


def test_several_stand_for_themselves() -> None:
    """In order of severity; a vote may call another class than the most probable."""
    scores = [Score(stage, share) for stage, share in zip(STAGES, (0.1, 0.4, 0.3, 0.2), strict=True)]
    found = of_prediction(prediction(Conclusion.CT3, *scores))
    assert (found.question, found.probabilities, found.called) == (T_CATEGORY, (0.1, 0.4, 0.3, 0.2), "T3")
    with pytest.raises(UsageError, match="2 probabilities"):
        of_prediction(prediction(Conclusion.CT3, *scores[:2]))


def test_a_recorded_document_says_the_same() -> None:
    """By the codes that it carries."""
    document = {"conclusion": {"code": "NTR_HIGH"}, "scores": [{"probability": 0.8}]}
    found = of_document(document)
    assert (found.called, found.probabilities) == ("high", (pytest.approx(0.2), 0.8))
    for broken in ({}, {"conclusion": {"code": "OTHER"}, "scores": []}, {"conclusion": None, "scores": []}):
        with pytest.raises(UsageError, match="not one that can be evaluated"):
            of_document(broken)


@pytest.mark.parametrize("predictor", sorted(PREDICTORS))
def test_every_registered_predictor_has_its_classes(predictor: str) -> None:
    """Or it could not be evaluated."""
    question = question_of(predictor)
    assert len(question.classes) == len(question.conclusions) >= 2


def test_another_predictor_is_said_to_be_unknown() -> None:
    """With those that are known."""
    with pytest.raises(UsageError, match="'x' are not known; known: porcelain, gtrnet"):
        question_of("x")


def test_words_mean_classes() -> None:
    """However people write them; an empty one is unknown, a strange one an error."""
    assert [NTR.class_of(word) for word in ("High", " 0 ", "")] == ["high", "low", ""]
    assert [T_CATEGORY.class_of(word) for word in ("T1b", "2", "t4A")] == ["T1", "T2", "T4"]
    with pytest.raises(UsageError, match="'T5' is none of the classes T1, T2, T3, T4"):
        T_CATEGORY.class_of("T5")
    assert replace(NTR, words={"x": "low"}).class_of("X") == "low"
