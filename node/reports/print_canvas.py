"""A page on paper: the drawing of the pages as PDF, with text that can be searched and copied, black on white."""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageDraw
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas as Pdf

from node.reports import drawing
from node.reports.drawing import (
    FAINT,
    INK,
    OUTLINE,
    PANEL,
    PAPER,
    RULE,
    WARNING,
    Box,
    Canvas,
    Colour,
    Picture,
    RgbArray,
)

A4_POINTS: Final = (595.0, 842.0)
_MARGIN_POINTS: Final = 36.0
_FINE: Final = 3
"""How much finer than the page's own pixels a line of text is, where it has to be a picture."""
_SHADE: Final = 255.0
# Dark pages would be a sheet of toner: the same order of lightness, turned round.
_ON_PAPER: Final[Mapping[Colour, Colour]] = {
    INK: (0, 0, 0),
    FAINT: (90, 90, 90),
    RULE: (170, 170, 170),
    PANEL: (240, 240, 240),
    PAPER: (255, 255, 255),
    OUTLINE: (0, 110, 40),
    WARNING: (50, 50, 50),
}


class Print:
    """A PDF of square pages of ``side`` units on A4 sheets; the same drawing gives the same bytes."""

    def __init__(self, side: int, title: str) -> None:
        """An empty document called ``title``."""
        self._side = side
        self._file = BytesIO()
        self._pdf = Pdf(self._file, pagesize=A4_POINTS, invariant=1, pageCompression=1)
        self._pdf.setTitle(title)
        self._pdf.setCreator("Celadon")

    def page(self) -> "PrintCanvas":
        """The next page, to be drawn on."""
        if self._pdf.getPageNumber() > 1 or self._pdf._code:  # noqa: SLF001 — the library has no other way to ask
            self._pdf.showPage()
        scale = (A4_POINTS[0] - 2 * _MARGIN_POINTS) / self._side
        self._pdf.translate(_MARGIN_POINTS, A4_POINTS[1] - _MARGIN_POINTS)
        self._pdf.scale(scale, scale)
        return PrintCanvas(self._side, self._pdf)

    def finished(self) -> bytes:
        """The PDF file."""
        self._pdf.save()
        return self._file.getvalue()


class PrintCanvas(Canvas):
    """A page that is drawn on like any other; y grows downwards, as on the screen."""

    def __init__(self, side: int, pdf: Pdf) -> None:
        """A page of ``side`` x ``side`` units at the top of a sheet."""
        super().__init__(1, 1)
        self._side, self._pdf = side, pdf

    def rectangle(self, box: Box, fill: Colour | None = None, edge: Colour | None = None, line: int = 1) -> None:
        """A rectangle: left, top, right, bottom, all inclusive."""
        left, top, right, bottom = box
        if fill is not None:
            self._pdf.setFillColorRGB(*_rgb(fill))
        if edge is not None:
            self._pdf.setStrokeColorRGB(*_rgb(edge))
        self._pdf.setLineWidth(line)
        self._pdf.rect(
            left, -bottom - 1, right - left + 1, bottom - top + 1, stroke=edge is not None, fill=fill is not None
        )

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour = RULE, width: int = 1) -> None:
        """A straight line from ``start`` to ``end``."""
        self._pdf.setStrokeColorRGB(*_rgb(colour))
        self._pdf.setLineWidth(width)
        self._pdf.line(start[0], -start[1], end[0], -end[1])

    def picture(self, picture: Picture | RgbArray, at: tuple[int, int]) -> None:
        """``picture`` with its upper left corner at ``at``, in its own colours."""
        image = picture if isinstance(picture, Picture) else Image.fromarray(picture)
        self._pdf.drawImage(ImageReader(image), at[0], -at[1] - image.height, image.width, image.height)

    def text(
        self,
        at: tuple[int, int],
        text: str,
        size: int,
        colour: Colour = INK,
        *,
        anchor: str = "la",
        bold: bool = False,
        width: int | None = None,
        halo: bool = False,
    ) -> None:
        """One line of text, shortened with an ellipsis to ``width`` units where it is given."""
        words = drawing.without_boxes(text)
        words = words if width is None else drawing.shortened(words, size, width)
        if not words:
            return
        face = None if halo or drawing.needs_shaping(words) else _embedded(drawing.face(words))
        if face is None:
            self._pictured(at, words, size, colour, anchor=anchor, halo=halo)
            return
        x, y = _baseline(at, words, size, anchor)
        self._pdf.setFillColorRGB(*_rgb(colour))
        self._pdf.setStrokeColorRGB(*_rgb(colour))
        self._pdf.setLineWidth(size / 40)
        self._pdf.setFont(face, size)
        self._pdf.drawString(x, -y, words, mode=2 if bold else 0)

    def _pictured(self, at: tuple[int, int], words: str, size: int, colour: Colour, *, anchor: str, halo: bool) -> None:
        """A line that the PDF library cannot set (joined or right-to-left letters, a halo) as a fine picture."""
        stroke = drawing.HALO if halo else 0
        font = drawing.font(size * _FINE, words)
        ink = colour if halo else _ON_PAPER.get(colour, colour)
        box = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), words, font, anchor, stroke_width=stroke * _FINE)
        left, top, right, bottom = (int(np.floor(edge)) for edge in box)
        image = Image.new("RGBA", (right - left + 2, bottom - top + 2), (0, 0, 0, 0))
        ImageDraw.Draw(image).text(
            (-left, -top), words, ink, font, anchor, stroke_width=stroke * _FINE, stroke_fill=(0, 0, 0)
        )
        x, y = at[0] + left / _FINE, at[1] + top / _FINE
        wide, high = image.width / _FINE, image.height / _FINE
        self._pdf.drawImage(ImageReader(image), x, -y - high, wide, high, mask="auto")


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = _ON_PAPER.get(colour, colour)
    return red / _SHADE, green / _SHADE, blue / _SHADE


def _baseline(at: tuple[int, int], words: str, size: int, anchor: str) -> tuple[float, float]:
    """Where the base line of a line begins that hangs at ``at`` by ``anchor``, as Pillow names anchors."""
    font = drawing.font(size, words)
    ascent, descent = font.getmetrics()
    x = at[0] - font.getlength(words) * {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]]
    y = at[1] + {"a": float(ascent), "m": (ascent - descent) / 2, "s": 0.0, "d": -float(descent)}[anchor[1]]
    return x, y


@lru_cache(maxsize=16)
def _embedded(path: str) -> str | None:
    """The name under which the PDF library knows the font at ``path``; None for one that it cannot embed."""
    name = f"celadon-{path.rsplit('/', 1)[-1] or 'own'}"
    try:
        pdfmetrics.registerFont(TTFont(name, BytesIO(drawing.font_file(path))))
    except (TTFError, OSError):
        return None
    return name
