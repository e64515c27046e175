"""Reading DICOM files into domain values: headers, Hounsfield units, and whether two files hold the same object."""

import math
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from node.dicom.annotations import REFERENCE_SEQUENCES, referenced_series
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import HuArray, Instance, PatientIdentity
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused, Retryable

# What rules, triage and the clinical sources look at; everything else stays in the file.
ATTRIBUTES: Final = (
    "ImageType", "SeriesDescription", "StudyDescription", "ProtocolName", "BodyPartExamined", "Manufacturer",
    "ManufacturerModelName", "StationName", "InstitutionName", "SliceThickness", "SpacingBetweenSlices", "KVP",
    "ConvolutionKernel", "GantryDetectorTilt", "PatientPosition", "ContrastBolusAgent", "ContrastBolusStartTime",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "StudyDate", "PatientAge", "PatientSize",
    "PatientWeight", "RescaleSlope", "RescaleIntercept", "RescaleType", "NumberOfFrames", "SeriesNumber",
    "InstanceNumber", "AccessionNumber", "RequestedProcedurePriority",
)  # fmt: skip
_IDENTITY: Final = (
    "SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "IssuerOfPatientID",
    "PatientName", "PatientBirthDate", "PatientSex", "Modality", "FrameOfReferenceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
)  # fmt: skip
_TAGS: Final = {keyword: Tag(keyword) for keyword in (*_IDENTITY, *ATTRIBUTES)}
DOOR_TAGS: Final = frozenset(
    {int(tag) for tag in _TAGS.values()} | {int(Tag(name)) for name in ("SpecificCharacterSet", *REFERENCE_SEQUENCES)}
)
"""The elements at the top level that ``instance_from`` looks at."""
_VRS: Final = {tag: dictionary_VR(tag) for tag in _TAGS.values()}
# Character strings of at most one line (PS3.5 table 6.2-1), the same in every repertoire while they are ASCII without
# the escape sequences of ISO 2022 (PS3.5 section 6.1.2.5).
_TEXT_VRS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"})
_ESCAPE: Final = b"\x1b"
_PIXEL_GEOMETRY: Final = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation",
)  # fmt: skip
PIXEL_TAGS: Final = {keyword: int(Tag(keyword)) for keyword in _PIXEL_GEOMETRY}
"""The elements that the size of the pixel data follows from (PS3.3 section C.7.6.3)."""
_VRS_ON_WIRE: Final = {
    int(tag): dictionary_VR(tag).encode()
    for tag in (*_TAGS.values(), Tag("SpecificCharacterSet"), *PIXEL_TAGS.values())
}
_TEXT_VRS_ON_WIRE: Final = frozenset(vr.encode() for vr in _TEXT_VRS)
_US: Final = struct.Struct("<H")
PlainValue = str | list[str] | int | None
AIR_HU: Final = -1024.0
_LONGEST_ATTRIBUTE: Final = 256
# What lossless recompression may change: padding, and what DCMTK adds about its own work.
_NO_CONTENT: Final = frozenset({Tag("DataSetTrailingPadding"), Tag("DerivationDescription"), Tag("PixelData")})


class DoorHeader:
    """What ``instance_from`` looks at, taken from bytes element by element: as fast as can be where it is plain.

    A data set of pydicom's costs more than everything else at the door; it is made of what is not plain alone.
    """

    __slots__ = ("_plain", "rest")

    def __init__(self, plain: Mapping[int, PlainValue], rest: Dataset | None) -> None:
        """``plain``: values by tag, as ``plain_value`` gave them; ``rest``: the other elements, if there are any."""
        self._plain = plain
        self.rest = rest

    def value(self, tag: int) -> Any:
        """The value of an element; None when it is absent or empty, or cannot be read."""
        found = self._plain.get(tag)
        return found if found is not None or self.rest is None else _element_value(self.rest, BaseTag(tag))

    def strict_value(self, tag: int) -> Any:
        """The value of an element; None when it is absent or empty. Raises what pydicom does of a broken one."""
        found = self._plain.get(tag)
        if found is None and self.rest is not None and tag in self.rest:
            return self.rest[tag].value
        return None if found == "" else found


def plain_value(tag: int, vr: bytes, value: bytes) -> PlainValue:
    """The value of an element (little endian) that means what its bytes say: text, several texts or a number.

    Empty text when there is no value; None when pydicom must look at it.
    """
    known = _VRS_ON_WIRE.get(tag)
    if known is None or (vr and vr != known):
        return None
    if not value:
        return ""
    if known == b"US":
        return _US.unpack(value)[0] if len(value) == _US.size else None
    if known not in _TEXT_VRS_ON_WIRE or not value.isascii() or _ESCAPE in value:
        return None
    return _plain_text(value)


