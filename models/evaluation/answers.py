"""A predictor's answer as the classes of a cohort: one probability a class in order of severity, and the class called.

PORCELAIN gives one probability, of a high ratio; GTRNet one for each T category. Case documents record both by the
codes of their conclusions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from node.domain.prediction import Conclusion, Prediction
from node.errors import UsageError

_STAGE_WORDS: Final = {1: ("1", "t1", "t1a", "t1b"), 2: ("2", "t2"), 3: ("3", "t3"), 4: ("4", "t4", "t4a", "t4b")}


@dataclass(frozen=True, slots=True)
class Question:
    """What a predictor decides between."""

    conclusions: tuple[Conclusion, ...]
    classes: tuple[str, ...]
    """Their names in a cohort, in the same order."""
    words: Mapping[str, str]
    """How people write a class, in lower case, to its name."""

    def class_of(self, word: str) -> str:
        """The class that ``word`` means; empty for an empty word. UsageError when it means none."""
        text = word.strip().lower()
        if text and text not in self.words:
            raise UsageError(f"{word.strip()[:40]!r} is none of the classes {', '.join(self.classes)}")
        return self.words.get(text, "")


NTR: Final = Question(
    (Conclusion.NTR_LOW, Conclusion.NTR_HIGH),
    ("low", "high"),
    MappingProxyType({"low": "low", "0": "low", "high": "high", "1": "high"}),
)
T_CATEGORY: Final = Question(
    (Conclusion.CT1, Conclusion.CT2, Conclusion.CT3, Conclusion.CT4),
    ("T1", "T2", "T3", "T4"),
    MappingProxyType({word: f"T{stage}" for stage, words in _STAGE_WORDS.items() for word in words}),
)
QUESTIONS: Final = (NTR, T_CATEGORY)
_OF_PREDICTOR: Final = MappingProxyType({"porcelain": NTR, "gtrnet": T_CATEGORY})


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one case."""

    question: Question
    probabilities: tuple[float, ...]
    """One a class, adding up to 1."""
    called: str
    """The class decided for, by the bundle's own rule: a threshold or a vote."""


def question_of(predictor: str) -> Question:
    """What a registered predictor decides; UsageError for one whose classes are not known here."""
    if predictor not in _OF_PREDICTOR:
        raise UsageError(f"the classes of the predictor {predictor!r} are not known; known: {', '.join(_OF_PREDICTOR)}")
    return _OF_PREDICTOR[predictor]


def of_prediction(prediction: Prediction) -> Answer:
    """What a prediction says."""
    return _answer(prediction.conclusion, [score.probability for score in prediction.scores])


def of_document(document: Mapping[str, Any]) -> Answer:
    """What a case document says; UsageError when it is none of a predictor that is known here."""
    try:
        conclusion = Conclusion[document["conclusion"]["code"]]
        probabilities = [float(score["probability"]) for score in document["scores"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError("a recorded result is not one that can be evaluated") from error
    return _answer(conclusion, probabilities)


def _answer(conclusion: Conclusion, probabilities: Sequence[float]) -> Answer:
    question = next(one for one in QUESTIONS if conclusion in one.conclusions)
    whole = (1 - probabilities[0], probabilities[0]) if len(probabilities) == 1 else tuple(probabilities)
    if len(whole) != len(question.classes):
        raise UsageError(f"{len(whole)} probabilities for the classes {', '.join(question.classes)}")
    return Answer(question, whole, question.classes[question.conclusions.index(conclusion)])
