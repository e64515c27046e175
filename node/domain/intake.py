"""What crosses the door: a received object, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from node.domain.identifiers import AeTitle
from node.domain.imaging import Instance


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """A validated object with its bytes, as it came from a peer."""

    instance: Instance
    content: bytes
    """The DICOM file (PS3.10): preamble zeroed, the data set as received."""
    calling_ae: AeTitle
    address: str
    """IP address of the peer."""
    sha256: str | None = None
    """Of ``content``, in hexadecimal, when it is known already."""


class IntakeVerdict(StrEnum):
    """What became of a received object; every one of them is durable before it is said."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """The same object is already here."""
    OWN_RESULT = "own-result"
    """It is a result that this node made itself."""
    CONFLICT = "conflict"
    """Another object with this UID is already here; this one is set aside for a person."""


class Inbox(Protocol):
    """Takes responsibility for received objects."""

    def accept(self, received: ReceivedInstance) -> IntakeVerdict:
        """Make the object durable and say what became of it.

        Raises:
            RefusedAtDoor: there is no room.
            Retryable: the database cannot be written now.
        """
        ...
