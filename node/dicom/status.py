"""DIMSE statuses: one table from what became of an object to what its sender is told (PS3.4 table B.2-1, PS3.7 C)."""

from types import MappingProxyType
from typing import Final

from node.domain.intake import IntakeVerdict
from node.domain.reasons import ReasonCode

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
"""Failure that says nothing against the object: the sender should try again (PS3.7 section C.5.6)."""
OUT_OF_RESOURCES: Final = 0xA700
"""Out of resources: the sender should try again later (PS3.4 table B.2-1)."""

VERDICT_STATUS: Final = MappingProxyType(
    {
        IntakeVerdict.STORED: SUCCESS,
        IntakeVerdict.DUPLICATE: SUCCESS,
        IntakeVerdict.OWN_RESULT: SUCCESS,
        IntakeVerdict.CONFLICT: 0x0111,  # Duplicate SOP Instance (PS3.7 section C.5.7)
    }
)

REFUSAL_STATUS: Final = MappingProxyType(
    {
        ReasonCode.NOT_PARSEABLE: 0xC000,  # Error: Cannot understand
        ReasonCode.UID_INVALID: 0xC000,
        ReasonCode.PIXEL_DATA_LENGTH: 0xC000,
        ReasonCode.TOO_LARGE: 0xC000,
        ReasonCode.TOO_DEEP: 0xC000,
        ReasonCode.UID_MISMATCH: 0xA900,  # Error: Data Set does not match SOP Class
        ReasonCode.PEER_NOT_ALLOWED: 0x0124,  # Refused: Not Authorized (PS3.7 section C.5.12)
        ReasonCode.DISK_FULL: OUT_OF_RESOURCES,
        ReasonCode.STORE_AWAY: OUT_OF_RESOURCES,
        ReasonCode.INTERNAL: PROCESSING_FAILURE,
    }
)
