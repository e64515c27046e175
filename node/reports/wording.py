"""The words: what a result says in plain language, with its limits; the same in the document and on the pages."""

from typing import Final

from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.clinical_variables import UNIT_WORDS
from node.domain.imaging import OtherLesion
from node.domain.phase import PhaseVerdict
from node.domain.prediction import Contribution, Interval, Nomogram, NomogramItem, Prediction, Score
from node.domain.reasons import Reason
from node.domain.reporting import Notice, NoticeKind, Report, ReportedNumber
from node.reports.codes import MAP_DICE, NOMOGRAM_QUANTITIES, QUANTITIES, subject
from node.reports.identity import DIGEST_CHARACTERS
from node.reports.naming import may_not_be_used, warnings

STRONGEST: Final = 3
"""How many reasons a reader is shown first."""

_PERCENT: Final = 100.0
_FOUR_DIGITS: Final = 1000
_INPUT_WORDS: Final = {
    "ca19_9": "CA 19-9",
    "cea": "CEA",
    "ca125": "CA 125",
    "clinical_t": "clinical T",
    "clinical_n": "clinical N",
} | {name: name.upper() for name in ("bmi", "wbc", "alt", "ast", "alp", "ggt", "nlr", "plr", "lmr", "agr")}


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


def input_name(name: str) -> str:
    """A model's input as a person reads it: ``CA 19-9`` for ``ca19_9``."""
    return _INPUT_WORDS.get(name, name.replace("_", " "))


def reason_line(reason: Contribution) -> str:
    """One input's share of the output, with what was answered: ``ca19_9 (820 U/mL): +0.84``."""
    answer = f" ({reason.answer}{', imputed' if reason.is_imputed else ''})" if reason.answer else ""
    return f"{input_name(reason.name)}{answer}: {logits_text(reason.logits)}"


def logits_text(logits: float) -> str:
    """A contribution with its sign, none where it rounds to nothing."""
    text = f"{logits:+.2f}"
    return text[1:] if float(text) == 0.0 else text


def interval_text(interval: Interval) -> str:
    """A probability, or the two it lies between, as per cent."""
    if interval.is_exact:
        return percent_text(interval.low)
    return f"{percent(interval.low):.1f} to {percent_text(interval.high)}"


def points_text(points: Interval) -> str:
    """Points of a nomogram, or the range they lie in."""
    if points.is_exact:
        return f"{points.low:.0f} points"
    return f"{points.low:.0f} to {points.high:.0f} points"


def nomogram_item_line(item: NomogramItem) -> str:
    """One line of the nomogram: what was answered, and what it gives."""
    return f"{item.name}: {item.answer or 'unknown'}, {points_text(item.points)}"


def nomogram_line(nomogram: Nomogram) -> str:
    """What the nomogram reads in one line."""
    parts = [f"c{quantity.value} {interval_text(interval)}" for quantity, interval in nomogram.probabilities]
    return f"Nomogram, {points_text(nomogram.total_points)}: {', '.join(parts)}"


def dice_line(prediction: Prediction) -> str:
    """How far the evidence map and the region agree; empty when that was not computed."""
    dice = prediction.explanation.roi_dice
    if dice is None or prediction.explanation.is_empty:
        return ""
    return f"Evidence map (half of its scale) and region overlap with a Dice coefficient of {dice:.2f}"


def note_lines(report: Report) -> tuple[str, ...]:
    """What a reader must know: the notes of the predictor, then what the region and the map say."""
    roi = report.roi
    lines = [note.text for note in report.prediction.notes]
    if not roi.anatomy_is_coded:
        lines.append(f"The organ ({roi.anatomy.key}) was taken from the contour's label, not from a code.")
    if roi.others:
        lines.append(several_line(report))
    lines += series_lines(report)
    if line := dice_line(report.prediction):
        lines.append(f"{line}.")
    if report.prediction.nomogram:
        lines.extend(report.prediction.nomogram.notes)
    lines += clinical_lines(report.clinical)
    if report.prediction.explanation.is_empty:
        lines.append("The evidence map is empty: the model marks no place in the image.")
    return tuple(lines)


def several_line(report: Report) -> str:
    """Which of several lesions this is about, and which it is not."""
    roi = report.roi
    others = "; ".join(other_line(other) for other in roi.others)
    is_largest = all(roi.volume_ml >= other.volume_ml for other in roi.others)
    which = "the largest" if is_largest else f"the largest in the {roi.anatomy.key}, where one is likelier"
    return f"{len(roi.others) + 1} lesions: this is about {which}, {roi.volume_ml:.1f} mL. Not analysed: {others}."


def other_line(other: OtherLesion) -> str:
    """A lesion that was found and not analysed: ``Lesion 2 in the pancreas (pancreas, 1.4 mL)``."""
    return f"{other.label or 'no label'} ({other.anatomy.key}, {other.volume_ml:.1f} mL)"


def region_line(report: Report) -> str:
    """Who drew the region: ``dicom-seg (SEG by Workstation, 2024-01-01)``."""
    roi = report.roi
    return f"{roi.source} ({roi.made_by})" if roi.made_by else roi.source


def series_lines(report: Report) -> tuple[str, ...]:
    """What a reader must know of the series: its phase and what that rests on, its slices, and what is odd about it."""
    phase = f"Phase: {phase_line(report.phase)}."
    return phase, f"{slices_line(report)}.", *(remark_line(remark) for remark in report.remarks)


def slices_line(report: Report) -> str:
    """The grid of the series: ``120 slices, 2.5 mm apart, pixels of 0.78 mm``."""
    geometry = report.volume.geometry
    between_columns, _, apart = geometry.spacing_xyz_mm
    return f"{geometry.shape_zyx[0]} slices, {apart:.1f} mm apart, pixels of {between_columns:.2f} mm"


