"""Evidence: what the results copy from the images they are about, read from the files without their pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag, Tag

from node.domain.reporting import Report
from node.errors import Fatal, Retryable
from node.reports.characters import CharacterSet

_MANDATORY: Final = (
    # Type 2 in the Patient and General Study modules (PS3.3 sections C.7.1.1 and C.7.2.1): blank stays blank
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_OPTIONAL: Final = (
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)
COPIED: Final = (*_MANDATORY, *_OPTIONAL, "StudyInstanceUID")
"""Keywords of the patient and study attributes that every result has as the source has them."""

_IMAGE: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "ImageType",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
)
_TEXT_VRS: Final = frozenset({"PN", "LO", "SH", "LT", "ST", "UT", "UC"})
_TEXT_PADDING: Final = " \0"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The source series as the result objects need it."""

    images: dict[int, Dataset]
    """Header of each slice of interest by slice index: geometry and identifiers, with a blank patient and study, so
    that the libraries never reinterpret them."""
    identity: dict[BaseTag, bytes]
    """The source's patient and study attributes as encoded bytes, type 2 attributes always present."""
    characters: CharacterSet

    def text(self, keyword: str) -> str:
        """A patient or study attribute as text, empty when the source has none."""
        value = self.identity.get(Tag(keyword), b"")
        return self.characters.decode(value).rstrip(_TEXT_PADDING)

    def stamp(self, dataset: Dataset) -> None:
        """Write the patient and study attributes over those of ``dataset``, and declare their character set."""
        if self.characters.term is None:
            dataset.pop("SpecificCharacterSet", None)
        else:
            dataset.SpecificCharacterSet = self.characters.term
        for keyword in COPIED:
            dataset.pop(keyword, None)
        for tag, value in self.identity.items():
            dataset[tag] = self._element(tag, value)

    def local(self, moment: datetime) -> datetime:
        """``moment`` in the time zone that the source's dates are in; as it is when the source does not say."""
        offset = self.text("TimezoneOffsetFromUTC")
        if len(offset) != len("+0000") or not offset[1:].isdigit() or offset[0] not in "+-":
            return moment
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        return moment.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))

    def _element(self, tag: BaseTag, value: bytes) -> RawDataElement | DataElement:
        vr = dictionary_VR(tag)
        if not self.characters.is_kept and vr in _TEXT_VRS:
            return DataElement(tag, vr, self.characters.decode(value).rstrip(_TEXT_PADDING))
        return RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def gather(report: Report, slices: Iterable[int]) -> Evidence:
    """Read the headers of ``slices`` (indices into the volume) of the report's series.

    Raises Retryable when a file cannot be read now and Fatal when it is missing from the report or is not DICOM.
    """
    wanted = sorted(set(slices))
    headers = {index: _read(report, index) for index in wanted}
    first = headers[wanted[0]]
    declared = first.get("SpecificCharacterSet") or ()
    characters = CharacterSet((declared,) if isinstance(declared, str) else tuple(declared))
    return Evidence({k: _neutral(header, report) for k, header in headers.items()}, _identity(first), characters)


def slices_of(report: Report) -> tuple[int, ...]:
    """The slices that hold the region, in order."""
    return tuple(int(k) for k in np.flatnonzero(report.roi.mask.any(axis=(1, 2))))


def key_slices(report: Report) -> tuple[int, ...]:
    """The slices to show, the most telling first; the region's largest when the explanation names none."""
    return report.prediction.explanation.key_slices or (report.roi.largest_slice,)


def _path(report: Report, index: int) -> Path:
    instances = report.series.instances
    path = instances[index].path if index < len(instances) else None
    if path is None:
        raise Fatal(f"slice {index} of the report has no file")
    return path


def _read(report: Report, index: int) -> Dataset:
    try:
        header = dcmread(_path(report, index), stop_before_pixels=True, specific_tags=[*_IMAGE, *COPIED])
    except OSError as error:
        raise Retryable(f"the file of slice {index} cannot be read: {error.strerror}") from error
    except InvalidDicomError as error:
        raise Fatal(f"the file of slice {index} is not DICOM") from error
    if header.get("SOPInstanceUID") != report.volume.instance_uids[index]:
        raise Fatal(f"the file of slice {index} is of another image: the report's series and volume differ in order")
    return header


def _neutral(header: Dataset, report: Report) -> Dataset:
    image = Dataset()
    for keyword in _IMAGE:
        if keyword in header:
            image[keyword] = header[keyword]
    for keyword in _MANDATORY:
        setattr(image, keyword, "")
    image.StudyInstanceUID = str(report.series.study_uid)
    spacing = round(report.volume.geometry.spacing_xyz_mm[2], 6)
    image.SpacingBetweenSlices = spacing
    if image.get("SliceThickness") is None:  # type 2 in CT, type 1 in a segmentation
        image.SliceThickness = spacing
    return image


def _identity(header: Dataset) -> dict[BaseTag, bytes]:
    identity = {Tag(keyword): b"" for keyword in _MANDATORY}
    for keyword in COPIED:
        tag = Tag(tag_for_keyword(keyword) or 0)
        if tag in header:
            identity[tag] = _bytes(header.get_item(tag))
    return identity


def _bytes(element: RawDataElement | DataElement | None) -> bytes:
    if isinstance(element, RawDataElement):
        return element.value or b""
    raise Fatal("a patient or study attribute was decoded before it was copied")
