"""How large a compressed image says it is, read from its code stream without decoding it.

Decoders believe the code stream, not the DICOM header: a few bytes that claim 65535 x 65535 would cost them gigabytes.
"""

from typing import Final

from pydicom.uid import JPEG2000, UID, JPEG2000Lossless

_JPEG_2000: Final = frozenset({JPEG2000Lossless, JPEG2000})
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # ITU-T T.800 section I.5.1
_SOI: Final = b"\xff\xd8"
_MARKER: Final = 0xFF
# SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81 table B.1), and SOF55 of JPEG-LS (ITU-T T.87 section C.1.1).
_START_OF_FRAME: Final = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}


def begins_image(fragment: bytes) -> bool:
    """Whether a fragment starts an image, rather than continuing one."""
    return fragment.startswith((_SOI, _JP2)) or _SOC_SIZ in fragment[:256]


def size_of(fragment: bytes, syntax: UID) -> tuple[int, int] | None:
    """Rows and columns that the code stream at the start of ``fragment`` claims; None when it does not say."""
    return _jpeg_2000_size(fragment) if syntax in _JPEG_2000 else _jpeg_size(fragment)


def _jpeg_2000_size(stream: bytes) -> tuple[int, int] | None:
    """Image and reference grid (ITU-T T.800 section A.5.1); some encoders put a JP2 header before it."""
    start = stream.find(_SOC_SIZ)
    fields = stream[start + 8 : start + 24]
    if start < 0 or len(fields) < 16:  # noqa: PLR2004 — four numbers of four bytes
        return None
    columns, rows, left, top = (int.from_bytes(fields[at : at + 4], "big") for at in range(0, 16, 4))
    return rows - top, columns - left


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Frame header (ITU-T T.81 section B.2.2)."""
    at = stream.find(_SOI) + len(_SOI)
    while at + 9 <= len(stream) and stream[at] == _MARKER:
        if stream[at + 1] in _START_OF_FRAME:
            return int.from_bytes(stream[at + 5 : at + 7], "big"), int.from_bytes(stream[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
