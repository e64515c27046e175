"""Measurements in DICOM structured reports: every numeric item with what it names, its unit and its time.

Any template is read: TID 1500 measurement reports, TID 1007 and 3602 subject characteristics, vital signs of
modalities. What counts is the concept name of each NUM item (PS3.3 section C.17.3.2.1, C.18.1); where it stands in the
tree does not. Which of them are clinical variables is for ``node.clinical`` to say.
"""

from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.documents import items, patient_of, read_document, sequence, text
from node.domain.clinical_intake import Measurement, MeasurementDocument
from node.domain.coding import Code
from node.domain.identifiers import InstanceUID

MOST_MEASUREMENTS: Final = 1000
_LONGEST: Final = 64


def read_measurements(path: Path) -> MeasurementDocument:
    """The measurements in the structured report in the file ``path``; none when it has none.

    Raises Refused (DOCUMENT_UNREADABLE) when the content is broken, Retryable when the file cannot be read.
    """
    return read_document(path, _document)


def _document(dataset: Dataset) -> MeasurementDocument:
    moment = text(dataset, "ContentDate") + text(dataset, "ContentTime")
    found = []
    for item, observed in items(dataset, moment, 0):
        if text(item, "ValueType") == "NUM" and (measured := _measured(item, observed)) is not None:
            found.append(measured)
        if len(found) == MOST_MEASUREMENTS:
            break
    return MeasurementDocument(
        InstanceUID(str(dataset.SOPInstanceUID)),
        patient_of(dataset),
        # Preliminary Flag (0040,A496) may be absent: then the document is what its completion says (section C.17.2).
        is_final=text(dataset, "CompletionFlag") == "COMPLETE" and text(dataset, "PreliminaryFlag") != "PRELIMINARY",
        measurements=tuple(found),
    )


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
