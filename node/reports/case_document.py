"""The case document: what a page shows of a result, as JSON; the same words and numbers as the objects carry."""

from typing import Any, Final

from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.clinical_variables import UNIT_WORDS
from node.domain.prediction import Attribution, Conclusion, Interval, Nomogram, Prediction
from node.domain.reporting import Report
from node.reports import wording
from node.reports.codes import QUANTITIES
from node.reports.naming import warnings
from node.reports.observed import observed

VERSION: Final = 1

_CLASSES: Final = (
    (Conclusion.NTR_LOW, Conclusion.NTR_HIGH),
    (Conclusion.CT1, Conclusion.CT2, Conclusion.CT3, Conclusion.CT4),
)
"""Conclusions that answer the same question: what a reader who disagrees may choose from."""


def case_document(report: Report) -> dict[str, Any]:
    """Everything but pixels: those are in the objects."""
    prediction, algorithm = report.prediction, report.prediction.algorithm
    explanation = prediction.explanation
    return {
        "document": VERSION,
        "summary": _summary(prediction),
        "title": prediction.title,
        "conclusion": {"code": prediction.conclusion.name, "text": prediction.conclusion.value},
        "classes": _classes(prediction),
        "warnings": list(warnings(report)),
        "algorithm": {
            "name": algorithm.name,
            "version": algorithm.version,
            "manufacturer": algorithm.manufacturer,
            "family": algorithm.family,
            "digest": algorithm.digest,
            "status": algorithm.status.value,
            "parameters": list(algorithm.parameters),
        },
        "scores": [_score(prediction, number) for number in range(len(prediction.scores))],
        "threshold": prediction.threshold,
        "votes": [vote.value for vote in prediction.votes],
        "notes": [{"code": note.code, "text": note.text} for note in prediction.notes],
        "attribution": _attribution(prediction.attribution),
        "nomogram": _nomogram(prediction.nomogram),
        "clinical": _clinical(report.clinical, prediction),
        "region": {
            "label": report.roi.label or report.roi.anatomy.key,
            "anatomy": report.roi.anatomy.key,
            "source": report.roi.source,
            "volume_ml": round(report.roi.volume_ml, 2),
            "others": [wording.other_line(other) for other in report.roi.others],
        },
        "map": {
            "method": explanation.method.value,
            "target": explanation.target,
            "is_empty": explanation.is_empty,
            "dice": explanation.roi_dice,
        },
        "slices": list(report.volume.instance_uids),
        "spacing_mm": [round(one, 6) for one in report.volume.geometry.spacing_xyz_mm],
        "directions": [[round(one, 6) for one in axis] for axis in report.volume.geometry.direction],
        "key_slices": list(explanation.key_slices) or [report.roi.largest_slice],
        "observed": observed(report),
    }


def _summary(prediction: Prediction) -> str:
    """The answer in a few words: ``cT3 62.1 %``; of a single score what it is the probability of."""
    best = max(prediction.scores, key=lambda score: score.probability)
    return f"{wording.short_name(best)} {wording.percent_text(best.probability)}"


def _classes(prediction: Prediction) -> list[dict[str, str]]:
    found = next((group for group in _CLASSES if prediction.conclusion in group), ())
    return [{"code": one.name, "text": one.value} for one in found]


def _score(prediction: Prediction, number: int) -> dict[str, Any]:
    score = prediction.scores[number]
    return {
        "name": QUANTITIES[score.quantity].meaning,
        "short": wording.short_name(score),
        "probability": float(score.probability),
        "text": wording.percent_text(score.probability),
    }


def _interval(interval: Interval) -> list[float]:
    return [float(interval.low), float(interval.high)]


def _attribution(attribution: Attribution | None) -> dict[str, Any] | None:
    if attribution is None:
        return None
    return {
        "base": attribution.base_logit,
        "output": attribution.logit,
        "contributions": [
            {
                "name": wording.input_name(one.name),
                "answer": one.answer,
                "is_imputed": one.is_imputed,
                "logits": one.logits,
            }
            for one in attribution.contributions
        ],
    }


def _nomogram(nomogram: Nomogram | None) -> dict[str, Any] | None:
    if nomogram is None:
        return None
    return {
        "items": [
            {
                "name": item.name,
                "answer": item.answer,
                "points": _interval(item.points),
                "scale": [[answer, points] for answer, points in item.scale],
            }
            for item in nomogram.items
        ],
        "total": _interval(nomogram.total_points),
        "probabilities": [
            {"short": QUANTITIES[quantity].meaning.removeprefix("Probability of "), "interval": _interval(interval)}
            for quantity, interval in nomogram.probabilities
        ],
        "notes": list(nomogram.notes),
    }


def _clinical(record: ClinicalRecord, prediction: Prediction) -> dict[str, Any]:
    return {
        "values": [_value(value, value.variable.value in prediction.clinical_used) for value in record.values],
        "imputed": [{"variable": name, "name": wording.input_name(name)} for name in prediction.clinical_imputed],
        "held": [
            {
                "name": wording.input_name(one.variable.value),
                "source": one.source,
                "reason": one.reason.sentence,
                "observed_at": one.observed_at.isoformat() if one.observed_at else None,
            }
            for one in record.held
        ],
        "conflicts": [
            {
                "name": wording.input_name(one.used.variable.value),
                "used": _value(one.used, used=True),
                "other": _value(one.other, used=False),
            }
            for one in record.conflicts
        ],
        "silent": list(record.silent),
    }


def _value(value: ClinicalValue, used: bool) -> dict[str, Any]:
    number = f"{value.value:g}" if isinstance(value.value, float) else str(value.value)
    return {
        "variable": value.variable.value,
        "name": wording.input_name(value.variable.value),
        "value": number,
        "unit": UNIT_WORDS.get(value.unit, value.unit),
        "source": value.source,
        "observed_at": value.observed_at.isoformat() if value.observed_at else None,
        "parts": [wording.input_name(one.value) for one in value.parts],
        "is_used": used,
    }
