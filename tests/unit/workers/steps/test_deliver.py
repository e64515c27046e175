"""Deliver: one outcome an object, whatever the destination does."""

from pathlib import Path

import pytest

from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery
from tests.factories import SERIES
from tests.fakes import FakeDestination, raising
from workers.steps.deliver import deliver

DELIVERIES = tuple(
    Delivery(number, JobId.of(SERIES, 1), InstanceUID(f"2.25.{number}"), "1.2", "archive", Path("gone"), 1,
             DeliveryState.SENDING)
    for number in (1, 2)
)  # fmt: skip


def test_objects_go_to_the_destination_that_they_are_for() -> None:
    """And to no other."""
    archive, other = FakeDestination(), FakeDestination("other")
    outcomes = deliver(DELIVERIES, {"archive": archive, "other": other})
    assert [one.state for one in outcomes] == [DeliveryState.STORED] * 2
    assert (archive.delivered, other.delivered) == (list(DELIVERIES), [])


def test_a_destination_that_is_no_longer_configured_is_a_failure_for_good() -> None:
    """A person must look: nobody will ever take these."""
    outcomes = deliver(DELIVERIES, {"other": FakeDestination("other")})
    assert [(one.object_uid, one.state) for one in outcomes] == [
        (one.object_uid, DeliveryState.FAILED) for one in DELIVERIES
    ]
    assert "'archive'" in outcomes[0].detail


@pytest.mark.parametrize("error", [RuntimeError("Secret^Person"), OSError("disk")], ids=repr)
def test_a_destination_that_breaks_its_promise_is_asked_again(error: Exception) -> None:
    """The deliverer lives; the detail names the kind of error and nothing that it quotes."""
    outcomes = deliver(DELIVERIES, {"archive": FakeDestination(hook=raising(error))})
    assert [(one.object_uid, one.state) for one in outcomes] == [
        (one.object_uid, DeliveryState.PENDING) for one in DELIVERIES
    ]
    assert type(error).__name__ in outcomes[0].detail
    assert "Secret" not in outcomes[0].detail
