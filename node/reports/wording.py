"""The words: what a result says in plain language, with its limits; the same in the document and on the pages."""

from typing import Final

from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.prediction import Prediction, Score
from node.domain.reporting import Report, ReportedNumber
from node.reports.codes import QUANTITIES, subject
from node.reports.identity import DIGEST_CHARACTERS
from node.reports.naming import may_not_be_used, warnings

_PERCENT: Final = 100.0
_FOUR_DIGITS: Final = 1000
_UNIT_WORDS: Final = {"a": "years", "mo": "months"}  # UCUM codes that are not read as words


def percent(probability: float) -> float:
    """A probability as per cent with one decimal: the precision that every object shows."""
    return round(_PERCENT * float(probability), 1)


def percent_text(probability: float) -> str:
    """A probability as a person reads it: ``62.1 %``."""
    return f"{percent(probability):.1f} %"


def headline(prediction: Prediction) -> str:
    """The answer in one line."""
    return f"{prediction.title}: {prediction.conclusion.value}"


def warning_line(report: Report) -> str:
    """The limits that must stand beside every number, in one line."""
    return " - ".join(warnings(report))


def algorithm_line(report: Report) -> str:
    """Which algorithm, exactly."""
    algorithm = report.prediction.algorithm
    return (
        f"{algorithm.name} {algorithm.version} ({algorithm.manufacturer}), {algorithm.family}, "
        f"bundle {algorithm.digest[:DIGEST_CHARACTERS]}"
    )


def score_lines(prediction: Prediction) -> tuple[str, ...]:
    """Each probability in one line, the threshold with it where there is one."""
    lines = [_score_line(score) for score in prediction.scores]
    if prediction.threshold is not None:
        lines.append(f"Decision threshold: {percent_text(prediction.threshold)}")
    return tuple(lines)


def _score_line(score: Score) -> str:
    return f"{QUANTITIES[score.quantity].meaning}: {percent_text(score.probability)}"


def scores_line(prediction: Prediction) -> str:
    """The probabilities in as few words as can be: ``cT1 5.7 %, cT2 14.2 %``."""
    scores = [f"{short_name(score)} {percent_text(score.probability)}" for score in prediction.scores]
    threshold = prediction.threshold
    return ", ".join(scores) + (f" (threshold {percent_text(threshold)})" if threshold is not None else "")


def short_name(score: Score) -> str:
    """What the score is the probability of: ``cT1`` or ``high NTR``."""
    return QUANTITIES[score.quantity].meaning.removeprefix("Probability of ")


def votes_line(prediction: Prediction) -> str:
    """How each slice voted, in slice order; empty when there was no vote."""
    if not prediction.votes:
        return ""
    agreeing = sum(vote is prediction.conclusion for vote in prediction.votes)
    votes = ", ".join(vote.value for vote in prediction.votes)
    return f"Slice votes: {votes} ({agreeing} of {len(prediction.votes)} agree)"


def note_lines(report: Report) -> tuple[str, ...]:
    """What a reader must know: the notes of the predictor, then what the region and the map say."""
    roi = report.roi
    lines = [note.text for note in report.prediction.notes]
    if not roi.anatomy_is_coded:
        lines.append(f"The organ ({roi.anatomy.key}) was taken from the contour's label, not from a code.")
    if roi.others:
        lines.append(f"{len(roi.others)} further lesion(s) in this series were not analysed.")
    lines += clinical_lines(report.clinical)
    if report.prediction.explanation.is_empty:
        lines.append("The evidence map is empty: the model marks no place in the image.")
    return tuple(lines)


def clinical_lines(clinical: ClinicalRecord) -> tuple[str, ...]:
    """What a reader must know of the clinical values: who disagreed, what was held and why, who did not answer."""
    lines = [
        f"Sources disagree: {value_line(one.used)} was used, {value_line(one.other)} not." for one in clinical.conflicts
    ]
    lines += [f"Not used: {one.variable.value} ({one.source}): {one.reason.sentence}" for one in clinical.held]
    lines += [f"Not asked for clinical values: {told}." for told in clinical.silent]
    return tuple(lines)


def used_values(report: Report) -> tuple[ClinicalValue, ...]:
    """The clinical values that went into the prediction."""
    used = set(report.prediction.clinical_used)
    return tuple(value for value in report.clinical.values if value.variable.value in used)


def _number(value: float) -> str:
    """Three significant figures, and never fewer digits than stand before the point."""
    return f"{value:.3g}" if abs(value) < _FOUR_DIGITS else f"{value:.0f}"


def value_line(value: ClinicalValue) -> str:
    """One clinical value with unit, source and time."""
    number = _number(value.value) if isinstance(value.value, float) else str(value.value)
    seen = f", {value.observed_at:%Y-%m-%d}" if value.observed_at else ""
    unit = _UNIT_WORDS.get(value.unit, value.unit)
    return f"{value.variable.value}: {number} {unit}".rstrip() + f" ({value.source}{seen})"


def statement(report: Report) -> str:
    """The result in plain language with its limits: the Comment of the document."""
    prediction, roi = report.prediction, report.roi
    sentences = [
        f"Celadon asked {prediction.algorithm.name} about one lesion in the {roi.anatomy.key}.",
        f"Its contour is from {roi.source} and holds {roi.volume_ml:.1f} mL.",
        f"{headline(prediction)}.",
        "; ".join(score_lines(prediction)) + ".",
    ]
    if votes := votes_line(prediction):
        sentences.append(f"{votes}.")
    if subject(prediction) == "cT":
        sentences.append("This is a predicted category, not a staging by a physician.")
    if prediction.clinical_imputed:
        sentences.append(f"Missing and imputed: {', '.join(prediction.clinical_imputed)}.")
    sentences.extend(note_lines(report))
    sentences.append(_limits(report))
    return " ".join(sentences)


def _limits(report: Report) -> str:
    limits = ["Probabilities are outputs of a model, not a diagnosis; no person has verified this result"]
    if may_not_be_used(report):
        limits.append("NOT FOR CLINICAL USE")
    if disclaimer := report.prediction.algorithm.disclaimer:
        limits.append(disclaimer)
    return "; ".join(limits) + "."


def numbers(report: Report) -> tuple[ReportedNumber, ...]:
    """Every number that the document and the summary hold."""
    prediction = report.prediction
    rows = [ReportedNumber(prediction.title, prediction.conclusion.value)]
    rows += [
        ReportedNumber(QUANTITIES[score.quantity].meaning, percent(score.probability), "%")
        for score in prediction.scores
    ]
    if prediction.threshold is not None:
        rows.append(ReportedNumber("Decision threshold", percent(prediction.threshold), "%"))
    if prediction.votes:
        rows.append(ReportedNumber("Slice votes", ", ".join(vote.value for vote in prediction.votes)))
    rows.append(ReportedNumber("Region volume", round(report.roi.volume_ml, 2), "mL"))
    return tuple(rows)
