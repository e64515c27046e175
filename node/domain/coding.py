"""Coded concepts (PS3.3 section 8.8) and the anatomy that Celadon acts on."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Code:
    """A coded entry: value, coding scheme designator and meaning (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


class Anatomy(Enum):
    """The organ that a region of interest lies in, as SNOMED CT code (PS3.16 CID 4031)."""

    PANCREAS = Code("15776009", "SCT", "Pancreas")
    STOMACH = Code("69695003", "SCT", "Stomach")

    @property
    def code(self) -> Code:
        """The coded concept."""
        return self.value

    @property
    def key(self) -> str:
        """The word that settings and rules use: ``pancreas`` or ``stomach``."""
        return self.name.lower()
