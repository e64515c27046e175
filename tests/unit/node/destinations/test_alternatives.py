"""Alternatives: one form of a report is delivered, the first of several that a destination takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage

from node.destinations.alternatives import AlternativesDestination
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, DeliveryOutcome
from tests.factories import SERIES

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
WITHDRAWN = DeliveryState.WITHDRAWN


def delivery(number: int, sop_class: str) -> Delivery:
    """An object of that class."""
    uid = InstanceUID(f"2.25.{number}")
    return Delivery(number, JobId.of(SERIES, 1), uid, sop_class, "archive", Path("x"), 1, DeliveryState.SENDING)


SEG, SR3D, ENHANCED = (
    delivery(number, sop_class)
    for number, sop_class in enumerate((SegmentationStorage, Comprehensive3DSRStorage, EnhancedSRStorage), 1)
)


class Picky:
    """Answers by SOP class, and remembers what it was given."""

    name = "archive"

    def __init__(self, states: Mapping[str, DeliveryState]) -> None:
        self.states = states
        self.given: list[Delivery] = []

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """As told."""
        self.given += deliveries
        return tuple(
            DeliveryOutcome(one.object_uid, self.states.get(one.sop_class_uid, STORED), "said") for one in deliveries
        )


@pytest.mark.parametrize(
    ("first", "second", "expected", "is_second_sent"),
    [
        (STORED, STORED, (STORED, WITHDRAWN), False),
        (PENDING, STORED, (PENDING, PENDING), False),
        (FAILED, STORED, (WITHDRAWN, STORED), True),
        (FAILED, FAILED, (FAILED, FAILED), True),
        (FAILED, PENDING, (PENDING, PENDING), True),
    ],
)
def test_the_second_form_is_sent_where_the_first_is_refused(
    first: DeliveryState,
    second: DeliveryState,
    expected: tuple[DeliveryState, ...],
    is_second_sent: bool,
) -> None:
    """And both go on together: what one waits for, the other does."""
    picky = Picky({Comprehensive3DSRStorage: first, EnhancedSRStorage: second})
    outcomes = AlternativesDestination(picky).deliver((SEG, SR3D, ENHANCED))
    assert [one.object_uid for one in outcomes] == [one.object_uid for one in (SEG, SR3D, ENHANCED)]
    assert tuple(one.state for one in outcomes) == (STORED, *expected)
    assert (ENHANCED in picky.given) is is_second_sent


@pytest.mark.parametrize("alone", [SR3D, ENHANCED], ids=["first", "second"])
def test_a_form_without_the_other_is_an_object_like_any(alone: Delivery) -> None:
    """Nothing stands in for it, and it for nothing."""
    picky = Picky({})
    assert [one.state for one in AlternativesDestination(picky).deliver((alone,))] == [STORED]
    assert picky.given == [alone]
