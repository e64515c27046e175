"""CT images without the patient: the Basic Application Level Confidentiality Profile of PS3.15 annex E, by allow-list.

Table E.1-1 says what must go, and grows with every edition; what it does not know yet, or a vendor has put where nobody
looks, would stay. So here it is said what stays, and everything else goes: private attributes, sequences, descriptions,
times of day, equipment and people. Options taken: "Retain Longitudinal Temporal Information with Modified Dates"
(section E.3.6). Descriptors are not cleaned but removed. Pixels are not looked at: an image that may have text in them
is not exported (section E.3.1 would need a person), and compressed ones are decompressed, since a codestream may carry
comments.

Libraries that were looked at: dicom-anonymizer (BSD) has table E.1-1 and judges this module in its tests, but replaces
UIDs at random and dates by a constant; deid (MIT) asks for a recipe of one's own; dicognito (MIT) follows no profile;
idiscore follows it and is GPL.
"""

from datetime import date
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from node.domain.clinical_matching import dicom_day
from node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.domain.pseudonyms import PatientKey, Pseudonyms

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"

KEPT: Final = (
    "SOPClassUID", "ImageType", "Modality", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelSpacing",
    "RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth", "SliceThickness",
    "SpacingBetweenSlices", "SliceLocation", "ImagePositionPatient", "ImageOrientationPatient", "PatientPosition",
    "KVP", "XRayTubeCurrent", "ExposureTime", "Exposure", "ConvolutionKernel", "GantryDetectorTilt",
    "ReconstructionDiameter", "BodyPartExamined", "SeriesNumber", "AcquisitionNumber", "InstanceNumber",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "BurnedInAnnotation",
    "PixelData",
)  # fmt: skip
"""What the geometry, the meaning of a pixel and the physics of the scan need; nothing that says who or where."""
UIDS: Final = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
EMPTY: Final = (
    "PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "PositionReferenceIndicator", "Manufacturer",
)  # fmt: skip
"""Type 2 of the CT Image IOD (PS3.3 section A.3): there, without a value."""
METHOD: Final = "Celadon: PS3.15 annex E Basic Profile by allow-list, dates moved, UIDs and names keyed"
_PROFILE_CODES: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
"""PS3.16 CID 7050."""


class NotExported(Exception):
    """An image that cannot leave; the text is a code."""


def deidentify(path: Path, patient: PatientKey, pseudonyms: Pseudonyms) -> Dataset:
    """The image in the file ``path`` without the patient, uncompressed and ready to be written.

    Raises:
        NotExported: NOT_ORIGINAL_CT, BURNED_IN or UNDECODABLE.
    """
    source = dcmread(path)
    _require_exportable(source)
    try:
        if source.file_meta.TransferSyntaxUID.is_compressed:
            source.decompress(generate_instance_uid=False)
        elif not source.file_meta.TransferSyntaxUID.is_little_endian:
            raise NotExported("UNDECODABLE")  # its pixels would have to be swapped
        made = _stripped(source, patient, pseudonyms)
    except (ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError) as exc:
        raise NotExported("UNDECODABLE") from exc
    return made


def _require_exportable(source: Dataset) -> None:
    kind = [str(word).upper() for word in source.get("ImageType") or ()]
    if source.get("SOPClassUID") != CT_IMAGE_STORAGE or kind[:2] != ["ORIGINAL", "PRIMARY"]:
        raise NotExported("NOT_ORIGINAL_CT")
    if str(source.get("BurnedInAnnotation", "")).upper() == "YES":
        raise NotExported("BURNED_IN")


def _stripped(source: Dataset, patient: PatientKey, pseudonyms: Pseudonyms) -> Dataset:
    made = Dataset()
    for keyword in KEPT:
        if keyword in source:
            made.add(source[keyword])
    for keyword in UIDS:
        if source.get(keyword):
            setattr(made, keyword, pseudonyms.uid(str(source.get(keyword))))
    for keyword in EMPTY:
        setattr(made, keyword, "")
    made.StudyDate = ""
    for keyword in DATES:
        day: date | None = dicom_day(str(source.get(keyword, "")))
        if day is not None:
            setattr(made, keyword, f"{pseudonyms.moved(day, patient):%Y%m%d}")
    made.PatientID = pseudonyms.patient(patient)
    made.PatientName = pseudonyms.patient(patient)
    made.PatientIdentityRemoved, made.LongitudinalTemporalInformationModified = "YES", "MODIFIED"
    made.DeidentificationMethod = [METHOD[:64], METHOD[64:]] if len(METHOD) > 64 else METHOD  # noqa: PLR2004 — VR LO
    made.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in _PROFILE_CODES])
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = (
        UID(CT_IMAGE_STORAGE),
        UID(made.SOPInstanceUID),
    )
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return made


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
