"""The page frame and the CT panels that the summary and the key images share: who, what limits it, which slice."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from node.domain.imaging import BoolArray, FloatArray
from node.domain.reporting import Report
from node.reports import drawing, wording
from node.reports.drawing import FAINT, INK, OUTLINE, PANEL, PAPER, RULE, Box, Canvas, View
from node.reports.evidence import Evidence
from node.reports.naming import warnings

SIDE: Final = 1024
MARGIN: Final = 24
HEADER_BOTTOM: Final = 96
BAND_BOTTOM: Final = 140
FOOTER_TOP: Final = 964
NAME_NOT_DRAWABLE: Final = "(name not drawable)"
_KEY_WIDTH: Final = 440
_AXES: Final = (("L", "R"), ("P", "A"), ("H", "F"))


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One slice as it is shown: HU (row, column), the region, the saliency, and where it lies."""

    index: int
    hu: FloatArray
    region: BoolArray
    saliency: FloatArray
    spacing_mm: tuple[float, float]
    """Between rows, then between columns."""

    @classmethod
    def of(cls, report: Report, index: int) -> "Slice":
        """Slice ``index`` of the report's volume."""
        hu = report.volume.hu[index]
        spacing = report.volume.geometry.spacing_xyz_mm
        saliency = report.prediction.explanation.on_slice(index, (hu.shape[0], hu.shape[1]))
        return cls(index, hu, report.roi.mask[index], saliency, (spacing[1], spacing[0]))

    def plain(self, view: View) -> drawing.Picture:
        """The windowed CT with the outline of the region."""
        picture = drawing.shown(drawing.windowed(self.hu), view)
        drawing.outline(picture, self.region, view)
        return picture

    def explained(self, view: View) -> drawing.Picture:
        """The windowed CT with the saliency over it, a dashed line where it passes one half, and the region."""
        picture = drawing.shown(drawing.blended(drawing.windowed(self.hu), self.saliency), view)
        drawing.outline(picture, self.saliency >= drawing.HALF, view, dashed=True)
        drawing.outline(picture, self.region, view)
        return picture


def frame(canvas: Canvas, report: Report, evidence: Evidence) -> None:
    """The patient and the study on top, the warning under them and the algorithm at the foot of an empty page."""
    first, *others = warnings(report)
    shouted = [text.upper() if text.startswith("not ") else text for text in others]
    made = f"Celadon {report.node_version}, analysis {report.job_id}, version {report.version}"
    if report.predecessor_paths:
        made += ", replaces what was reported before"
    header(canvas, evidence)
    band(canvas, [f"AI RESULT, {first.upper()}", *shouted])
    footer(canvas, wording.algorithm_line(report), f"{made}, {report.fixed_at:%Y-%m-%d %H:%M %Z}")


def patient_name(evidence: Evidence) -> str:
    """The first component group of the name that can be drawn (PS3.5 section 6.2.1), family name first."""
    if not evidence.text("PatientName"):
        return "(no name)"
    return next(iter(_names(evidence)), NAME_NOT_DRAWABLE)


def _names(evidence: Evidence) -> list[str]:
    """The component groups that can be drawn: alphabetic, ideographic, phonetic."""
    name = unicodedata.normalize("NFC", evidence.text("PatientName"))
    groups = (_written(*(part.strip() for part in group.split("^") if part.strip())) for group in name.split("="))
    return [words for words in groups if words and drawing.drawable(words)]


def _written(*parts: str) -> str:
    """The parts of a name as its script sets them: ideographs without anything between them."""
    ideographic = all(unicodedata.name(character, "").startswith("CJK") for part in parts for character in part)
    return ("" if ideographic else ", ").join(parts)


def _drawn(evidence: Evidence, keyword: str, nothing: str = "-") -> str:
    text = unicodedata.normalize("NFC", evidence.text(keyword))
    return (text if drawing.drawable(text) else "(not drawable)") if text else nothing


