"""A destination whose objects are written in the character set that it asks for."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from node.dicom.recoding import CannotBeWritten, recoded
from node.domain.lifecycle import DeliveryState
from node.domain.ports import Destination
from node.domain.reporting import Delivery, DeliveryOutcome


class RecodingDestination:
    """Another destination, given copies in one character set; implements ``node.domain.ports.Destination``."""

    def __init__(self, inner: Destination, term: str) -> None:
        """``term``: defined term of the character set (PS3.3 section C.12.1.1.2)."""
        self.name = inner.name
        self._inner = inner
        self._term = term

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Deliver copies; an object whose text the character set cannot hold waits for a person."""
        refused: dict[str, DeliveryOutcome] = {}
        ready: list[Delivery] = []
        with tempfile.TemporaryDirectory(prefix="celadon-recoded-") as folder:
            for one in deliveries:
                try:
                    content = recoded(one.path.read_bytes(), self._term)
                except OSError as exc:
                    why = f"the object cannot be read: {exc.strerror}"
                    refused[one.object_uid] = DeliveryOutcome(one.object_uid, DeliveryState.PENDING, why)
                    continue
                except CannotBeWritten as exc:
                    detail = f"{exc} cannot be written in {self._term}, the character set of this destination"
                    refused[one.object_uid] = DeliveryOutcome(one.object_uid, DeliveryState.FAILED, detail)
                    continue
                path = Path(folder) / f"{one.object_uid}.dcm"
                path.write_bytes(content)
                ready.append(replace(one, path=path))
            sent = self._inner.deliver(ready) if ready else ()
        outcomes = refused | {one.object_uid: one for one in sent}
        return tuple(outcomes[one.object_uid] for one in deliveries)
