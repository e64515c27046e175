"""The envelope: what every result object shares, put on once the content is written, and the finished file."""

from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MANUFACTURER
from node.domain.reporting import Notice, ObjectKind, Report, ReportedNumber, ReportObject
from node.reports.evidence import Evidence
from node.reports.identity import MODEL, contributing_equipment, qualification, serial_number
from node.reports.naming import instance_uid, notice_description, series_description, series_uid


def arguments(report: Report, kind: ObjectKind, index: int = 0) -> dict[str, Any]:
    """The keyword arguments that highdicom's constructors share."""
    return _shared(report, kind, index) | {
        "device_serial_number": serial_number(report.algorithm),
        "series_description": series_description(report, kind),
        "content_qualification": qualification(report.algorithm),
    }


def notice_arguments(notice: Notice, kind: ObjectKind) -> dict[str, Any]:
    """The same for an object of a notice, which no algorithm made."""
    return _shared(notice, kind, 0) | {"series_description": notice_description(notice, kind)}


def _shared(report: Report | Notice, kind: ObjectKind, index: int) -> dict[str, Any]:
    return {
        "series_instance_uid": series_uid(report, kind),
        "series_number": kind.series_number + report.version,
        "sop_instance_uid": instance_uid(report, kind, index),
        "instance_number": index + 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": report.node_version,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "specific_character_set": None,
    }


def seal(
    dataset: Dataset,
    report: Report | Notice,
    evidence: Evidence,
    kind: ObjectKind,
    numbers: tuple[ReportedNumber, ...] = (),
) -> ReportObject:
    """Stamp the patient, the study, the times and the equipment on ``dataset`` and encode it.

    Everything that the library took from the clock is overwritten: the same report gives the same bytes.
    """
    dataset.ContributingEquipmentSequence = [contributing_equipment(report)]
    evidence.stamp(dataset)
    _fix_times(dataset, report, evidence)
    return ReportObject(
        kind=kind,
        uid=instance_uid(report, kind, int(dataset.InstanceNumber) - 1),
        sop_class_uid=str(dataset.SOPClassUID),
        series_uid=series_uid(report, kind),
        series_description=str(dataset.SeriesDescription),
        content=_encode(dataset),
        numbers=numbers,
    )


def _fix_times(dataset: Dataset, report: Report | Notice, evidence: Evidence) -> None:
    moment = evidence.local(report.fixed_at)
    date, time = DA(moment.strftime("%Y%m%d")), TM(moment.strftime("%H%M%S"))
    for name in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{name}Date", date)
        setattr(dataset, f"{name}Time", time)
    if "DateOfSecondaryCapture" in dataset:
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = date, time
    if "TimezoneOffsetFromUTC" not in dataset and moment.tzinfo is not None:
        dataset.TimezoneOffsetFromUTC = moment.strftime("%z")


def _encode(dataset: Dataset) -> bytes:
    """The PS3.10 file in Explicit VR Little Endian, with file meta information that names Celadon."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True, overwrite=True)
    return file.getvalue()
