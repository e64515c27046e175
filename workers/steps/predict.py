"""Predict: run the predictor that the rules choose for a series and its region, for several cases at once."""

from collections.abc import Mapping, Sequence

from node import log
from node.domain.imaging import Roi, Series
from node.domain.ports import Predictor
from node.domain.prediction import Case, Prediction
from node.errors import CeladonError, UsageError
from node.settings import RuleSettings
from node.triage import rules


def choose_predictor(
    configured: Sequence[RuleSettings], predictors: Mapping[str, Predictor], series: Series, roi: Roi
) -> tuple[str, Predictor]:
    """The predictor for this region, with its registered name.

    Raises:
        Refused: no rule matches.
        UsageError: a rule names a predictor that does not exist.
    """
    name = rules.choose(configured, series, roi).predictor
    if name not in predictors:
        raise UsageError(f"rules: there is no predictor {name!r}; known: {', '.join(sorted(predictors))}")
    return name, predictors[name]


class Together:
    """Cases that are predicted at once, as soon as the first of them is asked for."""

    def __init__(
        self,
        configured: Sequence[RuleSettings],
        predictors: Mapping[str, Predictor],
        cases: Sequence[tuple[Series, Case]],
    ) -> None:
        """``configured``: the rules that choose among ``predictors``."""
        self._configured, self._predictors, self._cases = configured, predictors, cases
        self._answers: dict[Case, Prediction | Exception] = {}
        self._asked: set[str] = set()

    def predict(self, series: Series, case: Case) -> tuple[str, Prediction]:
        """The name of the predictor that the rules choose, and what it says about this lesion.

        Raises:
            Refused: no rule matches, or the input cannot be used.
            UsageError: a rule names a predictor that does not exist.
        """
        name, predictor = choose_predictor(self._configured, self._predictors, series, case.roi)
        self._predict_all(name, predictor)
        answer = self._answers.get(case)
        if isinstance(answer, Exception):
            raise answer
        return name, answer or predictor.predict(case)

    def _predict_all(self, name: str, predictor: Predictor) -> None:
        """Ask the predictor about all its cases, unless it has been asked or there is one alone."""
        if name in self._asked:
            return
        self._asked.add(name)
        cases = [case for series, case in self._cases if self._is_for(series, case, name)]
        if len(cases) > 1:
            self._answers |= _answers(predictor, cases)

    def _is_for(self, series: Series, case: Case, name: str) -> bool:
        try:
            return choose_predictor(self._configured, self._predictors, series, case.roi)[0] == name
        except CeladonError:
            return False  # and says so when it is asked for


def _answers(predictor: Predictor, cases: Sequence[Case]) -> dict[Case, Prediction | Exception]:
    """What the predictor says about all at once; nothing where that fails: each alone tells whose fault it is."""
    try:
        return dict(zip(cases, predictor.predict_many(cases), strict=True))
    except Exception as exc:  # noqa: BLE001 — whatever is wrong with one is said of that one
        log.get().warning(
            log.NOT_TOGETHER, predictor=predictor.identity.name, count=len(cases), error=type(exc).__name__
        )
        return {}
