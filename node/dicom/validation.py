"""What an object must be before this node takes responsibility for it. Nothing is decoded here."""

from typing import Final

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.encaps import parse_fragments
from pydicom.uid import UID

from node.dicom.reading import instance_from, parse
from node.domain.imaging import Instance
from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor

LARGEST_PIXELS_BYTES: Final = 512 * 2**20
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
        dataset = parse(content)
        _require_whole_elements(dataset)
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
    except RefusedAtDoor:
        raise
    except Exception as exc:  # the parser raises many kinds on hostile bytes
        raise RefusedAtDoor(ReasonCode.NOT_PARSEABLE, type(exc).__name__) from exc
    try:
        instance = instance_from(dataset, syntax)
    except ValueError as exc:
        raise RefusedAtDoor(ReasonCode.UID_INVALID, "study, series or instance UID") from exc
    if (instance.sop_class_uid, instance.uid) != (sop_class_uid, sop_instance_uid):
        raise RefusedAtDoor(ReasonCode.UID_MISMATCH, "SOP class or instance UID differs from the request")
    _require_whole_pixels(dataset, syntax)
    return instance


def _require_whole_elements(dataset: Dataset) -> None:
    for tag in dataset.keys():  # noqa: SIM118 — iterating a data set would parse every element
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length not in (_UNDEFINED_LENGTH, len(raw.value or b"")):
            raise RefusedAtDoor(ReasonCode.NOT_PARSEABLE, f"{raw.tag} ends early")


def _require_whole_pixels(dataset: Dataset, syntax: UID) -> None:
    if "PixelData" not in dataset:
        if dataset.get("Rows") and dataset.get("Columns"):
            raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "there are no pixel data")
        return
    expected = _pixel_bytes(dataset)
    if expected > LARGEST_PIXELS_BYTES:
        raise RefusedAtDoor(ReasonCode.TOO_LARGE, f"{expected} bytes of pixels")
    data = dataset["PixelData"].value
    if syntax.is_encapsulated:
        _require_fragments(data)
    elif len(data) not in (expected, expected + expected % 2):
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, f"{len(data)} bytes where {expected} are due")


def _pixel_bytes(dataset: Dataset) -> int:
    try:
        frames = int(dataset.get("NumberOfFrames") or 1)
        pixels = int(dataset.Rows) * int(dataset.Columns) * frames * int(dataset.get("SamplesPerPixel", 1))
        return -(-pixels * int(dataset.BitsAllocated) // _BITS_PER_BYTE)
    except (AttributeError, TypeError, ValueError) as exc:
        raise RefusedAtDoor(ReasonCode.PIXEL_DATA_LENGTH, "rows, columns or bits are missing") from exc


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
