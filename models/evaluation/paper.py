"""The report as PDF, by reportlab: the same blocks as the page, on A4 across."""

import io
from collections.abc import Iterable, Iterator
from functools import partial
from html import escape
from typing import Any, Final

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Image, KeepTogether, LongTable, Preformatted, SimpleDocTemplate, Spacer
from reportlab.platypus import Paragraph as Words

from models.evaluation import figures
from models.evaluation.document import Block, Heading, Paragraph, Picture, Table, Verbatim

_STYLES: Final = getSampleStyleSheet()
_HEADINGS: Final = {1: _STYLES["Title"], 2: _STYLES["Heading2"], 3: _STYLES["Heading3"]}
_CELL: Final = ParagraphStyle("cell", parent=_STYLES["BodyText"], fontSize=7, leading=8.5)
_HEAD: Final = ParagraphStyle("head", parent=_CELL, fontName="Helvetica-Bold")
_CAPTION: Final = ParagraphStyle("caption", parent=_STYLES["BodyText"], fontName="Helvetica-Bold", fontSize=8.5)
_CARD: Final = ParagraphStyle("card", parent=_STYLES["Code"], fontSize=7, leading=8.5)
_WARNING: Final = ParagraphStyle(
    "warning", parent=_STYLES["BodyText"], backColor=colors.HexColor("#fdf3ec"), borderPadding=4, spaceAfter=6
)
_PICTURE_WIDTH: Final = 130 * mm
_MARGIN: Final = 15 * mm
_LINE_CHARACTERS: Final = 150
_WINANSI: Final = str.maketrans({"≥": ">=", "≤": "<=", "\N{MINUS SIGN}": "-", "…": "..."})
"""What the PDF's built-in letters lack."""


def pdf(title: str, blocks: Iterable[Block]) -> bytes:
    """The whole file; the same blocks give the same bytes."""
    stream = io.BytesIO()
    document = SimpleDocTemplate(
        stream,
        pagesize=landscape(A4),
        title=title,
        invariant=1,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
    )
    story = [flowable for block in blocks for flowable in _flowables(block, document.width)]
    footer = partial(_numbered, title=title)
    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return stream.getvalue()


def _flowables(block: Block, width: float) -> Iterator[Flowable]:
    match block:
        case Heading(level, text):
            yield Words(_words(text), _HEADINGS[level])
        case Paragraph(text, is_warning):
            yield Words(_words(text), _WARNING if is_warning else _STYLES["BodyText"])
        case Table():
            yield Words(_words(block.caption), _CAPTION)
            yield _table(block, width)
            yield Spacer(0, 4 * mm)
        case Picture(caption, figure):
            yield KeepTogether([Words(_words(caption), _CAPTION), _image(figures.png(figure))])
        case Verbatim(text):
            yield Preformatted(text.translate(_WINANSI), _CARD, maxLineLength=_LINE_CHARACTERS)


def _table(table: Table, width: float) -> LongTable:
    rows = [[Words(_words(column), _HEAD) for column in table.columns]]
    rows += [[Words(_words(cell), _CELL) for cell in row] for row in table.rows]
    grid = [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#ccccdd")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#f2f4f8")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return LongTable(rows, colWidths=_widths(table, width), repeatRows=1, style=grid)


def _widths(table: Table, width: float) -> list[float]:
    """Columns by the square root of their longest cell: wide ones wrap, narrow ones stay whole."""
    longest = [max(len(cell) for cell in column) for column in zip(table.columns, *table.rows, strict=True)]
    shares = [max(length, 4) ** 0.5 for length in longest]
    return [width * share / sum(shares) for share in shares]


def _image(picture: bytes) -> Image:
    across, up = ImageReader(io.BytesIO(picture)).getSize()
    return Image(io.BytesIO(picture), width=_PICTURE_WIDTH, height=_PICTURE_WIDTH * up / across)


def _words(text: str) -> str:
    return escape(text.translate(_WINANSI))


def _numbered(canvas: Any, document: Any, title: str) -> None:
    canvas.setFont("Helvetica", 7)
    canvas.drawString(_MARGIN, 8 * mm, title.translate(_WINANSI))
    canvas.drawRightString(landscape(A4)[0] - _MARGIN, 8 * mm, str(document.page))
