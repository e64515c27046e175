"""What a fetched result object says, read back from its DICOM file alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

_KINDS: Final = {
    SecondaryCaptureImageStorage: "secondary capture",
    SegmentationStorage: "segmentation",
    Comprehensive3DSRStorage: "structured report",
    ParametricMapStorage: "parametric map",
}
_UNITLESS: Final = frozenset({"1", "{count}"})
_IMAGE_LIBRARY: Final = "111028"
"""DCM Image Library: numbers about the images, not about the patient."""
_OWN_SCHEME: Final = "99CELADON"


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One object that came back."""

    kind: str
    series_description: str
    sop_instance_uid: str
    series_uid: str
    instance_number: int
    patient_id: str
    path: Path
    numbers: dict[str, str] = field(default_factory=dict)
    """Numbers and coded conclusions inside, by name."""


def read_result(path: Path) -> ResultObject:
    """The object in ``path``."""
    dataset = dcmread(path)
    return ResultObject(
        kind=_KINDS.get(dataset.SOPClassUID, str(dataset.SOPClassUID.name)),
        series_description=str(dataset.get("SeriesDescription", "")),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_uid=str(dataset.SeriesInstanceUID),
        instance_number=int(dataset.get("InstanceNumber") or 0),
        patient_id=str(dataset.PatientID),
        path=path,
        numbers=_numbers(dataset),
    )


def save_picture(path: Path, picture: Path) -> None:
    """Write the pixels of the secondary capture in ``path`` as a PNG."""
    Image.fromarray(dcmread(path).pixel_array).save(picture)


def _numbers(dataset: Dataset) -> dict[str, str]:
    if dataset.SOPClassUID == SegmentationStorage:
        segments = ", ".join(str(segment.SegmentLabel) for segment in dataset.SegmentSequence)
        return {"segments": segments, "frames": str(dataset.NumberOfFrames)}
    if dataset.SOPClassUID == ParametricMapStorage:
        meaning = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].LUTExplanation
        return {"map": str(meaning), "frames": str(dataset.NumberOfFrames)}
    if dataset.SOPClassUID == SecondaryCaptureImageStorage:
        return {"pixels": f"{dataset.Columns} x {dataset.Rows}"}
    return dict(_content(dataset))


def _content(item: Dataset) -> Iterator[tuple[str, str]]:
    """The numbers and our own coded conclusions in a content tree (PS3.3 section C.17.3)."""
    for child in item.get("ContentSequence", ()):
        names = child.get("ConceptNameCodeSequence")
        if names and names[0].get("CodeValue") == _IMAGE_LIBRARY:
            continue
        name = str(names[0].CodeMeaning) if names else ""
        if child.ValueType == "NUM" and child.MeasuredValueSequence:
            value = child.MeasuredValueSequence[0]
            unit = str(value.MeasurementUnitsCodeSequence[0].CodeValue)
            yield name, f"{value.NumericValue}{'' if unit in _UNITLESS else ' ' + unit}"
        elif child.ValueType == "CODE" and names and names[0].CodingSchemeDesignator == _OWN_SCHEME:
            yield name, str(child.ConceptCodeSequence[0].CodeMeaning)
        yield from _content(child)
