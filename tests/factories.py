"""CT series made to order: small, legal, and wrong in exactly the way that a test asks for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
)

from node.dicom.reading import instance_from
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.identifiers import AeTitle, InstanceUID, SeriesUID, StudyUID
from node.domain.imaging import Instance, PatientIdentity, Series
from node.domain.intake import ReceivedInstance
from node.domain.lifecycle import Step
from node.domain.reporting import ObjectKind, ReportedNumber, ReportObject
from node.store.jobs import EndedStep, StepRecord

STUDY = StudyUID("2.25.7001")
SERIES = SeriesUID("2.25.7002")
FRAME = "2.25.7003"
PATIENT = PatientIdentity("PAT-1", "HOSPITAL", "Made^Up", "19600101", "F")


def ct_slice(index: int = 0, *, series: str = SERIES, rows: int = 16, columns: int = 20, **changes: Any) -> Dataset:
    """One axial CT image, 2 mm above the one before; ``changes`` set attributes by keyword, None deletes them."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = InstanceUID.derived("test", series, str(index))
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = STUDY, series, FRAME
    image.PatientID, image.IssuerOfPatientID, image.PatientName = PATIENT.patient_id, PATIENT.issuer, PATIENT.name
    image.PatientBirthDate, image.PatientSex = PATIENT.birth_date, PATIENT.sex
    image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = "20240506", "070809", "1", "ACC-1"
    image.ReferringPhysicianName = ""
    image.Modality, image.Manufacturer = "CT", "Scanner"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SeriesNumber, image.InstanceNumber = 3, index + 1
    image.ImagePositionPatient = [-10.0, -8.0, 100.0 + 2.0 * index]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.8, 0.8], 2.0
    image.Rows, image.Columns = rows, columns
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
    pixels = np.random.default_rng(index).integers(1000, 1200, (rows, columns), dtype=np.uint16)
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    return with_meta(image)


def ct_slices(count: int = 6, **changes: Any) -> list[Dataset]:
    """A whole series, from the lowest slice up."""
    return [ct_slice(index, **changes) for index in range(count)]


