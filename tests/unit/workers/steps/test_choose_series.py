"""Choose the series: who is in the race, who stands back, whose results are replaced, and for whom is waited."""

from dataclasses import replace
from typing import Any

import pytest

from node.domain.identifiers import JobId, SeriesUID
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import Sibling
from node.triage.contract import check
from node.triage.selection import Candidate, candidate
from tests.factories import ct_slices, series_of
from workers.steps.choose_series import Choice, Neighbour, choose_series

SOFT: dict[str, Any] = {"ConvolutionKernel": "B30f", "ContrastBolusAgent": "X"}
SHARP: dict[str, Any] = {"ConvolutionKernel": "B70f", "ContrastBolusAgent": "X"}
OTHER = SeriesUID("2.25.90")


def mine(*, has_contour: bool = False, **header: Any) -> Candidate:
    """The series that is asked about."""
    series = series_of(ct_slices(6, **header))
    return candidate(series, check(series), has_contour=has_contour)


def neighbour(
    state: JobState = JobState.WAITING,
    reason: ReasonCode | None = None,
    *,
    has_contour: bool = False,
    uid: SeriesUID = OTHER,
    **header: Any,
) -> Neighbour:
    """Another series of the study."""
    job = Sibling(JobId.of(uid, 1), uid, state, reason.name if reason else "")
    return Neighbour(job, series_of(ct_slices(6, series=uid, **header)), has_contour)


def test_a_series_alone_is_analysed() -> None:
    """And replaces nothing."""
    assert choose_series(mine(), []) == Choice()


def test_the_worse_stands_back_and_says_for_whom_and_why() -> None:
    """By UID, with the first difference."""
    choice = choose_series(mine(**SHARP), [neighbour(**SOFT)])
    assert choice.instead is not None
    assert choice.instead.series_uid == OTHER
    assert str(choice.reason) == f"BETTER_SERIES: series {OTHER}: its kernel is softer"


def test_the_better_goes_on() -> None:
    """Whatever the other is doing."""
    assert choose_series(mine(**SOFT), [neighbour(**SHARP), neighbour(JobState.RUNNING, **SHARP)]) == Choice()


@pytest.mark.parametrize("state", [JobState.DELIVERING, JobState.DONE])
def test_the_results_of_a_worse_series_are_replaced(state: JobState) -> None:
    """It came first, and has no contour."""
    worse = neighbour(state, **SHARP)
    assert choose_series(mine(**SOFT), [worse]).replaces == (worse.job,)


@pytest.mark.parametrize("state", [JobState.RETRACTED, JobState.SUPERSEDED, JobState.QUARANTINED])
def test_who_has_left_the_race_holds_nobody_back(state: JobState) -> None:
    """A person withdrew it, something better replaced it, or it cannot be analysed."""
    assert choose_series(mine(**SHARP), [neighbour(state, **SOFT)]) == Choice()


@pytest.mark.parametrize(
    ("reason", "stands_back"),
    [
        (ReasonCode.ROI_NOT_FOUND, True),
        (ReasonCode.ROI_UNCERTAIN, True),
        (ReasonCode.PHASE_NOT_PORTAL_VENOUS, False),
        (ReasonCode.OUT_OF_DISTRIBUTION, False),
        (ReasonCode.BETTER_SERIES, False),
    ],
)
def test_what_was_said_about_the_patient_stands(reason: ReasonCode, *, stands_back: bool) -> None:
    """No lesion in the best images is an answer; the wrong phase is none."""
    choice = choose_series(mine(**SHARP), [neighbour(JobState.NOT_ANALYSED, reason, **SOFT)])
    assert (choice.instead is not None) is stands_back


def test_a_contour_chooses_the_series() -> None:
    """It is analysed however poor it is, and the better one stands back."""
    assert choose_series(mine(has_contour=True, **SHARP), [neighbour(**SOFT)]) == Choice()
    choice = choose_series(mine(**SOFT), [neighbour(has_contour=True, **SHARP)])
    assert str(choice.reason) == f"BETTER_SERIES: series {OTHER}: somebody drew on it"


def test_two_contoured_series_are_both_analysed() -> None:
    """Somebody wanted both; neither replaces the other."""
    for state in (JobState.WAITING, JobState.DONE):
        assert choose_series(mine(has_contour=True), [neighbour(state, has_contour=True, **SOFT)]) == Choice()


def test_a_series_of_another_part_of_the_body_is_no_rival() -> None:
    """Chest and abdomen are both analysed."""
    chest = neighbour(**SOFT)
    moved = tuple(
        replace(one, image_position_mm=(-10.0, -8.0, 500.0 + 2.0 * k)) for k, one in enumerate(chest.series.instances)
    )
    far = replace(chest, series=replace(chest.series, instances=moved))
    assert choose_series(mine(**SHARP), [far]) == Choice()


def test_one_that_does_not_meet_the_contract_is_no_rival() -> None:
    """It would not be analysed either."""
    assert choose_series(mine(**SHARP), [neighbour(ImageType=["DERIVED", "SECONDARY", "MPR"], **SOFT)]) == Choice()


def test_what_still_comes_in_is_awaited() -> None:
    """Unless it is a scout or a reformat, or a person has chosen already."""
    coming = neighbour(JobState.COLLECTING, **SOFT)
    scout = neighbour(JobState.COLLECTING, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert choose_series(mine(), [coming, scout]).awaited == (coming.job,)
    assert choose_series(mine(), [scout]) == Choice()
    assert choose_series(mine(has_contour=True), [coming]) == Choice()


def test_when_patience_is_over_it_is_left_out() -> None:
    """The one that never completes holds back the others no longer."""
    coming = neighbour(JobState.COLLECTING, **SOFT)
    assert choose_series(mine(**SHARP), [coming], is_patient=False) == Choice()