def _date(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == len("YYYYMMDD") and value.isdigit() else value


def header(canvas: Canvas, evidence: Evidence) -> None:
    """Who this is about, and which study."""
    middle, right = 600, SIDE - MARGIN
    canvas.rectangle((0, 0, SIDE, HEADER_BOTTOM), fill=PANEL)
    name = patient_name(evidence)
    canvas.text((MARGIN, 16), name, 30, bold=True, width=middle - 2 * MARGIN)
    # The same name in the patient's own script, each group in a font that has it.
    end = MARGIN + round(drawing.font(30, name).getlength(name)) + 20
    for other in _names(evidence)[1:]:
        if end + 40 < middle:
            canvas.text((end, 20), other, 26, width=middle - end)
            end += round(drawing.font(26, other).getlength(other)) + 16
    born, sex = _date(_drawn(evidence, "PatientBirthDate")), _drawn(evidence, "PatientSex")
    line = f"ID {_drawn(evidence, 'PatientID')}   born {born}   sex {sex}"
    canvas.text((MARGIN, 58), line, 20, width=middle - 2 * MARGIN)
    study = f"{_date(_drawn(evidence, 'StudyDate'))}  {_drawn(evidence, 'StudyDescription', 'Study')}"
    canvas.text((right, 20), study, 20, anchor="ra", width=right - middle)
    accession = f"Accession {_drawn(evidence, 'AccessionNumber')}"
    canvas.text((right, 58), accession, 20, FAINT, anchor="ra", width=right - middle)


def band(canvas: Canvas, words: Sequence[str]) -> None:
    """The warning: black on light, the strongest contrast of the page; a long one is set in two lines, not cut."""
    canvas.rectangle((0, HEADER_BOTTOM + 1, SIDE, BAND_BOTTOM), fill=drawing.WARNING)
    width = SIDE - 2 * MARGIN
    line = "   |   ".join(words)
    if drawing.font(22, line).getlength(line) <= width:
        middle = (SIDE // 2, (HEADER_BOTTOM + BAND_BOTTOM) // 2)
        canvas.text(middle, line, 22, PAPER, anchor="mm", bold=True)
    else:
        canvas.paragraph((MARGIN, HEADER_BOTTOM + 2, SIDE - MARGIN, BAND_BOTTOM + 4), line, 17, PAPER, bold=True)


def footer(canvas: Canvas, who: str, which: str) -> None:
    """What made the page, in two lines."""
    canvas.line((0, FOOTER_TOP), (SIDE, FOOTER_TOP))
    width = SIDE - 2 * MARGIN
    canvas.text((MARGIN, FOOTER_TOP + 10), who, 17, width=width)
    canvas.text((MARGIN, FOOTER_TOP + 34), which, 17, FAINT, width=width)


def panel(canvas: Canvas, report: Report, picture: drawing.Picture, box: Box) -> None:
    """A CT picture in the middle of ``box``, with the directions of the patient at its four edges."""
    left, top, right, bottom = box
    canvas.rectangle(box, fill=(0, 0, 0), edge=RULE)
    at = (left + (right - left - picture.width) // 2, top + (bottom - top - picture.height) // 2)
    canvas.picture(picture, at)
    west, east, north, south = directions(report)
    row, column = (top + bottom) // 2, (left + right) // 2
    for place, letter, anchor in (
        ((left + 8, row), west, "lm"),
        ((right - 8, row), east, "rm"),
        ((column, top + 6), north, "ma"),
        ((column, bottom - 6), south, "md"),
    ):
        canvas.text(place, letter, 24, INK, anchor=anchor, halo=True)


def directions(report: Report) -> tuple[str, str, str, str]:
    """The patient's direction at the left, right, upper and lower edge of a slice (PS3.3 section C.7.6.1.1.1)."""
    columns, rows, _ = report.volume.geometry.direction
    return _towards(columns, -1), _towards(columns, 1), _towards(rows, -1), _towards(rows, 1)


def _towards(direction: tuple[float, float, float], sign: int) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _AXES[axis][0] if direction[axis] * sign > 0 else _AXES[axis][1]


def place(report: Report, index: int) -> str:
    """Which slice this is, as a reader finds it again."""
    z_mm = report.volume.geometry.to_lps_mm(np.array([[0.0, 0.0, float(index)]]))[0, 2]
    return f"Slice {index + 1} of {report.volume.geometry.shape_zyx[0]}, z = {z_mm:.1f} mm"


def window() -> str:
    """The window of the pictures."""
    return f"W {drawing.WINDOW_WIDTH_HU:.0f} / L {drawing.WINDOW_LEVEL_HU:.0f} HU"


def region_key(canvas: Canvas, at: tuple[int, int], words: str, *, dashed: bool = False) -> None:
    """A line sample with what it means."""
    x, y = at
    if dashed:
        for start in range(0, 36, 14):
            canvas.line((x + start, y), (x + start + 7, y), INK, 2)
    else:
        canvas.line((x, y), (x + 34, y), OUTLINE, 3)
    canvas.text((x + 46, y), words, 17, anchor="lm", width=_KEY_WIDTH)
