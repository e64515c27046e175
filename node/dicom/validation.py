"""What an object must be before this node takes responsibility for it. Nothing is decoded here."""

import struct
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    RLELossless,
    RTStructureSetStorage,
)
from pydicom.valuerep import IS

from node.dicom.codestream import begins_image, size_of
from node.dicom.reading import DOOR_TAGS, PIXEL_TAGS, DoorHeader, PlainValue, instance_from, parse, plain_value
from node.dicom.structure import USUAL_VRS, Pixels, Structure, structure_of
from node.domain.identifiers import Uid
from node.domain.imaging import Instance
from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor

LARGEST_PIXELS_BYTES: Final = 512 * 2**20
MOST_READ_ELEMENTS: Final = 50_000
"""Elements of the references that are read at the door; those to five thousand images have fifteen thousand."""
_WITHOUT_PIXELS: Final = frozenset(
    {
        RTStructureSetStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        EncapsulatedPDFStorage,
        KeyObjectSelectionDocumentStorage,
    }
)
"""Of the SOP classes that the listener accepts, those that are no images (PS3.3 section A)."""
_READ_TAGS: Final = DOOR_TAGS | frozenset(PIXEL_TAGS.values())
_FEW_ELEMENTS: Final = 5000
_one_at_a_time: Final = threading.Lock()
"""For objects of which much must be read: elements take a hundred times the memory that they took on the wire."""
_HALF_COLOURS: Final = "YBR_FULL_422"
"""Uncompressed: two pixels share their colours, four bytes where there would be six (PS3.3 section C.7.6.3.1.2)."""
_BITS_PER_BYTE: Final = 8
_OFFSET_TABLE_AND_ONE_FRAGMENT: Final = 2
_PREAMBLE_BYTES: Final = 132
_META_GROUP: Final = b"\x02\x00"
_META_ELEMENT: Final = struct.Struct("<HH2sH")
_META_LONG: Final = frozenset({b"OB", b"UN"})
_LENGTH: Final = struct.Struct("<I")
_TRANSFER_SYNTAX: Final = 0x0010


class _Image(NamedTuple):
    """What the size of the pixel data follows from."""

    rows: Any
    columns: Any
    frames: Any
    samples: Any
    bits: Any
    colours: Any


def validate(content: bytes, *, sop_class_uid: str, sop_instance_uid: str) -> Instance:
    """The instance in ``content`` (a whole DICOM file), checked against what the request announced.

    Raises:
        RefusedAtDoor: with the coded reason; the detail names attributes, never values of a patient.
    """
    try:
        return _checked(content, sop_class_uid, sop_instance_uid)
    except (RefusedAtDoor, MemoryError):
        raise
    except Exception as exc:  # the parser raises many kinds on hostile bytes
        raise RefusedAtDoor(ReasonCode.NOT_PARSEABLE, type(exc).__name__) from exc


def _checked(content: bytes, sop_class_uid: str, sop_instance_uid: str) -> Instance:
    offset, syntax = _file_meta(content)
    structure = structure_of(
        content, offset, implicit=syntax.is_implicit_VR, big_endian=not syntax.is_little_endian, read=_READ_TAGS
    )
    if structure.read_elements > MOST_READ_ELEMENTS:
        raise RefusedAtDoor(ReasonCode.TOO_LARGE, f"references of more than {MOST_READ_ELEMENTS} elements")
    with _one_at_a_time if structure.read_elements > _FEW_ELEMENTS else nullcontext():
        instance, image = _read(content, offset, structure, syntax)
    if (instance.sop_class_uid, instance.uid) != (sop_class_uid, sop_instance_uid):
        raise RefusedAtDoor(ReasonCode.UID_MISMATCH, "SOP class or instance UID differs from the request")
    _require_whole_pixels(content, structure.pixels, image, syntax, sop_class_uid)
    return instance


def _file_meta(content: bytes) -> tuple[int, UID]:
    """Where the data set begins, and its transfer syntax (PS3.10 section 7.1)."""
    at, syntax = _PREAMBLE_BYTES, b""
    while content[at : at + 2] == _META_GROUP:
        _, element, vr, length = _META_ELEMENT.unpack_from(content, at)
        at += _META_ELEMENT.size
        if vr in _META_LONG:
            (length,), at = _LENGTH.unpack_from(content, at), at + _LENGTH.size
        if element == _TRANSFER_SYNTAX:
            syntax = content[at : at + length]
        at += length
    return at, _syntax(syntax)


