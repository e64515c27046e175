"""How sharp a reconstruction kernel is, by the names that the makers give: soft tissue is read on soft ones."""

import re
from enum import StrEnum
from typing import Final


class Sharpness(StrEnum):
    """What a kernel was made for."""

    SOFT = "soft"
    SHARP = "sharp"
    UNKNOWN = "unknown"


SHARP_FROM: Final = 50
"""Siemens numbers kernels by sharpness: B30f and Br40 are for soft tissue, B50 and above for lung and bone."""
_SIEMENS: Final = re.compile(r"[BHIJTUQ][a-z]{0,2}(\d{2})[a-z]?", re.ASCII)
_CANON: Final = re.compile(r"FC(\d{2})", re.ASCII)
_CANON_SOFT: Final = range(20)
"""FC01 to FC19 are for the body; FC30 and above, and FC50 and above, for bone and lung; FC20s for the head."""
_WORDS: Final = {
    "STANDARD": Sharpness.SOFT,
    "SOFT": Sharpness.SOFT,
    "DETAIL": Sharpness.SOFT,
    "BONE": Sharpness.SHARP,
    "BONEPLUS": Sharpness.SHARP,
    "LUNG": Sharpness.SHARP,
    "EDGE": Sharpness.SHARP,
    "ULTRA": Sharpness.SHARP,
}
"""GE."""
_PHILIPS: Final = {
    "A": Sharpness.SOFT,
    "B": Sharpness.SOFT,
    "C": Sharpness.SOFT,
    "D": Sharpness.SHARP,
    "E": Sharpness.SHARP,
    "L": Sharpness.SHARP,
    "YA": Sharpness.SHARP,
    "YB": Sharpness.SHARP,
    "YC": Sharpness.SHARP,
}


def sharpness_of(kernel: str, manufacturer: str = "") -> Sharpness:
    """The sharpness of Convolution Kernel (0018,1210); of several values the first is the name."""
    name = kernel.split("\\", maxsplit=1)[0].strip()
    if found := _WORDS.get(name.upper().replace(" ", "")):
        return found
    if "PHILIPS" in manufacturer.upper():
        return _PHILIPS.get(name.upper(), Sharpness.UNKNOWN)
    if match := _CANON.fullmatch(name.upper()):
        return Sharpness.SOFT if int(match[1]) in _CANON_SOFT else Sharpness.SHARP
    if match := _SIEMENS.fullmatch(name):
        return Sharpness.SHARP if int(match[1]) >= SHARP_FROM else Sharpness.SOFT
    return Sharpness.UNKNOWN
