"""The best series of several: a pure order."""

from dataclasses import replace
from itertools import permutations

import pytest

from node.domain.identifiers import SeriesUID
from node.triage.contract import check
from node.triage.kernel import Sharpness
from node.triage.phase import Finding, Phase
from node.triage.selection import Candidate, candidate, ranked
from tests.factories import ct_slices, series_of

PLAIN = Candidate(
    SeriesUID("2.25.1"),
    Finding(Phase.PORTAL_VENOUS),
    Sharpness.SOFT,
    has_agent=True,
    slices=80,
    spacing_mm=3.0,
    pixel_mm=0.75,
)


@pytest.mark.parametrize(
    "worse",
    [
        replace(PLAIN, phase=Finding(Phase.UNKNOWN)),
        replace(PLAIN, has_agent=False),
        replace(PLAIN, sharpness=Sharpness.UNKNOWN),
        replace(PLAIN, sharpness=Sharpness.SHARP),
        replace(PLAIN, slices=40),
        replace(PLAIN, slices=48, spacing_mm=5.0),
        replace(PLAIN, slices=240, spacing_mm=1.0),
        replace(PLAIN, pixel_mm=0.95),
        replace(PLAIN, series_uid=SeriesUID("2.25.2")),
    ],
    ids=["phase", "agent", "kernel", "sharp", "coverage", "thick", "thin", "pixels", "uid"],
)
def test_each_disadvantage_alone_decides(worse: Candidate) -> None:
    """In either order of arrival."""
    assert ranked([worse, PLAIN])[0] is PLAIN
    assert ranked([PLAIN, worse])[0] is PLAIN


def test_another_phase_is_worse_than_an_unknown_one() -> None:
    """And the right phase outweighs everything else."""
    arterial = replace(PLAIN, phase=Finding(Phase.ARTERIAL))
    unknown = replace(PLAIN, phase=Finding(Phase.UNKNOWN), sharpness=Sharpness.SHARP, has_agent=False, slices=20)
    right = replace(unknown, phase=Finding(Phase.PORTAL_VENOUS))
    for order in permutations((arterial, unknown, right)):
        assert ranked(order) == [right, unknown, arterial]


def test_a_candidate_is_made_of_headers() -> None:
    """Coverage, thickness, pixels, kernel, agent and timing."""
    slices = ct_slices(
        5, ConvolutionKernel="B30f", ContrastBolusAgent="X", ContrastBolusStartTime="100000", AcquisitionTime="100110"
    )
    series = series_of(slices)
    made = candidate(series, check(series))
    assert (made.slices, made.spacing_mm, made.pixel_mm) == (5, pytest.approx(2.0), pytest.approx(0.8))
    assert made.height_mm == pytest.approx(10.0)
    assert (made.phase.phase, made.sharpness, made.has_agent) == (Phase.PORTAL_VENOUS, Sharpness.SOFT, True)
