"""The page of a notice: the same frame as a result's, and in large letters that there is no result, and why."""

from typing import Final

from node.domain.reporting import Notice, NoticeKind
from node.reports import page, wording
from node.reports.drawing import FAINT, INK, RULE, Canvas, RgbArray
from node.reports.evidence import Evidence
from node.reports.page import BAND_BOTTOM, FOOTER_TOP, MARGIN, SIDE

_BANDS: Final[dict[NoticeKind, str]] = {
    NoticeKind.NOT_ANALYSED: "NO AI RESULT   |   NOT A NEGATIVE RESULT",
    NoticeKind.HELD: "NO AI RESULT   |   NOT A NEGATIVE RESULT",
    NoticeKind.WITHDRAWN: "AI RESULT WITHDRAWN   |   DO NOT USE",
}
_HEADING_TOP: Final = BAND_BOTTOM + 90
_WIDTH: Final = SIDE - 2 * MARGIN


def notice_page(notice: Notice, evidence: Evidence) -> RgbArray:
    """The page as (1024, 1024, 3) of 8 bits."""
    canvas = Canvas(SIDE, SIDE)
    page.header(canvas, evidence)
    page.band(canvas, [_BANDS[notice.kind]])
    made = f"analysis {notice.job_id}, version {notice.version}, {notice.fixed_at:%Y-%m-%d %H:%M %Z}"
    page.footer(canvas, f"Celadon {notice.node_version}", made)
    y = _paragraph(canvas, wording.notice_heading(notice).removesuffix("."), _HEADING_TOP, 64, bold=True) + 24
    y = _paragraph(canvas, wording.notice_meaning(notice), y, 32) + 40
    for title, words in _parts(notice):
        canvas.line((MARGIN, y), (SIDE - MARGIN, y), RULE, 2)
        canvas.text((MARGIN, y + 16), title, 22, FAINT)
        y = _paragraph(canvas, words, y + 52, 28) + 28
    return canvas.pixels


def _parts(notice: Notice) -> list[tuple[str, str]]:
    parts = [("WHY", wording.notice_reason(notice)), ("WHICH SERIES", wording.notice_series(notice))]
    if notice.withdrawn:
        parts.append(("WHAT IS WITHDRAWN", f"{len(notice.withdrawn)} objects, in series whose names begin with AI"))
    return parts


def _paragraph(canvas: Canvas, words: str, top: int, size: int, *, bold: bool = False) -> int:
    return canvas.paragraph((MARGIN, top, MARGIN + _WIDTH, FOOTER_TOP - 8), words, size, INK, bold=bold)