def phase_line(verdict: PhaseVerdict) -> str:
    """The phase with the evidence of both kinds: ``portal-venous; by times: …; by attenuation: …``."""
    timing = f"{verdict.timing.phase} ({verdict.timing.evidence or 'nothing said'})"
    measured = verdict.attenuation
    seen = f"{measured.phase} ({measured.evidence})" if measured else "no organ measured"
    return f"{verdict.phase}; by times: {timing}; by attenuation: {seen}"


def remark_line(remark: Reason) -> str:
    """What is odd about a series, with the numbers."""
    return f"{remark.code.sentence} ({remark.detail})" if remark.detail else remark.code.sentence


def clinical_lines(clinical: ClinicalRecord) -> tuple[str, ...]:
    """What a reader must know of the clinical values: who disagreed, what was held and why, who did not answer."""
    lines = [
        f"Sources disagree: {value_line(one.used)} was used, {value_line(one.other)} not." for one in clinical.conflicts
    ]
    lines += [
        f"Not used: {input_name(one.variable.value)} ({one.source}): {one.reason.sentence}" for one in clinical.held
    ]
    lines += [f"Not asked for clinical values: {told}." for told in clinical.silent]
    return tuple(lines)


def imputed_line(prediction: Prediction) -> str:
    """How many of the clinical variables were imputed, and which: ``2 of 27: CEA, CA 125``."""
    count, known = len(prediction.clinical_imputed), len(prediction.clinical_used)
    return f"{count} of {count + known}: {imputed_names(prediction)}"


def imputed_names(prediction: Prediction) -> str:
    """The clinical variables that were imputed, as a person reads them."""
    return ", ".join(input_name(name) for name in prediction.clinical_imputed)


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
    unit = UNIT_WORDS.get(value.unit, value.unit)
    return f"{input_name(value.variable.value)}: {number} {unit}".rstrip() + f" ({value.source}{seen})"


def statement(report: Report) -> str:
    """The result in plain language with its limits: the Comment of the document."""
    prediction, roi = report.prediction, report.roi
    sentences = [
        f"Celadon asked {prediction.algorithm.name} about one lesion in the {roi.anatomy.key}.",
        f"Its contour is from {region_line(report)} and holds {roi.volume_ml:.1f} mL.",
        f"{headline(prediction)}.",
        "; ".join(score_lines(prediction)) + ".",
    ]
    if votes := votes_line(prediction):
        sentences.append(f"{votes}.")
    if prediction.attribution:
        strongest = "; ".join(reason_line(reason) for reason in prediction.attribution.contributions[:STRONGEST])
        sentences.append(f"Strongest reasons, in logits: {strongest}.")
    if prediction.nomogram:
        sentences.append(f"{nomogram_line(prediction.nomogram)}.")
    if subject(prediction) == "cT":
        sentences.append("This is a predicted category, not a staging by a physician.")
    if prediction.clinical_imputed:
        sentences.append(f"Missing and imputed: {imputed_line(prediction)}.")
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
    if prediction.nomogram:
        rows += [
            ReportedNumber(NOMOGRAM_QUANTITIES[quantity][0].meaning, interval_text(interval))
            for quantity, interval in prediction.nomogram.probabilities
        ]
    if prediction.explanation.roi_dice is not None:
        rows.append(ReportedNumber(MAP_DICE.meaning, round(prediction.explanation.roi_dice, 3)))
    rows.append(ReportedNumber("Region volume", round(report.roi.volume_ml, 2), "mL"))
    return tuple(rows)


_NOTICES: Final[dict[NoticeKind, tuple[str, str]]] = {
    NoticeKind.NOT_ANALYSED: (
        "NOT ANALYSED.",
        "There is no AI result for this series. This is not a negative result.",
    ),
    NoticeKind.HELD: (
        "NOT ANALYSED: HELD FOR A PERSON.",
        "There is no AI result for this series until somebody has looked at it. This is not a negative result.",
    ),
    NoticeKind.WITHDRAWN: (
        "AI RESULT WITHDRAWN.",
        "Do not use the AI result for this series. Whatever of it can still be seen is no longer valid.",
    ),
}


def notice_heading(notice: Notice) -> str:
    """What has happened, in capitals."""
    return _NOTICES[notice.kind][0]


def notice_meaning(notice: Notice) -> str:
    """What that means to a reader."""
    return _NOTICES[notice.kind][1]


def notice_reason(notice: Notice) -> str:
    """Why, with what it was about."""
    return f"{notice.reason} ({notice.detail})" if notice.detail else notice.reason


def notice_series(notice: Notice) -> str:
    """Which series the notice is about, as a reader finds it again."""
    series = notice.series
    number = series.attribute("SeriesNumber")
    parts = (f"series {number}" if number else "", series.attribute("SeriesDescription"))
    count = len(series.instances)
    return ", ".join((*(part for part in parts if part), f"{series.modality}, {count} object{'s' * (count != 1)}"))


def notice_lines(notice: Notice) -> tuple[str, ...]:
    """The whole notice in sentences, what matters most first."""
    lines = [f"{notice_heading(notice)} {notice_meaning(notice)}", f"Why: {notice_reason(notice)}"]
    lines.append(f"This is about {notice_series(notice)}.")
    if notice.withdrawn:
        lines.append(f"Withdrawn: {len(notice.withdrawn)} objects of the analysis.")
    lines.append(f"Celadon {notice.node_version}, analysis {notice.job_id}, version {notice.version}.")
    return tuple(lines)
