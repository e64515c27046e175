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

# What pydicom raises on content that is not what it claims to be.
_BROKEN: Final = (
    InvalidDicomError, BytesLengthException, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OverflowError, RecursionError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip


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
    except _BROKEN as exc:
        raise Refused(ReasonCode.DOCUMENT_UNREADABLE, type(exc).__name__) from exc


def _document(dataset: Dataset) -> MeasurementDocument:
    patient = PatientIdentity(
        _text(dataset, "PatientID"),
        _text(dataset, "IssuerOfPatientID"),
        _text(dataset, "PatientName"),
        _text(dataset, "PatientBirthDate"),
        _text(dataset, "PatientSex"),
    )
    moment = _text(dataset, "ContentDate") + _text(dataset, "ContentTime")
    found = []
    for item, observed in _items(dataset, moment, 0):
        if _text(item, "ValueType") == "NUM" and (measured := _measured(item, observed)) is not None:
            found.append(measured)
        if len(found) == MOST_MEASUREMENTS:
            break
    return MeasurementDocument(
        InstanceUID(str(dataset.SOPInstanceUID)),
        patient,
        # Preliminary Flag (0040,A496) may be absent: then the document is what its completion says (section C.17.2).
        is_final=_text(dataset, "CompletionFlag") == "COMPLETE" and _text(dataset, "PreliminaryFlag") != "PRELIMINARY",
        measurements=tuple(found),
    )


def _items(parent: Dataset, moment: str, depth: int) -> Iterator[tuple[Dataset, str]]:
    """Every content item with the moment that it, or the nearest item above it, was observed at."""
    if depth > DEEPEST:
        return
    for item in _sequence(parent, "ContentSequence")[:MOST_ITEMS]:
        observed = _text(item, "ObservationDateTime") or moment
        yield item, observed
        yield from _items(item, observed, depth + 1)


def _measured(item: Dataset, moment: str) -> Measurement | None:
    names, values = _sequence(item, "ConceptNameCodeSequence"), _sequence(item, "MeasuredValueSequence")
    if len(names) != 1 or len(values) != 1:
        return None
    units = _sequence(values[0], "MeasurementUnitsCodeSequence")
    number = values[0].get("NumericValue")
    if number is None or isinstance(number, list | tuple):
        return None
    code = Code(_text(names[0], "CodeValue"), _text(names[0], "CodingSchemeDesignator"), _text(names[0], "CodeMeaning"))
    unit = _text(units[0], "CodeValue") if units and _text(units[0], "CodingSchemeDesignator") == "UCUM" else ""
    return Measurement(code, str(number)[:_LONGEST], unit, moment[:_LONGEST])


def _sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    value: Any = dataset.get(keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()
