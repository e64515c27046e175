"""What an object must be before this node takes responsibility for it. Nothing is decoded here."""

from collections.abc import Iterator
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.encaps import generate_fragments, parse_fragments
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    RLELossless,
    RTStructureSetStorage,
)

from node.dicom.codestream import begins_image, size_of
from node.dicom.reading import instance_from, parse
from node.domain.identifiers import Uid
from node.domain.imaging import Instance
from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor

LARGEST_PIXELS_BYTES: Final = 512 * 2**20
DEEPEST_SEQUENCE: Final = 32
"""Levels of nested sequences; the deepest in the standard's own templates are fewer than 20."""
_WITHOUT_PIXELS: Final = frozenset(
    {
        RTStructureSetStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        EncapsulatedPDFStorage,
    }
)
"""Of the SOP classes that the listener accepts, those that are no images (PS3.3 section A)."""
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_BITS_PER_BYTE: Final = 8
_ITEM_HEADER_BYTES: Final = 8
_OFFSET_TABLE_AND_ONE_FRAGMENT: Final = 2


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
    dataset = parse(content)
    _require_whole_elements(dataset)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    try:
        instance = instance_from(dataset, syntax)
        Uid(instance.sop_class_uid)
    except ValueError as exc:
        raise RefusedAtDoor(ReasonCode.UID_INVALID, "study, series, instance or SOP class UID") from exc
    if (instance.sop_class_uid, instance.uid) != (sop_class_uid, sop_instance_uid):
        raise RefusedAtDoor(ReasonCode.UID_MISMATCH, "SOP class or instance UID differs from the request")
    _require_whole_pixels(dataset, syntax)
    return instance


def _require_whole_elements(dataset: Dataset) -> None:
    """Every element as long as it says, and sequences no deeper than anyone needs; walked without recursion."""
    pending = [(dataset, 0)]
    while pending:
        current, depth = pending.pop()
        if depth > DEEPEST_SEQUENCE:
            raise RefusedAtDoor(ReasonCode.TOO_DEEP, f"more than {DEEPEST_SEQUENCE} levels of sequences")
        for element in _elements(current):
            if isinstance(element, DataElement) and element.VR == "SQ":
                pending += [(item, depth + 1) for item in element.value]


def _elements(dataset: Dataset) -> Iterator[DataElement | RawDataElement]:
    """The elements as they were read; of those still raw, only sequences are parsed."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            if element.length not in (_UNDEFINED_LENGTH, len(element.value or b"")):
                raise RefusedAtDoor(ReasonCode.NOT_PARSEABLE, f"{element.tag} ends early")
            if _is_sequence(element):
                element = dataset[tag]
        yield element


def _is_sequence(raw: RawDataElement) -> bool:
    if raw.VR in (None, "UN"):
        return dictionary_has_tag(raw.tag) and dictionary_VR(raw.tag) == "SQ"
    return raw.VR == "SQ"


def _require_whole_pixels(dataset: Dataset, syntax: UID) -> None:
    found = [keyword for keyword in _PIXELS if keyword in dataset]
    if not found:
        if dataset.SOPClassUID not in _WITHOUT_PIXELS or (dataset.get("Rows") and dataset.get("Columns")):
            raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there are no pixel data")
        return
    expected = _pixel_bytes(dataset)
    if expected > LARGEST_PIXELS_BYTES:
        raise RefusedAtDoor(ReasonCode.TOO_LARGE, f"{expected} bytes of pixels")
    data = dataset[found[0]].value
    if syntax.is_encapsulated:
        _require_fragments(data)
        _require_size(data, syntax, (int(dataset.Rows), int(dataset.Columns)))
    elif len(data) not in (expected, expected + expected % 2):
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, f"{len(data)} bytes where {expected} are due")


def _pixel_bytes(dataset: Dataset) -> int:
    try:
        frames = int(dataset.get("NumberOfFrames") or 1)
        pixels = int(dataset.Rows) * int(dataset.Columns) * frames * int(dataset.get("SamplesPerPixel", 1))
        expected = -(-pixels * int(dataset.BitsAllocated) // _BITS_PER_BYTE)
    except (AttributeError, TypeError, ValueError) as exc:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "rows, columns or bits are missing") from exc
    if expected <= 0:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "rows, columns, frames or bits are not positive")
    return expected


def _require_fragments(data: bytes) -> None:
    """An offset table and at least one fragment, all of them within the element (PS3.5 section A.4)."""
    try:
        count, offsets = parse_fragments(data)
    except (ValueError, EOFError, OSError) as exc:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the fragments are not whole") from exc
    if count < _OFFSET_TABLE_AND_ONE_FRAGMENT:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there is no fragment")
    start = offsets[-1] + _ITEM_HEADER_BYTES
    length = int.from_bytes(data[start - 4 : start], "little")
    if start + length > len(data):
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the last fragment ends early")


def _require_size(data: bytes, syntax: UID, rows_columns: tuple[int, int]) -> None:
    """Every compressed image as large as the header says: decoders make room for what the code stream claims."""
    if syntax == RLELossless:  # has no size of its own
        return
    images = [fragment for fragment in generate_fragments(data) if begins_image(fragment)]
    if not images:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "the pixel data are not of their transfer syntax")
    if any(size_of(image, syntax) != rows_columns for image in images):
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "a code stream is of another size than the header says")
