"""The summary page: the question, the answer, how sure, where, and what limits it, to be taken in at one glance."""

from collections.abc import Iterable
from typing import Final

from node.domain.prediction import Score
from node.domain.reporting import Report
from node.reports import codes, drawing, page, why, wording
from node.reports.drawing import FAINT, INK, OUTLINE, PANEL, RULE, Box, Canvas, RgbArray
from node.reports.evidence import Evidence, key_slices
from node.reports.page import BAND_BOTTOM, FOOTER_TOP, MARGIN, SIDE, Slice

_MIDDLE: Final = SIDE // 2
_PICTURE: Final = SIDE - MARGIN - _MIDDLE
_TOP: Final = BAND_BOTTOM + 20
_LOWER: Final = 716
_LARGE_ANSWER: Final = 84
_SMALL_ANSWER: Final = 40
_SHORT: Final = 6
_BAR_LEFT: Final = 106
_BAR_HEIGHT: Final = 30


def summary(report: Report, evidence: Evidence) -> RgbArray:
    """The page as (1024, 1024, 3) of 8 bits."""
    canvas = Canvas(SIDE, SIDE)
    draw_summary(canvas, report, evidence)
    return canvas.pixels


def draw_summary(canvas: Canvas, report: Report, evidence: Evidence) -> None:
    """The page on any canvas of its size."""
    page.frame(canvas, report, evidence)
    y = _answer(canvas, report)
    y = _bars(canvas, report, y)
    y = _votes(canvas, report, y)
    _why(canvas, report, y)
    _picture(canvas, report)
    _notes(canvas, report)
    _inputs(canvas, report)


def _answer(canvas: Canvas, report: Report) -> int:
    prediction = report.prediction
    width = _MIDDLE - 2 * MARGIN
    question = f"{prediction.title}, lesion in the {report.roi.anatomy.key}"
    y = canvas.paragraph((MARGIN, _TOP, MARGIN + width, _TOP + 60), question, 22, FAINT) + 6
    answer = prediction.conclusion.value
    size = _LARGE_ANSWER if len(answer) <= _SHORT else _SMALL_ANSWER
    return canvas.paragraph((MARGIN, y, MARGIN + width, y + 120), answer, size, bold=True) + 16


def _bars(canvas: Canvas, report: Report, top: int) -> int:
    """One bar a probability; the class decided for is solid, the others are hollow; the threshold is a tick."""
    prediction = report.prediction
    single = len(prediction.scores) == 1
    for score in prediction.scores:
        chosen = single or score.quantity.value == prediction.conclusion.value.removeprefix("c")
        _bar(canvas, score, top, solid=chosen)
        top += _BAR_HEIGHT + 16
    if prediction.threshold is not None:
        x = _at(prediction.threshold)
        canvas.line((x, top - _BAR_HEIGHT - 24), (x, top - 8), OUTLINE, 3)
        words = f"threshold {wording.percent_text(prediction.threshold)}"
        canvas.text((x, top - 4), words, 19, anchor="ma")
        top += 32
    return top


def _at(probability: float) -> int:
    left, right = _BAR_LEFT + MARGIN, _MIDDLE - MARGIN - 84
    return left + round((right - left) * float(probability))


def _bar(canvas: Canvas, score: Score, top: int, *, solid: bool) -> None:
    middle = top + _BAR_HEIGHT // 2
    canvas.text((MARGIN, middle), wording.short_name(score), 22, INK if solid else FAINT, anchor="lm", bold=solid)
    canvas.rectangle((_at(0), top, _at(1), top + _BAR_HEIGHT), fill=PANEL, edge=RULE)
    fill = INK if solid else None
    canvas.rectangle((_at(0), top, _at(score.probability), top + _BAR_HEIGHT), fill=fill, edge=INK if solid else FAINT)
    text = wording.percent_text(score.probability)
    canvas.text((_MIDDLE - MARGIN, middle), text, 22, INK if solid else FAINT, anchor="rm", bold=solid)


def _votes(canvas: Canvas, report: Report, top: int) -> int:
    box = (MARGIN, top + 4, _MIDDLE - MARGIN, _LOWER - 12)
    prediction = report.prediction
    if prediction.votes:
        return canvas.paragraph(box, wording.votes_line(prediction), 20)
    if prediction.threshold is not None:
        side = "at or above" if prediction.scores[0].probability >= prediction.threshold else "below"
        meaning = codes.QUANTITIES[prediction.scores[0].quantity].meaning
        return canvas.paragraph(box, f"{meaning} is {side} the threshold.", 20)
    return top


def _why(canvas: Canvas, report: Report, top: int) -> None:
    """The strongest reasons, or what the nomogram reads: the whole is on the explanation page."""
    prediction = report.prediction
    box = (MARGIN, top + 14, _MIDDLE - MARGIN, _LOWER - 8)
    if prediction.attribution:
        why.strongest(canvas, prediction.attribution, wording.short_name(prediction.scores[0]), box)
    elif prediction.nomogram:
        why.reading(canvas, prediction.nomogram, box)


def _picture(canvas: Canvas, report: Report) -> None:
    index = key_slices(report)[0]
    ct = Slice.of(report, index)
    box = (_MIDDLE, _TOP, _MIDDLE + _PICTURE, _TOP + _PICTURE)
    view = drawing.around_body(ct.hu, ct.spacing_mm, _PICTURE - 2)
    page.panel(canvas, report, ct.plain(view), box)
    canvas.text((_MIDDLE, box[3] + 8), f"{page.place(report, index)}   {page.window()}", 18, FAINT, width=_PICTURE)
    words = f"region of interest, {report.roi.volume_ml:.1f} mL, from {wording.region_line(report)}"
    page.region_key(canvas, (_MIDDLE, box[3] + 44), words)


def _list(canvas: Canvas, title: str, items: Iterable[str], box: Box) -> None:
    left, y, right, bottom = box
    canvas.text((left, y), title, 19, FAINT)
    y += 30
    rows = list(items) or ["none"]
    for number, item in enumerate(rows):
        if y + 24 > bottom - (26 if number < len(rows) - 1 else 0):
            canvas.text((left, y), f"+ {len(rows) - number} more in the structured report", 18, FAINT)
            return
        y = canvas.paragraph((left, y, right, min(bottom, y + 72)), item, 18, bullet="- ") + 4


def _notes(canvas: Canvas, report: Report) -> None:
    canvas.line((MARGIN, _LOWER), (SIDE - MARGIN, _LOWER))
    box = (MARGIN, _LOWER + 12, _MIDDLE - MARGIN, FOOTER_TOP - 8)
    _list(canvas, "QUALITY AND LIMITS", _unsaid(report), box)


def _unsaid(report: Report) -> list[str]:
    """The notes that the page does not say elsewhere: the warning is in the band, missing inputs have a list."""
    elsewhere = {"CLINICAL_IMPUTED"} if report.prediction.clinical_imputed else set()
    said = {note.text for note in report.prediction.notes if note.code in elsewhere}
    said.add(report.algorithm.disclaimer)
    return [line for line in wording.note_lines(report) if line not in said]


def _inputs(canvas: Canvas, report: Report) -> None:
    rows = [wording.value_line(value) for value in wording.used_values(report)]
    if report.prediction.clinical_imputed:
        rows.insert(0, f"MISSING, imputed: {wording.imputed_line(report.prediction)}")
    box = (_MIDDLE, _LOWER + 12, SIDE - MARGIN, FOOTER_TOP - 8)
    _list(canvas, "CLINICAL VALUES USED", rows, box)
