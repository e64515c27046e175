"""The best series of a study when several may be analysed: one order, the same whoever asks.

Series compete when they show the same part of the body. A series on which somebody drew a lesion is that person's
choice: it is analysed whatever else there is, and those without a contour stand back.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from node.domain.identifiers import SeriesUID
from node.domain.imaging import Series
from node.domain.phase import Finding, Phase
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack
from node.triage.kernel import Sharpness, sharpness_of
from node.triage.phase import from_timing

BEST_THICKNESS_MM: Final = 3.0
"""Between noise and partial volume; in the middle of what both papers read."""
SHARED: Final = 0.5
"""Two series compete from this share of the shorter one's height on that both show."""
ABOUT_THE_PATIENT: Final = frozenset(
    {
        ReasonCode.ROI_NOT_FOUND, ReasonCode.ROI_NO_LESION, ReasonCode.ROI_UNCERTAIN, ReasonCode.NO_RULE,
        ReasonCode.CLINICAL_MISSING,
    }
)  # fmt: skip
"""Reasons with which the best series stays the best: another reconstruction would be a second throw of the dice."""
_PHASE_ORDER: Final = {Phase.PORTAL_VENOUS: 0, Phase.UNKNOWN: 1}
_LAST: Final = 9
_KERNEL_ORDER: Final = {Sharpness.SOFT: 0, Sharpness.UNKNOWN: 1, Sharpness.SHARP: 2}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series that met the input contract, and what the choice rests on."""

    series_uid: SeriesUID
    phase: Finding
    sharpness: Sharpness
    has_agent: bool
    slices: int
    spacing_mm: float
    """Between slices."""
    pixel_mm: float
    lowest_mm: float = 0.0
    """Along the body's axis, of the slice nearest to the feet."""
    has_contour: bool = False
    """Whether somebody drew on it."""

    @property
    def height_mm(self) -> float:
        """How much of the body it covers."""
        return self.slices * self.spacing_mm

    def competes_with(self, other: "Candidate") -> bool:
        """Whether both show the same part of the body, so that one of them is enough."""
        low = max(self.lowest_mm, other.lowest_mm)
        high = min(self.lowest_mm + self.height_mm, other.lowest_mm + other.height_mm)
        return high - low >= SHARED * min(self.height_mm, other.height_mm)


def candidate(series: Series, stack: Stack, *, has_contour: bool = False) -> Candidate:
    """What is known of a series from its headers."""
    columns_mm, _, slices_mm = stack.geometry.spacing_xyz_mm
    ends = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, float(len(stack.instances) - 1)]])
    return Candidate(
        series_uid=series.uid,
        phase=from_timing(series),
        sharpness=sharpness_of(series.attribute("ConvolutionKernel"), series.attribute("Manufacturer")),
        has_agent=bool(series.attribute("ContrastBolusAgent")),
        slices=len(stack.instances),
        spacing_mm=slices_mm,
        pixel_mm=columns_mm,
        lowest_mm=float(stack.geometry.to_lps_mm(ends)[:, 2].min()),
        has_contour=has_contour,
    )


def ranked(candidates: Iterable[Candidate]) -> Sequence[Candidate]:
    """The candidates, best first.

    In this order: a person's contour, the right phase, contrast named, a soft kernel, coverage (to a centimetre),
    thickness near 3 mm, small pixels. The UID settles what is left, so that order of arrival decides nothing.
    """
    return sorted(candidates, key=lambda one: [value(one) for _, value in _ORDER])


def better(mine: Candidate, others: Iterable[Candidate]) -> Candidate | None:
    """The best of those that are to be analysed instead of ``mine``; None where it is the best itself.

    A series with a contour stands back for none.
    """
    best = ranked([mine, *(other for other in others if mine.competes_with(other))])[0]
    return None if mine.has_contour or best is mine else best


def replaced(mine: Candidate, others: Iterable[Candidate]) -> Sequence[Candidate]:
    """Those whose results the result of ``mine`` takes the place of; a contoured series keeps its own."""
    rivals = (other for other in others if mine.competes_with(other) and not other.has_contour)
    return [other for other in rivals if ranked([mine, other])[0] is mine]


def why(best: Candidate, other: Candidate) -> str:
    """The first thing in which ``best`` is better, as a person reads it."""
    return next((words for words, value in _ORDER if value(best) != value(other)), "it is the same series")


_ORDER: Final[tuple[tuple[str, Callable[[Candidate], Any]], ...]] = (
    ("somebody drew on it", lambda one: not one.has_contour),
    ("its times speak for the portal venous phase", lambda one: _PHASE_ORDER.get(one.phase.phase, _LAST)),
    ("it names a contrast agent", lambda one: not one.has_agent),
    ("its kernel is softer", lambda one: _KERNEL_ORDER[one.sharpness]),
    ("it covers more", lambda one: -round(one.height_mm / 10.0)),
    ("its slices are nearer to 3 mm", lambda one: round(abs(one.spacing_mm - BEST_THICKNESS_MM), 2)),
    ("its pixels are smaller", lambda one: one.pixel_mm),
    ("it is as good, and its UID comes first", lambda one: str(one.series_uid)),
)
