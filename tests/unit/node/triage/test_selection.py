"""The best series of several: a pure order."""

from dataclasses import replace
from itertools import permutations

import pytest

from node.domain.identifiers import SeriesUID
from node.domain.phase import Finding, Phase
from node.triage.contract import check
from node.triage.kernel import Sharpness
from node.triage.selection import Candidate, better, candidate, ranked, replaced, why
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


def test_a_contour_outweighs_everything() -> None:
    """It is a person's choice."""
    drawn = replace(PLAIN, phase=Finding(Phase.UNKNOWN), sharpness=Sharpness.SHARP, slices=10, has_contour=True)
    assert ranked([PLAIN, drawn])[0] is drawn


@pytest.mark.parametrize(
    ("lowest_mm", "slices", "competes"),
    [(0.0, 80, True), (110.0, 80, True), (130.0, 80, False), (60.0, 20, True), (225.0, 20, False), (-300.0, 80, False)],
    ids=["same", "half", "less", "inside", "a quarter of it", "elsewhere"],
)
def test_those_compete_that_show_the_same_part_of_the_body(lowest_mm: float, slices: int, *, competes: bool) -> None:
    """From half of the shorter one's height on; both ways."""
    other = replace(PLAIN, series_uid=SeriesUID("2.25.2"), lowest_mm=lowest_mm, slices=slices)
    assert PLAIN.competes_with(other) is competes
    assert other.competes_with(PLAIN) is competes


def test_the_best_stands_back_for_nobody_and_the_others_for_it() -> None:
    """Of those that compete; one elsewhere is passed over, however good."""
    worse = replace(PLAIN, series_uid=SeriesUID("2.25.2"), has_agent=False)
    elsewhere = replace(PLAIN, series_uid=SeriesUID("2.25.0"), lowest_mm=900.0, has_contour=True)
    assert better(PLAIN, [worse, elsewhere]) is None
    assert better(worse, [PLAIN, elsewhere]) is PLAIN
    assert better(replace(worse, has_contour=True), [PLAIN]) is None


def test_a_better_one_replaces_the_results_of_worse_ones_without_contour() -> None:
    """Only theirs."""
    worse = replace(PLAIN, series_uid=SeriesUID("2.25.2"), has_agent=False)
    drawn = replace(worse, series_uid=SeriesUID("2.25.3"), has_contour=True)
    elsewhere = replace(worse, series_uid=SeriesUID("2.25.4"), lowest_mm=900.0)
    assert replaced(PLAIN, [worse, drawn, elsewhere]) == [worse]
    assert replaced(worse, [PLAIN]) == []


def test_the_first_difference_is_the_reason() -> None:
    """In the order in which it is decided."""
    assert why(PLAIN, replace(PLAIN, has_agent=False, slices=10)) == "it names a contrast agent"
    assert why(PLAIN, replace(PLAIN, series_uid=SeriesUID("2.25.2"))) == "it is as good, and its UID comes first"


def test_a_candidate_knows_where_it_lies_whichever_way_it_was_stored() -> None:
    """The lowest slice, also of a series whose normal points to the feet."""
    up = ct_slices(5)
    down = ct_slices(5, ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    for slices in (up, down):
        series = series_of(slices)
        assert candidate(series, check(series)).lowest_mm == pytest.approx(100.0)


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
