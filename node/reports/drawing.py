"""Drawing: text, panels and CT slices on one RGB canvas; knows nothing of DICOM or of reports.

Text is set in the font that Pillow carries, which is the same on every machine but draws ASCII only. Text beyond
ASCII (in practice: names) is set in the first font of ``FALLBACK_FONTS`` that is installed and has every character,
shaped and ordered by HarfBuzz and FriBidi where its script asks for that; what none can draw right is told apart by
``drawable`` and never becomes boxes. Colours differ in lightness, so that a
page reads the same on a greyscale monitor.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from node.domain.imaging import BoolArray, FloatArray
from node.errors import Fatal

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
RgbArray = npt.NDArray[np.uint8]
Picture = Image.Image

INK: Final[Colour] = (236, 238, 240)
FAINT: Final[Colour] = (158, 166, 174)
RULE: Final[Colour] = (64, 70, 76)
PANEL: Final[Colour] = (26, 30, 34)
PAPER: Final[Colour] = (10, 12, 14)
OUTLINE: Final[Colour] = (110, 255, 140)
WARNING: Final[Colour] = (250, 210, 90)

# Portal-venous abdominal window in Hounsfield units, as abdominal readers use it
WINDOW_LEVEL_HU: Final = 40.0
WINDOW_WIDTH_HU: Final = 350.0

# The saliency ramp: from transparent dark red over orange to pale yellow, lighter all the way
_RAMP: Final = np.array([(60, 0, 10), (190, 40, 10), (250, 150, 20), (255, 245, 190)], dtype=np.float32)
_LARGEST_ALPHA: Final = 0.6
HALF: Final = 0.5
_GREY_LEVELS: Final = 255.0
_DASH: Final = 8
HALO: Final = 3
_TISSUE_HU: Final = -300.0
_BODY_SHARE: Final = 0.08
"""The share of a row or column that is tissue where the body is."""
_AIR: Final = 12
"""Pixels of the slice around the body."""
_NOT_IN_ANY_FONT: Final = "\uffff"


FALLBACK_FONTS: tuple[str, ...] = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
)
"""Fonts of Debian's and Red Hat's packages for accented Latin, Greek, Cyrillic, and Chinese, Japanese and Korean."""


@lru_cache(maxsize=128)
def _font(size: int, path: str = "") -> ImageFont.FreeTypeFont:
    """The font at ``path`` (empty: Pillow's own) at ``size`` pixels; OSError when it is not installed."""
    chosen = ImageFont.truetype(path, size) if path else ImageFont.load_default(size=size)
    if not isinstance(chosen, ImageFont.FreeTypeFont):
        raise Fatal("Pillow was built without FreeType, which the pages need")
    return chosen


@lru_cache(maxsize=4096)
def _has_glyph(character: str, path: str) -> bool:
    try:
        ruler = _font(24, path)
    except OSError:
        return False
    missing, drawn = ruler.getmask(_NOT_IN_ANY_FONT), ruler.getmask(character)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


@lru_cache(maxsize=1)
def can_shape() -> bool:
    """Whether Pillow has Raqm with FriBidi here: letters that join, marks that combine, lines from right to left."""
    return bool(features.check("raqm")) and bool(features.check("fribidi"))


def needs_shaping(text: str) -> bool:
    """Whether ``text`` is more than one glyph a character from left to right."""
    return any(
        unicodedata.bidirectional(character) in {"R", "AL", "AN"} or unicodedata.category(character).startswith("M")
        for character in text
    )


def face(text: str) -> str | None:
    """The path of the first font that draws all of ``text`` (empty: Pillow's own), None when there is none."""
    if not text.isprintable() or (needs_shaping(text) and not can_shape()):
        return None
    faces = ("", *FALLBACK_FONTS)
    return next((path for path in faces if all(_has_glyph(c, path) for c in text if c != " ")), None)


def drawable(text: str) -> bool:
    """Whether every character of ``text`` can be drawn right with one of the fonts at hand."""
    return face(text) is not None


def font_file(path: str) -> bytes:
    """The bytes of the font at ``path`` (empty: Pillow's own); OSError when it is not installed."""
    return Path(path).read_bytes() if path else bytes(_font(12).font_bytes)


def font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """The font that ``text`` is set in at ``size`` pixels."""
    return _font(size, face(text) or "")


def without_boxes(text: str) -> str:
    """``text``, with a question mark for each character that cannot be drawn where the whole cannot be."""
    return text if drawable(text) else "".join(c if c == " " or face(c) == "" else "?" for c in text)


def windowed(hu: FloatArray) -> RgbArray:
    """Hounsfield units (row, column) as grey RGB (row, column, 3) in the abdominal window."""
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2
    grey = np.clip((hu - low) / WINDOW_WIDTH_HU, 0.0, 1.0) * _GREY_LEVELS
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def ramp(levels: FloatArray) -> FloatArray:
    """Saliency levels in [0, 1] of any shape as RGB in [0, 255], lighter with the level."""
    stops = np.linspace(0.0, 1.0, len(_RAMP))
    channels = [np.interp(levels, stops, _RAMP[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def blended(rgb: RgbArray, saliency: FloatArray) -> RgbArray:
    """``rgb`` (row, column, 3) with ``saliency`` (row, column) in [0, 1] over it; nothing where it is zero."""
    alpha = (_LARGEST_ALPHA * np.clip(saliency, 0.0, 1.0))[..., None]
    mixed = rgb * (1.0 - alpha) + ramp(saliency) * alpha
    result: RgbArray = np.rint(mixed).astype(np.uint8)
    return result


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of a slice and the size in pixels that it is shown at."""

    left: float
    top: float
    right: float
    bottom: float
    """Edges in the slice's columns and rows; whole pixels begin at integers."""
    width: int
    height: int

    @property
    def source(self) -> tuple[float, float, float, float]:
        """The rectangle as Pillow wants it."""
        return (self.left, self.top, self.right, self.bottom)

    def to_view(self, row: float, column: float) -> tuple[float, float]:
        """The (x, y) at which the centre of pixel [row, column] is shown."""
        x = (column + HALF - self.left) * self.width / (self.right - self.left)
        y = (row + HALF - self.top) * self.height / (self.bottom - self.top)
        return x, y


def whole(shape: tuple[int, int], spacing_mm: tuple[float, float], width: int, height: int) -> View:
    """The whole slice in at most ``width`` x ``height`` pixels, its physical proportions kept.

    ``spacing_mm`` is between rows, then between columns.
    """
    rows_mm, columns_mm = shape[0] * spacing_mm[0], shape[1] * spacing_mm[1]
    scale = min(width / columns_mm, height / rows_mm)
    return View(0, 0, shape[1], shape[0], max(1, round(columns_mm * scale)), max(1, round(rows_mm * scale)))


def around(mask: BoolArray, spacing_mm: tuple[float, float], side: int, least_mm: float) -> View:
    """A physically square part of the slice around ``mask``, at least ``least_mm`` wide, shown at ``side`` pixels.

    The part stays inside the slice where it can; an empty mask gives the middle of the slice.
    """
    rows, columns = mask.shape
    ys, xs = np.nonzero(mask)
    if not len(ys):
        ys, xs = np.array([rows // 2]), np.array([columns // 2])
    extent_mm = max((np.ptp(ys) + 1) * spacing_mm[0], (np.ptp(xs) + 1) * spacing_mm[1])
    width_mm = max(least_mm, 1.8 * float(extent_mm))
    width_mm = min(width_mm, rows * spacing_mm[0], columns * spacing_mm[1])
    high, wide = width_mm / spacing_mm[0], width_mm / spacing_mm[1]
    top = min(max((ys.min() + ys.max() + 1 - high) / 2, 0.0), rows - high)
    left = min(max((xs.min() + xs.max() + 1 - wide) / 2, 0.0), columns - wide)
    return View(float(left), float(top), float(left + wide), float(top + high), side, side)


def around_body(hu: FloatArray, spacing_mm: tuple[float, float], side: int) -> View:
    """The part of a slice that holds the patient, in at most ``side`` x ``side`` pixels; the whole where none is seen.

    Rows and columns count that are tissue for a good part: the table is thin, and air fills the rest.
    """
    tissue = hu > _TISSUE_HU
    ys, xs = (np.flatnonzero(tissue.mean(axis=axis) > _BODY_SHARE) for axis in (1, 0))
    if not len(ys) or not len(xs):
        return whole((hu.shape[0], hu.shape[1]), spacing_mm, side, side)
    top, bottom = max(0, ys[0] - _AIR), min(hu.shape[0], ys[-1] + 1 + _AIR)
    left, right = max(0, xs[0] - _AIR), min(hu.shape[1], xs[-1] + 1 + _AIR)
    shown_at = whole((bottom - top, right - left), spacing_mm, side, side)
    return View(float(left), float(top), float(right), float(bottom), shown_at.width, shown_at.height)


def shown(rgb: RgbArray, view: View) -> Picture:
    """The part of a slice that ``view`` names, at its size."""
    return Image.fromarray(rgb).resize((view.width, view.height), Image.Resampling.BICUBIC, box=view.source)


def _stretched(mask: BoolArray, view: View) -> Picture:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return image.resize((view.width, view.height), Image.Resampling.NEAREST, box=view.source)


def outline(picture: Picture, mask: BoolArray, view: View, *, dashed: bool = False) -> None:
    """Draw the edge of ``mask`` just outside it: two bright pixels in a dark halo, so that it shows on any tissue.

    A dashed edge is white and thinner, for what is not the region itself.
    """
    covered = np.asarray(_stretched(mask, view)) > 0
    thin = 1 if dashed else 2
    edge, halo = _grown(covered, thin) & ~covered, _grown(covered, thin + 1) & ~covered
    if dashed:
        rows, columns = np.indices(covered.shape)
        dashes = ((rows + columns) // _DASH) % 2 == 1
        edge, halo = edge & dashes, halo & dashes
    pixels = np.array(picture)
    pixels[halo] = 0
    pixels[edge] = INK if dashed else OUTLINE
    picture.paste(Image.fromarray(pixels))


def _grown(mask: BoolArray, radius: int) -> BoolArray:
    """``mask`` with every pixel within ``radius`` rows and columns of it."""
    grown = mask.copy()
    for axis in (0, 1):
        seed = np.moveaxis(grown, axis, 0)
        target = seed.copy()
        for step in range(1, radius + 1):
            target[step:] |= seed[:-step]
            target[:-step] |= seed[step:]
        grown = np.moveaxis(target, 0, axis)
    return grown


class Canvas:
    """One RGB page that is drawn on from the outside in: panels, pictures, then text."""

    def __init__(self, width: int, height: int) -> None:
        """An empty page of ``width`` x ``height`` pixels."""
        self._image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def pixels(self) -> RgbArray:
        """The page as (row, column, 3) of 8 bits."""
        return np.asarray(self._image, dtype=np.uint8)

    def rectangle(self, box: Box, fill: Colour | None = None, edge: Colour | None = None, line: int = 1) -> None:
        """A rectangle: left, top, right, bottom, all inclusive."""
        self._draw.rectangle(box, fill=fill, outline=edge, width=line)

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: Colour = RULE, width: int = 1) -> None:
        """A straight line from ``start`` to ``end``."""
        self._draw.line([start, end], fill=colour, width=width)

    def picture(self, picture: Picture | RgbArray, at: tuple[int, int]) -> None:
        """``picture`` with its upper left corner at ``at``."""
        self._image.paste(picture if isinstance(picture, Picture) else Image.fromarray(picture), at)

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
        """One line of text, shortened with an ellipsis to ``width`` pixels where it is given."""
        words = without_boxes(text)
        words = words if width is None else shortened(words, size, width)
        stroke = HALO if halo else 0
        for shift in (0, 1) if bold else (0,):  # the font has one weight; a second stroke beside the first is bolder
            place = (at[0] + shift, at[1])
            self._draw.text(
                place,
                words,
                font=font(size, words),
                fill=colour,
                anchor=anchor,
                stroke_width=stroke,
                stroke_fill=(0, 0, 0),
            )

    def paragraph(
        self, box: Box, text: str, size: int, colour: Colour = INK, *, bullet: str = "", bold: bool = False
    ) -> int:
        """Text wrapped into ``box``, cut with an ellipsis where it is full; the y below the last line."""
        left, top, right, bottom = box
        step = round(size * 1.3)
        indent = round(font(size).getlength(bullet)) if bullet else 0
        lines = wrapped(without_boxes(text), size, right - left - indent)
        room = max(0, (bottom - top) // step)
        if room and len(lines) > room:
            lines = [*lines[: room - 1], shortened(" ".join(lines[room - 1 :]), size, right - left - indent)]
        if bullet and lines and room:
            self.text((left, top), bullet, size, colour)
        for number, line in enumerate(lines[:room]):
            self.text((left + indent, top + number * step), line, size, colour, bold=bold)
        return top + min(len(lines), room) * step


def shortened(text: str, size: int, width: int) -> str:
    """``text``, or as much of it with an ellipsis as fits into ``width`` pixels."""
    if font(size, text).getlength(text) <= width:
        return text
    while text and font(size, text).getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def wrapped(text: str, size: int, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size, longer).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
