"""Lifecycles: the tables are closed, everything can be reached, and what is over is over."""

from collections.abc import Mapping
from enum import StrEnum

import pytest

from node.domain.lifecycle import (
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    WAITS_FOR_A_PERSON,
    DeliveryState,
    JobState,
    may_follow,
)

Table = Mapping[StrEnum, Mapping[StrEnum, str]]

TABLES = pytest.mark.parametrize(
    ("table", "states", "first"),
    [(JOB_TRANSITIONS, JobState, JobState.COLLECTING), (DELIVERY_TRANSITIONS, DeliveryState, DeliveryState.PENDING)],
    ids=["job", "delivery"],
)


@TABLES
def test_a_table_says_of_every_state_what_may_follow(table: Table, states: type[StrEnum], first: StrEnum) -> None:
    """No state is missing on either side, and each transition has its event in words."""
    assert set(table) == set(states)
    assert all(set(following) <= set(states) for following in table.values())
    assert all(event for following in table.values() for event in following.values())


@TABLES
def test_every_state_can_be_reached_from_the_first(table: Table, states: type[StrEnum], first: StrEnum) -> None:
    """There is a way to each of them."""
    reached, ahead = {first}, [first]
    while ahead:
        following = set(table[ahead.pop()]) - reached
        reached |= following
        ahead += following
    assert reached == set(states)


def test_only_withdrawn_jobs_are_over_for_good() -> None:
    """Every other state has a way on: nothing gets stuck by the table."""
    assert {state for state in JobState if not JOB_TRANSITIONS[state]} == {JobState.RETRACTED}


def test_whatever_may_have_been_delivered_can_be_withdrawn() -> None:
    """Results are withdrawn while they are sent, when they are there, and when newer ones stand beside them."""
    may = {state for state in JobState if may_follow(state, JobState.RETRACTED)}
    assert may == {JobState.DELIVERING, JobState.DONE, JobState.SUPERSEDED}


def test_only_committed_or_withdrawn_objects_are_over_for_good() -> None:
    """An object that failed or is held can be sent again; one that is stored may yet be committed to."""
    over = {state for state in DeliveryState if not DELIVERY_TRANSITIONS[state]}
    assert over == {DeliveryState.COMMITTED, DeliveryState.WITHDRAWN}


@pytest.mark.parametrize("state", WAITS_FOR_A_PERSON)
def test_what_waits_for_a_person_goes_on_when_one_says_so(state: DeliveryState) -> None:
    """It is sent again, or withdrawn when there is something newer."""
    assert set(DELIVERY_TRANSITIONS[state]) == {DeliveryState.PENDING, DeliveryState.WITHDRAWN}


def test_a_verdict_is_never_taken_back_to_collecting() -> None:
    """A late slice after a verdict is another version, not another run of this one."""
    before = {state for state in JobState if may_follow(state, JobState.COLLECTING)}
    assert before == {JobState.WAITING, JobState.RUNNING}


@pytest.mark.parametrize("state", JobState)
def test_results_come_from_a_running_job_alone(state: JobState) -> None:
    """Nothing else leads to delivery."""
    assert may_follow(state, JobState.DELIVERING) is (state is JobState.RUNNING)


def test_states_are_the_words_that_people_see() -> None:
    """Other systems hold on to these."""
    assert [state.value for state in JobState] == [
        "collecting", "waiting", "running", "delivering", "done", "not-analysed", "quarantined", "retracted",
        "superseded",
    ]  # fmt: skip
