"""Deliver: hand the objects of one job to their destination, and say of each how it went."""

from collections.abc import Mapping, Sequence

from node.domain.lifecycle import DeliveryState
from node.domain.ports import Destination
from node.domain.reporting import Delivery, DeliveryOutcome


def deliver(deliveries: Sequence[Delivery], destinations: Mapping[str, Destination]) -> tuple[DeliveryOutcome, ...]:
    """The outcomes, one a delivery; all ``deliveries`` are for the same destination.

    A destination that is no longer configured, or a file that is gone, is a failure for good: a person must look.
    A destination that fails in a way that nobody foresaw is asked again later, and its detail says so.
    """
    destination = destinations.get(deliveries[0].destination)
    if destination is None:
        detail = f"there is no destination {deliveries[0].destination!r} in the settings any more"
        return tuple(DeliveryOutcome(one.object_uid, DeliveryState.FAILED, detail) for one in deliveries)
    try:
        return destination.deliver(deliveries)
    except Exception as exc:  # noqa: BLE001 — the deliverer must live, and the other destinations are waiting
        detail = f"the destination failed unexpectedly: {type(exc).__name__}"
        return tuple(DeliveryOutcome(one.object_uid, DeliveryState.PENDING, detail) for one in deliveries)
