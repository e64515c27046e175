"""Names, dates and identifiers for research that only the holder of a key can lead back to a patient.

HMAC-SHA256 under a key that is kept apart from what is exported: the same patient, study and image have the same new
names in every export with that key, and none that could be guessed without it.
"""

import hashlib
import hmac
import uuid
from datetime import date, timedelta
from typing import Final

SHORTEST_KEY_BYTES: Final = 32

_NAME_CHARACTERS: Final = 24
_LARGEST_SHIFT_DAYS: Final = 3650

PatientKey = tuple[str, str]
"""Patient ID and issuer."""


class Pseudonyms:
    """Everything that is made under one key."""

    def __init__(self, key: bytes) -> None:
        """Raises ValueError when the key is too short to keep anything secret."""
        if len(key) < SHORTEST_KEY_BYTES:
            raise ValueError(f"the key has fewer than {SHORTEST_KEY_BYTES} bytes")
        self._key = key

    def patient(self, patient: PatientKey) -> str:
        """The new name of a patient: 24 hexadecimal digits."""
        return self._digest("patient", *patient).hex()[:_NAME_CHARACTERS]

    def moved(self, day: date, patient: PatientKey) -> date:
        """A day, moved back by one to 3650 days that are this patient's own: distances between days stay."""
        number = int(self._digest("dates", *patient).hex()[:_NAME_CHARACTERS], 16)
        return day - timedelta(days=number % _LARGEST_SHIFT_DAYS + 1)

    def uid(self, uid: str) -> str:
        """The new identifier for one, in the form that DICOM derives from a UUID (PS3.5 section B.2)."""
        made = uuid.UUID(bytes=self._digest("uid", uid)[:16], version=5)
        return f"2.25.{made.int}"

    def _digest(self, purpose: str, *parts: str) -> bytes:
        return hmac.new(self._key, "\x1f".join((purpose, *parts)).encode(), hashlib.sha256).digest()