def read_header(path: Path) -> FileDataset:
    """The data set of a stored file without its pixels."""
    return dcmread(path, stop_before_pixels=True)


def instance_from(dataset: Dataset | DoorHeader, transfer_syntax_uid: str, path: Path | None = None) -> Instance:
    """The header values of an object that decisions rest on.

    Raises:
        ValueError: an identifier is missing or malformed.
    """
    return Instance(
        uid=InstanceUID(_text(dataset, "SOPInstanceUID")),
        sop_class_uid=_text(dataset, "SOPClassUID"),
        transfer_syntax_uid=transfer_syntax_uid,
        series_uid=SeriesUID(_text(dataset, "SeriesInstanceUID")),
        study_uid=StudyUID(_text(dataset, "StudyInstanceUID")),
        patient=PatientIdentity(
            patient_id=_text(dataset, "PatientID"),
            issuer=_text(dataset, "IssuerOfPatientID"),
            name=_text(dataset, "PatientName"),
            birth_date=_text(dataset, "PatientBirthDate"),
            sex=_text(dataset, "PatientSex"),
        ),
        modality=_text(dataset, "Modality"),
        frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID"),
        image_position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        image_orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_spacing_mm=_numbers(dataset, "PixelSpacing", 2),
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        references=_references(dataset),
        attributes={name: text for name in ATTRIBUTES if (text := _text(dataset, name))},
        path=path,
    )


def _references(dataset: Dataset | DoorHeader) -> tuple[SeriesUID, ...]:
    whole = dataset.rest if isinstance(dataset, DoorHeader) else dataset
    return () if whole is None else referenced_series(whole)


def read_hounsfield(path: Path) -> HuArray:
    """The pixels of one single-frame CT image in Hounsfield units, [row, column] (PS3.3 section C.7.6.16.2.9).

    Padding (PS3.3 section C.7.5.1.1.2) becomes air. Every transfer syntax that the listener accepts is decoded.

    Raises:
        Refused: there is no rescale to HU.
        Quarantined: the file or its pixel data cannot be decoded.
        Retryable: the disk does not give the file now.
    """
    dataset = _read_whole(path)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    if not slope or intercept is None:
        raise Refused(ReasonCode.NO_RESCALE)
    if not dataset.get("PhotometricInterpretation", "MONOCHROME2").startswith("MONOCHROME"):
        # Numbers of colours, which a rescale does not make Hounsfield units (PS3.3 section C.8.2.1.1.2).
        raise Refused(ReasonCode.NO_RESCALE, "the pixels are colours")
    try:
        stored = dataset.pixel_array
    except Exception as exc:  # the decoders raise whatever their C library does
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise Quarantined(ReasonCode.UNDECODABLE, f"{syntax}: {type(exc).__name__}") from exc
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    first = _stored_value(dataset, "PixelPaddingValue", stored.dtype)
    if first is not None:
        limit = _stored_value(dataset, "PixelPaddingRangeLimit", stored.dtype)
        low, high = sorted((first, first if limit is None else limit))
        hu[(stored >= low) & (stored <= high)] = AIR_HU
    return hu


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same object: equal elements and equal pixels, whatever the transfer syntax.

    OSError when a file cannot be read.
    """
    try:
        first, second = dcmread(one), dcmread(other)
        return _same_pixels(first, second) and _same_elements(first, second, _encodings(first))
    except OSError:
        raise
    except Exception:  # noqa: BLE001 — what cannot be decoded cannot be shown to be the same
        return False


def parse(content: bytes) -> FileDataset:
    """The data set of a whole DICOM file in memory."""
    return dcmread(BytesIO(content))


def _read_whole(path: Path) -> FileDataset:
    try:
        return dcmread(path)
    except Exception as exc:
        # pydicom raises OSError about content too, but only the operating system gives it a number.
        if isinstance(exc, OSError) and exc.errno is not None:
            raise Retryable(f"a stored image cannot be read: {exc.strerror}") from exc
        raise Quarantined(ReasonCode.UNDECODABLE, f"the stored file is broken: {type(exc).__name__}") from exc


def _stored_value(dataset: Dataset, keyword: str, dtype: np.dtype[Any]) -> int | None:
    """A stored pixel value. Scanners write it as US although the pixels are signed: the same bits are meant."""
    value: int | None = _quietly(lambda: int(dataset.get(keyword)))
    return None if value is None else int(np.int64(value).astype(dtype))


def _same_pixels(first: FileDataset, second: FileDataset) -> bool:
    if "PixelData" not in first or "PixelData" not in second:
        return ("PixelData" in first) == ("PixelData" in second)
    syntaxes = (first.file_meta.TransferSyntaxUID, second.file_meta.TransferSyntaxUID)
    if syntaxes[0] == syntaxes[1] and first.PixelData == second.PixelData:
        return True
    return np.array_equal(first.pixel_array, second.pixel_array)


def _same_elements(first: Dataset, second: Dataset, encodings: list[str]) -> bool:
    tags = _content_tags(first)
    return tags == _content_tags(second) and all(_same_element(first[tag], second[tag], encodings) for tag in tags)


def _content_tags(dataset: Dataset) -> list[BaseTag]:
    """The elements that say something; pixels are compared by themselves, and group lengths are the encoding's."""
    return [tag for tag in sorted(dataset.keys()) if tag.element and tag not in _NO_CONTENT]


