"""Predict: run the predictor that the rules choose for this series and region."""

from collections.abc import Mapping, Sequence

from node.domain.clinical import ClinicalRecord
from node.domain.imaging import Roi, Series, Volume
from node.domain.ports import Predictor
from node.domain.prediction import Case, Prediction
from node.errors import UsageError
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


def predict(predictor: Predictor, volume: Volume, roi: Roi, clinical: ClinicalRecord) -> Prediction:
    """What the predictor says about this lesion.

    Raises:
        Refused: the input cannot be used.
    """
    return predictor.predict(Case(volume, roi, clinical))
