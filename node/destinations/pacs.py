"""An archive that takes results by C-STORE (PS3.4 annex B)."""

from collections.abc import Sequence

from node.dicom.peer import Peer
from node.dicom.sending import send_files
from node.domain.identifiers import AeTitle
from node.domain.reporting import Delivery, DeliveryOutcome
from node.settings import PacsSettings


class PacsDestination:
    """One configured archive; implements ``node.domain.ports.Destination``."""

    def __init__(self, name: str, settings: PacsSettings, calling_ae: AeTitle) -> None:
        """``name``: as configured; ``calling_ae``: who we say we are."""
        self.name = name
        self._peer = Peer.of(settings)
        self._calling_ae = calling_ae
        self._timeout_s = settings.timeout_s

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Store the objects over one association; an archive that is away makes every outcome PENDING."""
        paths = [delivery.path for delivery in deliveries]
        sent = send_files(paths, self._peer, self._calling_ae, timeout_s=self._timeout_s)
        return tuple(
            DeliveryOutcome(delivery.object_uid, result.state, result.detail)
            for delivery, result in zip(deliveries, sent, strict=True)
        )
