"""A destination that is given one form of a report: the first of several that it takes.

Comprehensive 3D SR is what Celadon means. An archive that does not negotiate it, or refuses it for good, is given the
Enhanced SR with the same content, if there is one.
"""

from collections.abc import Sequence
from typing import Final

from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from node.domain.identifiers import InstanceUID
from node.domain.lifecycle import DeliveryState
from node.domain.ports import Destination
from node.domain.reporting import Delivery, DeliveryOutcome

STANDS_IN_FOR: Final = {str(EnhancedSRStorage): str(Comprehensive3DSRStorage)}
"""SOP class to the one that it is an alternative to."""
Told = dict[InstanceUID, DeliveryOutcome]
_STORED, _FAILED, _WITHDRAWN = DeliveryState.STORED, DeliveryState.FAILED, DeliveryState.WITHDRAWN


class AlternativesDestination:
    """Another destination, given alternatives only where they are needed; implements ``Destination``."""

    def __init__(self, inner: Destination) -> None:
        """``inner``: sends what it is given."""
        self.name = inner.name
        self._inner = inner

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Deliver every object but alternatives, then the alternatives to what was refused for good."""
        here = {one.sop_class_uid for one in deliveries}
        spare = [one for one in deliveries if STANDS_IN_FOR.get(one.sop_class_uid) in here]
        wanted = [one for one in deliveries if one not in spare]
        told: Told = {one.object_uid: one for one in self._inner.deliver(wanted)} if wanted else {}
        if spare:
            told = _chosen(wanted, spare, told, self._inner)
        return tuple(told[one.object_uid] for one in deliveries)


def _chosen(wanted: Sequence[Delivery], spare: Sequence[Delivery], told: Told, inner: Destination) -> Told:
    """``told`` of the first forms, with what became of the alternatives."""
    originals = [one for one in wanted if one.sop_class_uid in {STANDS_IN_FOR[other.sop_class_uid] for other in spare}]
    states = {told[one.object_uid].state for one in originals}
    if states == {_FAILED}:
        outcomes = {one.object_uid: one for one in inner.deliver(spare)}
        # Both forms go on together: stored is one of them, or both are tried again, or a person looks at both.
        state = max((one.state for one in outcomes.values()), key=[_FAILED, _STORED, DeliveryState.PENDING].index)
        follows = {_STORED: _WITHDRAWN}.get(state, state)
        first = {
            one.object_uid: DeliveryOutcome(one.object_uid, follows, told[one.object_uid].detail) for one in originals
        }
        return told | outcomes | first
    # As the first form: not needed once that is stored, and waiting for it until then.
    is_stored = states == {_STORED}
    state = _WITHDRAWN if is_stored else DeliveryState.PENDING
    detail = "not needed: the first form was stored" if is_stored else "waits for the first form"
    return told | {one.object_uid: DeliveryOutcome(one.object_uid, state, detail) for one in spare}