def _same_element(one: DataElement, other: DataElement, encodings: list[str]) -> bool:
    if one.VR == other.VR == "SQ":
        pairs = zip(one.value, other.value, strict=False)
        return len(one.value) == len(other.value) and all(_same_elements(*pair, encodings) for pair in pairs)
    if bool(one.value == other.value):
        return True
    # Implicit VR has no VR for private elements: they are the same if they are the same bytes (PS3.5 section 7.1.3).
    return "UN" in (one.VR, other.VR) and _encoded(one, encodings) == _encoded(other, encodings)


def _encoded(element: DataElement, encodings: list[str]) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_data_element(buffer, element, encodings)
    return buffer.getvalue()


def _encodings(dataset: Dataset) -> list[str]:
    return convert_encodings(dataset.get("SpecificCharacterSet") or "ISO_IR 6")


def _text(dataset: Dataset | DoorHeader, keyword: str) -> str:
    value: Any = _value(dataset, keyword)
    if not value and value != 0:
        return ""
    parts = value if isinstance(value, (MultiValue, list, tuple)) else [value]
    text = "\\".join(str(part) for part in parts)
    if not text.isascii():
        # Neither database can hold lone surrogates.
        text = text.encode("utf-8", "backslashreplace").decode()
    # Nor NUL characters.
    return text.replace("\x00", "").strip()[:_LONGEST_ATTRIBUTE]


def _numbers(dataset: Dataset | DoorHeader, keyword: str, count: int) -> Any:
    found: Any = _value(dataset, keyword)
    parts = [found] if isinstance(found, str) else found or ()
    values: Any = _quietly(lambda: tuple(float(value) for value in parts))
    if not values or len(values) != count or not all(math.isfinite(value) for value in values):
        return None
    return values


def _number(dataset: Dataset, keyword: str) -> float | None:
    value: float | None = _quietly(lambda: float(_value(dataset, keyword)))
    return value if value is not None and math.isfinite(value) else None


def _integer(dataset: Dataset | DoorHeader, keyword: str) -> int:
    return _quietly(lambda: int(_value(dataset, keyword) or 0)) or 0


def _value(dataset: Dataset | DoorHeader, keyword: str) -> Any:
    """The value of an element, or None when it is absent or cannot be read.

    By tag: pydicom's access by keyword costs a search of the dictionary for each of the many that are absent.
    """
    tag = _TAGS[keyword]
    return dataset.value(tag) if isinstance(dataset, DoorHeader) else _element_value(dataset, tag)


def _element_value(dataset: Dataset, tag: BaseTag) -> Any:
    if tag not in dataset:
        return None
    raw = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and (plain := _plain(raw)) is not None:
        return plain
    return _quietly(lambda: dataset[tag].value)


def _plain(raw: RawDataElement) -> str | list[str] | None:
    """The text of an element that needs no decoding, one or several values; None when pydicom must look at it.

    Conversion by VR costs more than everything else at the door, and here only the words are wanted.
    """
    vr, value = raw.VR or _VRS.get(raw.tag), raw.value
    if vr != _VRS.get(raw.tag) or vr not in _TEXT_VRS or not value or not value.isascii() or _ESCAPE in value:
        return None
    return _plain_text(value)


def _plain_text(value: bytes) -> str | list[str]:
    text = value.decode("ascii")
    if "\\" not in text:
        return text.strip(" \0")
    return [part.strip(" \0") for part in text.split("\\")]


def _quietly(read: Callable[[], Any]) -> Any:
    """What ``read`` gives, or None: a value that its own VR does not allow counts as absent."""
    try:
        return read()
    except Exception:  # noqa: BLE001 — pydicom raises many kinds here; an unreadable value is an absent one
        return None
