"""Evidence: what the results copy from the images they are about, read from the files without their pixels."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag, Tag

from node.domain.identity import Correction
from node.domain.reporting import Notice, NoticeKind, ObjectReference, Report
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
    corrected: dict[BaseTag, str] = field(default_factory=dict)
    """What the archive says of the patient and the study now, where the source says otherwise."""

    def text(self, keyword: str) -> str:
        """A patient or study attribute as text, empty when there is none."""
        if (known := self.corrected.get(Tag(keyword))) is not None:
            return known
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
        for tag, text in self.corrected.items():
            dataset[tag] = DataElement(tag, dictionary_VR(tag), text)

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
    images = {k: _neutral(header, report) for k, header in headers.items()}
    return _evidence(headers[wanted[0]], images, report.correction)


def gather_for(notice: Notice) -> Evidence:
    """Patient and study of what ``notice`` is about; no image is needed.

    A withdrawal has the patient of what it withdraws, whomever the archive has the study filed under by now.

    Raises Retryable when the file cannot be read now, and Fatal when it is not DICOM, or of another patient or study
    than the notice: then nothing may be said.
    """
    evidence = _evidence(_header(notice.source, "what the notice is about"), {}, notice.correction)
    is_patient = notice.kind is NoticeKind.WITHDRAWN or (
        evidence.text("PatientID").strip() == notice.series.patient.patient_id.strip()
    )
    if evidence.text("StudyInstanceUID") != notice.series.study_uid or not is_patient:
        raise Fatal("the file that a notice takes its patient from is of another patient or study")
    return evidence


def reference(notice: Notice, wanted: ObjectReference) -> Dataset:
    """As much of an object in the study of ``notice`` as the libraries ask for to refer to it: identifiers alone."""
    item = _blank(str(notice.series.study_uid))
    item.SeriesInstanceUID = str(wanted.series_uid)
    item.SOPClassUID, item.SOPInstanceUID = wanted.sop_class_uid, str(wanted.uid)
    return item


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


def _evidence(header: Dataset, images: dict[int, Dataset], correction: Correction) -> Evidence:
    """``header`` must not have been looked into: a value that was decoded is no longer what the source wrote."""
    declared = header.get("SpecificCharacterSet") or ()
    corrected = {Tag(keyword): text for keyword, text in correction.items() if text is not None}
    characters = CharacterSet((declared,) if isinstance(declared, str) else tuple(declared)).holding(
        "".join(corrected.values())
    )
    absent = {Tag(keyword) for keyword, text in correction.items() if text is None}
    identity = {tag: value for tag, value in _identity(header).items() if tag not in absent}
    return Evidence(images, identity, characters, corrected)


def _read(report: Report, index: int) -> Dataset:
    header = _header(_path(report, index), f"the file of slice {index}")
    if header.get("SOPInstanceUID") != report.volume.instance_uids[index]:
        raise Fatal(f"the file of slice {index} is of another image: the report's series and volume differ in order")
    return header


def _header(path: Path, what: str) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=[*_IMAGE, *COPIED])
    except OSError as error:
        raise Retryable(f"{what} cannot be read: {error.strerror}") from error
    except InvalidDicomError as error:
        raise Fatal(f"{what} is not DICOM") from error


def _neutral(header: Dataset, report: Report) -> Dataset:
    image = _blank(str(report.series.study_uid))
    for keyword in _IMAGE:
        if keyword in header:
            image[keyword] = header[keyword]
    spacing = round(report.volume.geometry.spacing_xyz_mm[2], 6)
    image.SpacingBetweenSlices = spacing
    if image.get("SliceThickness") is None:  # type 2 in CT, type 1 in a segmentation
        image.SliceThickness = spacing
    return image


def _blank(study_uid: str) -> Dataset:
    """A patient and a study with nothing but the study's identifier: the libraries must not reinterpret text."""
    blank = Dataset()
    for keyword in _MANDATORY:
        setattr(blank, keyword, "")
    blank.StudyInstanceUID = study_uid
    return blank


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
