"""The phase of enhancement: when after the injection a series was taken, and what speaks for it."""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """When after the injection a series was taken."""

    NON_CONTRAST = "non-contrast"
    ARTERIAL = "arterial"
    PORTAL_VENOUS = "portal-venous"
    DELAYED = "delayed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """A phase and the numbers that it was read from, for people."""

    phase: Phase
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class PhaseVerdict:
    """The phase that an analysis went by, and both things that it rests on."""

    phase: Phase
    timing: Finding
    """By the times in the header."""
    attenuation: Finding | None = None
    """By the brightness of vessels and organs; None where none was measured."""
