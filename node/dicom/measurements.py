"""Measurements in DICOM structured reports: every numeric item with what it names, its unit and its time.

Any template is read: TID 1500 measurement reports, TID 1007 and 3602 subject characteristics, vital signs of
modalities. What counts is the concept name of each NUM item (PS3.3 section C.17.3.2.1, C.18.1); where it stands in the
tree does not. Which of them are clinical variables is for ``node.clinical`` to say.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.domain.clinical_intake import Measurement, MeasurementDocument
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID
from node.domain.imaging import PatientIdentity
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable

MOST_MEASUREMENTS: Final = 1000
MOST_ITEMS: Final = 50_000
DEEPEST: Final = 32
_LONGEST: Final = 64

BROKEN: Final = (
    InvalidDicomError, BytesLengthException, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OverflowError, RecursionError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What pydicom raises on content that is not what it claims to be."""


def read_measurements(path: Path) -> MeasurementDocument:
    """The measurements in the structured report in the file ``path``; none when it has none.

    Raises Refused (DOCUMENT_UNREADABLE) when the content is broken, Retryable when the file cannot be read.
    """
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise Refused(ReasonCode.DOCUMENT_UNREADABLE, "deflated objects are not read")
        return _document(dcmread(path, stop_before_pixels=True))
    except OSError as exc:
        raise Retryable(f"a stored document cannot be read: {exc.strerror}") from exc
    except BROKEN as exc:
        raise Refused(ReasonCode.DOCUMENT_UNREADABLE, type(exc).__name__) from exc


def _document(dataset: Dataset) -> MeasurementDocument:
    patient = PatientIdentity(
        text(dataset, "PatientID"),
        text(dataset, "IssuerOfPatientID"),
        text(dataset, "PatientName"),
        text(dataset, "PatientBirthDate"),
        text(dataset, "PatientSex"),
    )
    moment = text(dataset, "ContentDate") + text(dataset, "ContentTime")
    found = []
    for item, observed in items(dataset, moment, 0):
        if text(item, "ValueType") == "NUM" and (measured := _measured(item, observed)) is not None:
            found.append(measured)
        if len(found) == MOST_MEASUREMENTS:
            break
    return MeasurementDocument(
        InstanceUID(str(dataset.SOPInstanceUID)),
        patient,
        # Preliminary Flag (0040,A496) may be absent: then the document is what its completion says (section C.17.2).
        is_final=text(dataset, "CompletionFlag") == "COMPLETE" and text(dataset, "PreliminaryFlag") != "PRELIMINARY",
        measurements=tuple(found),
    )


def items(parent: Dataset, moment: str, depth: int) -> Iterator[tuple[Dataset, str]]:
    """Every content item with the moment that it, or the nearest item above it, was observed at."""
    if depth > DEEPEST:
        return
    for item in sequence(parent, "ContentSequence")[:MOST_ITEMS]:
        observed = text(item, "ObservationDateTime") or moment
        yield item, observed
        yield from items(item, observed, depth + 1)


def _measured(item: Dataset, moment: str) -> Measurement | None:
    names, values = sequence(item, "ConceptNameCodeSequence"), sequence(item, "MeasuredValueSequence")
    if len(names) != 1 or len(values) != 1:
        return None
    units = sequence(values[0], "MeasurementUnitsCodeSequence")
    number = values[0].get("NumericValue")
    if number is None or isinstance(number, list | tuple):
        return None
    code = Code(text(names[0], "CodeValue"), text(names[0], "CodingSchemeDesignator"), text(names[0], "CodeMeaning"))
    unit = text(units[0], "CodeValue") if units and text(units[0], "CodingSchemeDesignator") == "UCUM" else ""
    return Measurement(code, str(number)[:_LONGEST], unit, moment[:_LONGEST])


def sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where it is missing or something else."""
    value: Any = dataset.get(keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def text(dataset: Dataset, keyword: str) -> str:
    """A value as text without spaces around; empty where it is missing."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
