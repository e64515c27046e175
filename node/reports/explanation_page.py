"""The explanation page: every reason for the result on one page, where the model gives reasons beside its map."""

from typing import Final

from node.domain.reporting import Report
from node.reports import page, why, wording
from node.reports.drawing import Canvas, RgbArray
from node.reports.evidence import Evidence
from node.reports.page import BAND_BOTTOM, FOOTER_TOP, MARGIN, SIDE

_TOP: Final = BAND_BOTTOM + 20


def has_reasons(report: Report) -> bool:
    """Whether there is anything to draw."""
    return report.prediction.attribution is not None or report.prediction.nomogram is not None


def explanation_page(report: Report, evidence: Evidence) -> RgbArray:
    """The page as (1024, 1024, 3) of 8 bits."""
    canvas = Canvas(SIDE, SIDE)
    draw_reasons(canvas, report, evidence)
    return canvas.pixels


def draw_reasons(canvas: Canvas, report: Report, evidence: Evidence) -> None:
    """Shapley values above, the nomogram below where there are both."""
    prediction = report.prediction
    page.frame(canvas, report, evidence)
    canvas.text((MARGIN, _TOP), wording.headline(prediction), 22, width=SIDE - 2 * MARGIN)
    areas = _areas(2 if prediction.attribution and prediction.nomogram else 1)
    if prediction.attribution:
        why.every_reason(canvas, prediction.attribution, wording.short_name(prediction.scores[0]), areas.pop(0))
    if prediction.nomogram:
        why.whole_nomogram(canvas, prediction.nomogram, areas.pop(0))


def _areas(count: int) -> list[tuple[int, int, int, int]]:
    """The page below its headline in ``count`` boxes, one under the other."""
    top, bottom = _TOP + 44, FOOTER_TOP - 10
    height = (bottom - top) // count
    return [(MARGIN, top + i * height, SIDE - MARGIN, top + (i + 1) * height) for i in range(count)]
