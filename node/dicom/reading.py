"""Reading DICOM files into domain values: headers, Hounsfield units, and whether two files hold the same object."""

import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue

from node.dicom.annotations import referenced_series
from node.domain.identifiers import InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import HuArray, Instance, PatientIdentity
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused

# What rules, triage and the clinical sources look at; everything else stays in the file.
ATTRIBUTES: Final = (
    "ImageType", "SeriesDescription", "StudyDescription", "ProtocolName", "BodyPartExamined", "Manufacturer",
    "ManufacturerModelName", "StationName", "InstitutionName", "SliceThickness", "SpacingBetweenSlices", "KVP",
    "ConvolutionKernel", "GantryDetectorTilt", "PatientPosition", "ContrastBolusAgent", "ContrastBolusStartTime",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "StudyDate", "PatientAge", "PatientSize",
    "PatientWeight", "RescaleSlope", "RescaleIntercept", "RescaleType", "NumberOfFrames", "SeriesNumber",
    "InstanceNumber", "AccessionNumber",
)  # fmt: skip
AIR_HU: Final = -1024.0
_LONGEST_ATTRIBUTE: Final = 256


def read_header(path: Path) -> FileDataset:
    """The data set of a stored file without its pixels."""
    return dcmread(path, stop_before_pixels=True)


def instance_from(dataset: Dataset, transfer_syntax_uid: str, path: Path | None = None) -> Instance:
    """The header values of a data set that decisions rest on.

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
        references=referenced_series(dataset),
        attributes={name: text for name in ATTRIBUTES if (text := _text(dataset, name))},
        path=path,
    )


def read_hounsfield(path: Path) -> HuArray:
    """The pixels of one single-frame CT image in Hounsfield units, [row, column] (PS3.3 section C.7.6.16.2.9).

    Padding (0028,0120) becomes air. Every transfer syntax that the listener accepts is decoded.

    Raises:
        Refused: there is no rescale to HU.
        Quarantined: the pixel data cannot be decoded.
    """
    dataset = dcmread(path)
    if "RescaleSlope" not in dataset or "RescaleIntercept" not in dataset:
        raise Refused(ReasonCode.NO_RESCALE)
    try:
        stored = dataset.pixel_array
    except Exception as exc:  # the decoders raise whatever their C library does
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise Quarantined(ReasonCode.UNDECODABLE, f"{syntax}: {type(exc).__name__}") from exc
    hu = stored.astype(np.float32) * np.float32(dataset.RescaleSlope) + np.float32(dataset.RescaleIntercept)
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        hu[stored == int(padding)] = AIR_HU
    return hu


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same object: equal elements and equal pixels, whatever the transfer syntax."""
    first, second = dcmread(one), dcmread(other)
    try:
        pixels = ("PixelData" in first, "PixelData" in second)
        if pixels == (True, True) and not np.array_equal(first.pixel_array, second.pixel_array):
            return False
    except Exception:  # noqa: BLE001 — what cannot be decoded cannot be shown to be the same
        return False
    for dataset in (first, second):
        dataset.pop("PixelData", None)
    return pixels[0] == pixels[1] and bool(first == second)


def parse(content: bytes) -> FileDataset:
    """The data set of a whole DICOM file in memory."""
    return dcmread(BytesIO(content))


def _text(dataset: Dataset, keyword: str) -> str:
    value: Any = _quietly(lambda: dataset.get(keyword))
    if value is None:
        return ""
    parts = value if isinstance(value, (MultiValue, list, tuple)) else [value]
    text = "\\".join(str(part) for part in parts)
    # Neither database can hold lone surrogates or NUL characters.
    return text.encode("utf-8", "replace").decode().replace("\x00", "").strip()[:_LONGEST_ATTRIBUTE]


def _numbers(dataset: Dataset, keyword: str, count: int) -> Any:
    values: Any = _quietly(lambda: tuple(float(value) for value in dataset.get(keyword) or ()))
    if not values or len(values) != count or not all(math.isfinite(value) for value in values):
        return None
    return values


def _integer(dataset: Dataset, keyword: str) -> int:
    return _quietly(lambda: int(dataset.get(keyword) or 0)) or 0


def _quietly(read: Callable[[], Any]) -> Any:
    """What ``read`` gives, or None: a value that its own VR does not allow counts as absent."""
    try:
        return read()
    except Exception:  # noqa: BLE001 — pydicom raises many kinds here; an unreadable value is an absent one
        return None