def with_meta(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """The data set with the file meta information that belongs to it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta = meta
    return dataset


def as_file(dataset: Dataset) -> bytes:
    """The data set as the bytes of a DICOM file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(datasets: Sequence[Dataset], folder: Path) -> list[Path]:
    """The data sets as files, one each, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.dcm" for number in range(len(datasets))]
    for dataset, path in zip(datasets, paths, strict=True):
        path.write_bytes(as_file(dataset))
    return paths


def instance(dataset: Dataset, **changes: Any) -> Instance:
    """The domain value of a data set; ``changes`` replace its fields."""
    made = instance_from(dataset, str(dataset.file_meta.TransferSyntaxUID))
    return replace(made, **changes)


def series_of(datasets: Sequence[Dataset]) -> Series:
    """The domain value of a series."""
    made = tuple(instance(dataset) for dataset in datasets)
    return Series(made[0].series_uid, made[0].study_uid, made[0].patient, made[0].modality, made)


def received(dataset: Dataset, calling_ae: str = "PACS", address: str = "127.0.0.1") -> ReceivedInstance:
    """A data set as it comes through the door."""
    return ReceivedInstance(instance(dataset), as_file(dataset), AeTitle(calling_ae), address)


CONTOURS = SeriesUID("2.25.7004")
DOCUMENTS = SeriesUID("2.25.7005")


def received_contour(*references: SeriesUID, series: str = CONTOURS, index: int = 0) -> ReceivedInstance:
    """A contour object that references ``references``, as the store sees it; its bytes are not those of a SEG."""
    dataset = ct_slice(index, series=series, Modality="SEG")
    return replace(received(dataset), instance=instance(dataset, references=references))


def event(action: AuditAction = AuditAction.COMPOSED, **changes: Any) -> AuditEvent:
    """Something for the audit trail."""
    made = AuditEvent(datetime.now(UTC), "tester", action, AuditOutcome.SUCCESS)
    return replace(made, **changes)


def report_object(name: str = "a", kind: ObjectKind = ObjectKind.SUMMARY) -> ReportObject:
    """A result object whose UID and bytes follow from ``name``."""
    uid = InstanceUID.derived("result", name)
    series = SeriesUID.derived("result series", kind.name)
    numbers = (ReportedNumber("p", 0.25), ReportedNumber("volume", 3.5, "mL"))
    return ReportObject(kind, uid, "1.2.840.10008.5.1.4.1.1.7", series, "Celadon", f"bytes of {name}".encode(), numbers)


def step_record(step: Step = Step.COMPOSE, **changes: Any) -> StepRecord:
    """A step that ran for half a second."""
    return replace(StepRecord(step, datetime.now(UTC), 0.5, AuditOutcome.SUCCESS, {"objects": 1}), **changes)


def ended() -> EndedStep:
    """A step that has ended, and what the audit trail is told of it."""
    return EndedStep(step_record(), (event(),))


def structure_set(*references: str, series: str = CONTOURS, index: int = 0, **changes: Any) -> Dataset:
    """An RTSTRUCT that references ``references`` and marks a square lesion of the pancreas on the third slice."""
    dataset = ct_slice(index, series=series, SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT", **changes)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "ImageType"):
        delattr(dataset, keyword)
    dataset.StructureSetDate, dataset.StructureSetTime = "20240506", "080000"
    frame, study, contour, drawn, roi, observation = (Dataset() for _ in range(6))
    study.RTReferencedSeriesSequence = Items([])
    for uid in references:
        study.RTReferencedSeriesSequence.append(Dataset())
        study.RTReferencedSeriesSequence[-1].SeriesInstanceUID = uid
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, Items([study])
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
    contour.ContourData = [-8, -6, 104, -4, -6, 104, -4, -2, 104, -8, -2, 104]
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, Items([contour])
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "Pancreas tumour", FRAME
    observation.ReferencedROINumber, observation.RTROIInterpretedType = 1, "GTV"
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Items([roi]), Items([drawn])
    dataset.RTROIObservationsSequence = Items([observation])
    return with_meta(dataset)


def vital_signs(
    *measured: tuple[str, str, str, str], series: str = DOCUMENTS, index: int = 0, moment: str = "", **changes: Any
) -> Dataset:
    """A structured report that measures ``(code, scheme, number, UCUM unit)``, two containers deep."""
    dataset = ct_slice(index, series=series, SOPClassUID=EnhancedSRStorage, Modality="SR")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "ImageType", "PixelSpacing"):
        delattr(dataset, keyword)
    dataset.ContentDate, dataset.ContentTime = "20240506", "080000"
    dataset.CompletionFlag, dataset.VerificationFlag, dataset.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
    group = Dataset()
    group.RelationshipType, group.ValueType, group.ContentSequence = "CONTAINS", "CONTAINER", Items([])
    if moment:
        group.ObservationDateTime = moment
    for code, scheme, number, unit in measured:
        item, value = Dataset(), Dataset()
        item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
        item.ConceptNameCodeSequence = Items([_code(code, scheme)])
        value.NumericValue, value.MeasurementUnitsCodeSequence = number, Items([_code(unit, "UCUM")])
        item.MeasuredValueSequence = Items([value])
        group.ContentSequence.append(item)
    dataset.ContentSequence = Items([group])
    for keyword, changed in changes.items():
        setattr(dataset, keyword, changed)
    return with_meta(dataset)


def verdict_document(
    about: Sequence[str],
    *verdicts: str,
    observers: Sequence[str] = ("Jones^Anna",),
    own_class: tuple[str, str] | None = None,
    comment: str = "",
    modality: str = "SR",
    series: str = DOCUMENTS,
    index: int = 0,
    **changes: Any,
) -> Dataset:
    """What a radiologist stores about our results: codes of 99CELADON in an Enhanced SR, or a KOS (``modality`` KO)."""
    dataset = vital_signs(series=series, index=index)
    dataset.Modality = modality
    if modality == "KO":
        dataset.SOPClassUID = KeyObjectSelectionDocumentStorage
        del dataset.CompletionFlag, dataset.VerificationFlag
    group = dataset.ContentSequence[0].ContentSequence
    for name in observers:
        group.append(_item("PNAME", ("121008", "DCM"), PersonName=name))
    for code in verdicts:
        group.append(_item("CODE", ("VERDICT", "99CELADON"), ConceptCodeSequence=Items([_code(code, "99CELADON")])))
    if own_class:
        group.append(_item("CODE", ("OWN_CLASS", "99CELADON"), ConceptCodeSequence=Items([_code(*own_class)])))
    if comment:
        group.append(_item("TEXT", ("113012" if modality == "KO" else "121106", "DCM"), TextValue=comment))
    study, referenced = Dataset(), Dataset()
    study.StudyInstanceUID, referenced.SeriesInstanceUID = dataset.StudyInstanceUID, "2.25.5550"
    referenced.ReferencedSOPSequence = Items([])
    for uid in about:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CTImageStorage, uid
        referenced.ReferencedSOPSequence.append(one)
    study.ReferencedSeriesSequence = Items([referenced])
    dataset.CurrentRequestedProcedureEvidenceSequence = Items([study])
    for keyword, changed in changes.items():
        setattr(dataset, keyword, changed)
    return with_meta(dataset)


def _item(kind: str, name: tuple[str, str], **values: Any) -> Dataset:
    """A content item."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", kind, Items([_code(*name)])
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _code(value: str, scheme: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, "Meaning"
    return code
