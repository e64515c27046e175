"""The key image: one slice, whole and enlarged, with the evidence map and its legend."""

from typing import Final

import numpy as np

from node.domain.reporting import Report
from node.reports import drawing, page, wording
from node.reports.drawing import FAINT, INK, PANEL, RULE, Canvas, RgbArray
from node.reports.evidence import Evidence
from node.reports.page import BAND_BOTTOM, MARGIN, SIDE, Slice

NO_EVIDENCE: Final = "no evidence map"
_LARGE: Final = 636
_TITLE_SIZE: Final = 26
_SMALL: Final = 310
_TOP: Final = BAND_BOTTOM + 16
_LEAST_MM: Final = 60.0


def key_image(report: Report, evidence: Evidence, index: int) -> RgbArray:
    """Slice ``index`` as (1024, 1024, 3) of 8 bits."""
    canvas = Canvas(SIDE, SIDE)
    page.frame(canvas, report, evidence)
    ct = Slice.of(report, index)
    large = (MARGIN, _TOP, MARGIN + _LARGE, _TOP + _LARGE)
    whole = drawing.whole((ct.hu.shape[0], ct.hu.shape[1]), ct.spacing_mm, _LARGE - 2, _LARGE - 2)
    page.panel(canvas, report, ct.explained(whole), large)
    _close_ups(canvas, report, ct)
    _legend(canvas, report, ct)
    return canvas.pixels


def _close_ups(canvas: Canvas, report: Report, ct: Slice) -> None:
    close = drawing.around(ct.region, ct.spacing_mm, _SMALL - 2, _LEAST_MM)
    left, lower = SIDE - MARGIN - _SMALL, _TOP + _LARGE - _SMALL
    _close_up(canvas, report, ct.plain(close), (left, _TOP), "CT")
    if report.prediction.explanation.is_empty:
        box = (left, lower, left + _SMALL, lower + _SMALL)
        canvas.rectangle(box, fill=PANEL, edge=RULE)
        canvas.text((left + _SMALL // 2, lower + _SMALL // 2), NO_EVIDENCE, 28, anchor="mm")
    else:
        _close_up(canvas, report, ct.explained(close), (left, lower), "CT + map")


def _close_up(canvas: Canvas, report: Report, picture: drawing.Picture, at: tuple[int, int], words: str) -> None:
    left, top = at
    page.panel(canvas, report, picture, (left, top, left + _SMALL, top + _SMALL))
    canvas.text((left + 8, top + 8), words, 17, halo=True)


def _title(report: Report) -> str:
    """The question and the answer; where both are too long for one line the answer alone, which is never cut."""
    headline = wording.headline(report.prediction)
    fits = drawing.shortened(headline, _TITLE_SIZE, _LARGE) == headline
    return headline if fits else report.prediction.conclusion.value


def _legend(canvas: Canvas, report: Report, ct: Slice) -> None:
    top = _TOP + _LARGE + 18
    canvas.text((MARGIN, top), _title(report), _TITLE_SIZE, bold=True, width=_LARGE)
    canvas.text((MARGIN, top + 40), f"{page.place(report, ct.index)}   {page.window()}", 18, width=_LARGE)
    canvas.text((MARGIN, top + 66), wording.scores_line(report.prediction), 18, FAINT, width=_LARGE)
    page.region_key(canvas, (MARGIN, top + 110), f"region of interest ({report.roi.label or report.roi.anatomy.key})")
    left = SIDE - MARGIN - _SMALL
    if report.prediction.explanation.is_empty:
        canvas.paragraph((left, top + 2, SIDE - MARGIN, top + 80), "The model marks no place in the image.", 19)
        return
    page.region_key(canvas, (MARGIN, top + 138), "map at half of its full scale", dashed=True)
    _bar(canvas, (left, top), _SMALL)
    explanation = report.prediction.explanation
    canvas.text((left, top + 62), explanation.target, 19, width=_SMALL)
    if not (ct.saliency > 0).any():
        canvas.text((left, top + 114), "(none on this slice)", 17, width=_SMALL)
    canvas.text((left, top + 88), f"{explanation.method.value}: where, not how sure", 17, FAINT, width=_SMALL)


def _bar(canvas: Canvas, at: tuple[int, int], width: int) -> None:
    """The colour bar as it appears over mid-grey tissue, with words at its ends."""
    levels = np.tile(np.linspace(0.0, 1.0, width, dtype=np.float32), (22, 1))
    grey = np.full((22, width, 3), 128, dtype=np.uint8)
    canvas.picture(drawing.blended(grey, levels), at)
    x, y = at
    canvas.rectangle((x, y, x + width - 1, y + 21), edge=INK)
    canvas.line((x + width // 2, y), (x + width // 2, y + 28), INK, 2)
    canvas.text((x, y + 32), "low", 18)
    canvas.text((x + width // 2, y + 32), "half", 18, FAINT, anchor="ma")
    canvas.text((x + width, y + 32), "high", 18, anchor="ra")
