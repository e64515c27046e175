"""The best series of a study when several may be analysed: one order, the same whoever asks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.identifiers import SeriesUID
from node.domain.imaging import Series
from node.domain.stacking import Stack
from node.triage.kernel import Sharpness, sharpness_of
from node.triage.phase import Finding, Phase, from_timing

BEST_THICKNESS_MM: Final = 3.0
"""Between noise and partial volume; in the middle of what both papers read."""
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

    @property
    def height_mm(self) -> float:
        """How much of the body it covers."""
        return self.slices * self.spacing_mm


def candidate(series: Series, stack: Stack) -> Candidate:
    """What is known of a series from its headers."""
    columns_mm, _, slices_mm = stack.geometry.spacing_xyz_mm
    return Candidate(
        series_uid=series.uid,
        phase=from_timing(series),
        sharpness=sharpness_of(series.attribute("ConvolutionKernel"), series.attribute("Manufacturer")),
        has_agent=bool(series.attribute("ContrastBolusAgent")),
        slices=len(stack.instances),
        spacing_mm=slices_mm,
        pixel_mm=columns_mm,
    )


def ranked(candidates: Iterable[Candidate]) -> Sequence[Candidate]:
    """The candidates, best first.

    In this order: the right phase, contrast named, a soft kernel, coverage (to a centimetre), thickness near 3 mm,
    small pixels. The UID settles what is left, so that order of arrival decides nothing.
    """
    return sorted(candidates, key=_key)


def _key(one: Candidate) -> tuple[int, bool, int, int, float, float, str]:
    return (
        _PHASE_ORDER.get(one.phase.phase, _LAST),
        not one.has_agent,
        _KERNEL_ORDER[one.sharpness],
        -round(one.height_mm / 10.0),
        round(abs(one.spacing_mm - BEST_THICKNESS_MM), 2),
        one.pixel_mm,
        str(one.series_uid),
    )