@lru_cache(maxsize=32)
def _syntax(value: bytes) -> UID:
    """A transfer syntax as it stands in a file. Remembered: peers use few of them, and pydicom looks each up."""
    return UID(value.rstrip(b"\0 ").decode("ascii"))


def _read(content: bytes, offset: int, structure: Structure, syntax: UID) -> tuple[Instance, _Image]:
    """What decisions rest on, read from nothing but the elements that it stands in."""
    header = _header(content, offset, structure, is_plain=syntax.is_little_endian)
    try:
        instance = instance_from(header, syntax)
        Uid(instance.sop_class_uid)
    except ValueError as exc:
        raise RefusedAtDoor(ReasonCode.UID_INVALID, "study, series, instance or SOP class UID") from exc
    return instance, _image(header)


def _header(content: bytes, offset: int, structure: Structure, *, is_plain: bool) -> DoorHeader:
    """The elements that are plain; with a single one that is not, pydicom reads them all."""
    plain: dict[int, PlainValue] = {}
    for element in structure.read if is_plain else ():
        value = plain_value(element.tag, element.vr, content[element.value : element.end])
        if value is not None:
            plain[element.tag] = value
    if len(plain) == len(structure.read):
        return DoorHeader(plain, None)
    is_usual = all(element.vr in USUAL_VRS for element in structure.read)
    parts = [content[:offset], *(content[element.begin : element.end] for element in structure.read)]
    return DoorHeader(plain if is_usual else {}, parse(b"".join(parts)))


def _image(header: DoorHeader) -> _Image:
    values = {keyword: header.strict_value(tag) for keyword, tag in PIXEL_TAGS.items()}
    frames = values["NumberOfFrames"]
    return _Image(
        rows=values["Rows"],
        columns=values["Columns"],
        frames=_whole_number(frames) if isinstance(frames, str) else frames,
        samples=values["SamplesPerPixel"],
        bits=values["BitsAllocated"],
        colours=values["PhotometricInterpretation"],
    )


def _whole_number(text: str) -> Any:
    """The number in a value of VR IS; the text itself when it is none, as pydicom has it."""
    try:
        return IS(text)
    except (TypeError, ValueError):
        return text


def _require_whole_pixels(
    content: bytes, pixels: Pixels | None, image: _Image, syntax: UID, sop_class_uid: str
) -> None:
    if pixels is None:
        if sop_class_uid not in _WITHOUT_PIXELS or (image.rows and image.columns):
            raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there are no pixel data")
        return
    expected = _pixel_bytes(image)
    if image.colours == _HALF_COLOURS and not syntax.is_encapsulated:
        expected = expected * 2 // 3
    if expected > LARGEST_PIXELS_BYTES:
        raise RefusedAtDoor(ReasonCode.TOO_LARGE, f"{expected} bytes of pixels")
    if syntax.is_encapsulated:
        # An offset table and at least one fragment (PS3.5 section A.4).
        if pixels.fragments is None or len(pixels.fragments) < _OFFSET_TABLE_AND_ONE_FRAGMENT:
            raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there is no fragment")
        _require_size(content, pixels.fragments[1:], syntax, (int(image.rows), int(image.columns)))
    elif pixels.fragments is not None or pixels.end - pixels.start not in (expected, expected + expected % 2):
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, f"{pixels.end - pixels.start} bytes where {expected} are due")


def _pixel_bytes(image: _Image) -> int:
    try:
        frames = int(image.frames or 1)
        samples = 1 if image.samples is None else int(image.samples)
        pixels = int(image.rows) * int(image.columns) * frames * samples
        expected = -(-pixels * int(image.bits) // _BITS_PER_BYTE)
    except (AttributeError, TypeError, ValueError) as exc:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "rows, columns or bits are missing") from exc
    if expected <= 0:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "rows, columns, frames or bits are not positive")
    return expected


def _require_size(
    content: bytes, fragments: Sequence[tuple[int, int]], syntax: UID, rows_columns: tuple[int, int]
) -> None:
    """Every compressed image as large as the header says: decoders make room for what the code stream claims."""
    if syntax == RLELossless:  # has no size of its own
        return
    images = 0
    for begin, end in fragments:
        fragment = content[begin:end]
        if begins_image(fragment):
            images += 1
            if size_of(fragment, syntax) != rows_columns:
                raise RefusedAtDoor(
                    ReasonCode.PIXEL_DATA_LENGTH, "a code stream is of another size than the header says"
                )
    if not images:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the pixel data are not of their transfer syntax")
