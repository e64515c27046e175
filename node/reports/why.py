"""The reasons as pictures: Shapley values as bars about a middle line, and a nomogram with this patient's answers.

Source: for the bars Lundberg & Lee 2017; for the nomogram GTRNet (doi 10.1038/s41746-025-02002-5), Figure 6.
"""

from collections.abc import Sequence
from typing import Final

from node.domain.prediction import Attribution, Contribution, Interval, Nomogram, NomogramItem
from node.reports import wording
from node.reports.drawing import FAINT, INK, OUTLINE, PANEL, RULE, Box, Canvas

_ROW: Final = 26
_BAR: Final = 16
_LEAST_SCALE: Final = 0.1  # logits: bars of a result that nothing moved stay short
_FULL_POINTS: Final = 100.0
_MARK: Final = 7
_TICK_CLEARANCE: Final = 46
_BELOW_TICKS: Final = 38


def bars(canvas: Canvas, reasons: Sequence[Contribution], box: Box, *, size: int = 18, step: int = _ROW) -> int:
    """One row a reason: its words, a bar to the right where it raises the output, and its logits; the y below."""
    left, top, right, bottom = box
    words_end, number_start = left + round(0.52 * (right - left)), right - 58
    middle, half = (words_end + number_start) // 2 + 6, (number_start - words_end) // 2 - 10
    scale = max([abs(reason.logits) for reason in reasons] + [_LEAST_SCALE])
    for reason in reasons:
        if top + step > bottom:
            break
        y = top + step // 2
        canvas.text((left, y), _who(reason), size, anchor="lm", width=words_end - left - 6)
        reach = middle + round(half * reason.logits / scale)
        canvas.rectangle((middle - half, y - _BAR // 2, middle + half, y + _BAR // 2), fill=PANEL)
        low, high = sorted((middle, reach))
        raises = reason.logits > 0
        edge = INK if raises else FAINT
        canvas.rectangle((low, y - _BAR // 2, high, y + _BAR // 2), fill=INK if raises else None, edge=edge)
        canvas.line((middle, y - step // 2), (middle, y + step // 2), RULE, 2)
        canvas.text((right, y), wording.logits_text(reason.logits), size, anchor="rm")
        top += step
    return top


def _who(reason: Contribution) -> str:
    """The input with its value; an imputed one says so."""
    answer = " imputed" if reason.is_imputed else f" {reason.answer}" if reason.answer else ""
    return f"{wording.input_name(reason.name)}{answer}"


def strongest(canvas: Canvas, attribution: Attribution, target: str, box: Box) -> int:
    """The strongest reasons with a title; the y below."""
    left, top, right, bottom = box
    canvas.text((left, top), f"STRONGEST REASONS (logits towards {target})", 17, FAINT, width=right - left)
    return bars(canvas, attribution.contributions[: wording.STRONGEST], (left, top + 26, right, bottom))


def every_reason(canvas: Canvas, attribution: Attribution, target: str, box: Box) -> None:
    """All Shapley values between the base and the output, those that find no room summed up."""
    left, top, right, bottom = box
    title = f"What moved this result towards (right) or away from (left) {target}"
    top = canvas.paragraph((left, top, right, top + 60), title, 24, bold=True) + 8
    canvas.text((left, top), f"base (mean over the reference patients): {attribution.base_logit:+.2f}", 18, FAINT)
    room = (bottom - top - 120) // _ROW
    shown, rest = attribution.contributions[:room], attribution.contributions[room:]
    if rest:
        shown = (*shown, Contribution(f"{len(rest)} more", sum(reason.logits for reason in rest)))
    top = bars(canvas, shown, (left, top + 32, right, bottom - 60))
    words = f"base and all contributions together: {attribution.logit:+.2f} logits"
    canvas.text((left, top + 12), words, 20, bold=True)
    canvas.text(
        (left, top + 42), "Shapley values say how the model used an input, not what caused the disease.", 17, FAINT
    )


def reading(canvas: Canvas, nomogram: Nomogram, box: Box) -> int:
    """The nomogram's probabilities as ranges, short; the y below."""
    left, top, right, bottom = box
    canvas.text((left, top), f"NOMOGRAM, {wording.points_text(nomogram.total_points)}", 17, FAINT, width=right - left)
    top += 24
    for quantity, interval in nomogram.probabilities:
        if top + _ROW > bottom:
            break
        _range(canvas, f"c{quantity.value}", interval, (left, top, right, top + _ROW))
        top += _ROW
    return top


def _range(canvas: Canvas, name: str, interval: Interval, box: Box) -> None:
    """A probability on a line from 0 to 1: a stroke where it is known, a bar where it is a range."""
    left, top, right, bottom = box
    start, end, y = left + 56, right - 150, (top + bottom) // 2
    canvas.text((left, y), name, 18, anchor="lm")
    canvas.line((start, y), (end, y), RULE, 2)
    low, high = (start + round((end - start) * p) for p in (interval.low, interval.high))
    canvas.rectangle((low - 2, y - 7, max(high, low + 2), y + 7), fill=INK)
    canvas.text((right, y), wording.interval_text(interval), 18, anchor="rm")


def whole_nomogram(canvas: Canvas, nomogram: Nomogram, box: Box) -> None:
    """Every line of the nomogram to scale with this patient's answer on it, the total, and the probabilities."""
    left, top, right, bottom = box
    canvas.text((left, top), "Nomogram with this patient's answers", 24, bold=True)
    top += 44
    axis = (left + 170, right - 20)
    _scale(
        canvas, "Points", tuple((f"{points}", float(points)) for points in range(0, 101, 10)), axis, (left, top + 26)
    )
    top += 70
    for item in nomogram.items:
        _item(canvas, item, axis, (left, top + 30))
        top += 84
    canvas.text((left, top), f"Total: {wording.points_text(nomogram.total_points)}", 22, bold=True)
    top += 40
    for quantity, interval in nomogram.probabilities:
        _range(canvas, f"c{quantity.value}", interval, (left, top, right, top + 30))
        top += 32
    for note in nomogram.notes:
        top = canvas.paragraph((left, top + 8, right, bottom), note, 17, FAINT)


def _scale(
    canvas: Canvas, name: str, ticks: Sequence[tuple[str, float]], axis: tuple[int, int], at: tuple[int, int]
) -> None:
    """A line of the nomogram with its ticks, the words of ticks that are too close set below the line."""
    left, y = at
    canvas.text((left, y), name, 20, anchor="lm", width=axis[0] - left - 8)
    places = [(_place(points, axis), words) for words, points in ticks]
    if not places:
        return
    canvas.line((places[0][0], y), (places[-1][0], y), FAINT, 2)
    last = {-1: -_FULL_POINTS, 1: -_FULL_POINTS}
    for x, words in places:
        canvas.line((x, y - 5), (x, y + 5), FAINT, 2)
        side = -1 if x - last[-1] >= _TICK_CLEARANCE else 1
        last[side] = x
        canvas.text((x, y + side * 9), words, 15, FAINT, anchor="md" if side < 0 else "ma")


def _item(canvas: Canvas, item: NomogramItem, axis: tuple[int, int], at: tuple[int, int]) -> None:
    """One line and on it the answer: a solid mark, or a bar over all that it could be."""
    left, y = at
    _scale(canvas, item.name, item.scale, axis, at)
    low, high = _place(item.points.low, axis), _place(item.points.high, axis)
    if item.points.is_exact:
        canvas.rectangle((low - _MARK, y - _MARK, low + _MARK, y + _MARK), fill=OUTLINE, edge=(0, 0, 0))
    else:
        canvas.rectangle((low, y - 4, high, y + 4), fill=OUTLINE)
    # Below the words of ticks that were too close, which may begin where this text has not ended.
    answer = f"{item.answer or 'unknown'}: {wording.points_text(item.points)}"
    canvas.text((left, y + _BELOW_TICKS), answer, 16, OUTLINE, anchor="lm")


def _place(points: float, axis: tuple[int, int]) -> int:
    return axis[0] + round((axis[1] - axis[0]) * points / _FULL_POINTS)
