"""What the delivered objects of a study say: read from the DICOM files that the archive gave, and from nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

_SCHEME: Final = "99CELADON"
_FINDING_SITE: Final = "363698007"
_CATEGORIES: Final = {"1228889001": 1, "1228929004": 2, "1228938002": 3, "1228944003": 4}
"""AJCC cT1 to cT4 (SNOMED CT)."""
_PER_CENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class Report:
    """A structured report, as far as a trial asks."""

    organ: str
    probabilities: dict[str, float]
    """By the value of the private code: ``P_NTR_HIGH``, ``P_T1`` …; 0 to 1."""
    ntr_high: bool | None = None
    t_stage: int | None = None
    phase: str = ""
    region_source: str = ""
    further_lesions: int = 0
    parameters: tuple[str, ...] = field(default=())


def read_report(paths: Sequence[Path]) -> Report | None:
    """The structured report among the objects of a study; None when there is none."""
    for path in paths:
        dataset = dcmread(path)
        if dataset.SOPClassUID == Comprehensive3DSRStorage:
            return _report(dataset)
    return None


def _report(dataset: Dataset) -> Report:
    probabilities: dict[str, float] = {}
    codes: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    organ = ""
    for item in _items(dataset):
        name = item.ConceptNameCodeSequence[0] if item.get("ConceptNameCodeSequence") else None
        if name is None:
            continue
        if item.ValueType == "NUM" and name.CodingSchemeDesignator == _SCHEME and item.get("MeasuredValueSequence"):
            probabilities[_value(name)] = float(item.MeasuredValueSequence[0].NumericValue) / _PER_CENT
        elif item.ValueType == "CODE" and _value(name) == _FINDING_SITE:
            organ = str(item.ConceptCodeSequence[0].CodeMeaning).lower()
        elif item.ValueType == "CODE" and name.CodingSchemeDesignator == _SCHEME:
            codes[_value(name)] = _value(item.ConceptCodeSequence[0])
        elif item.ValueType == "TEXT":
            texts.setdefault(_value(name), []).append(str(item.TextValue))
    called = codes.get("NTR_CLASS")
    return Report(
        organ=organ,
        probabilities=probabilities,
        ntr_high=None if called is None else called == "NTR_HIGH",
        t_stage=_CATEGORIES.get(codes.get("PREDICTED_CT", "")),
        phase=texts.get("PHASE", [""])[0].partition(";")[0],
        region_source=texts.get("REGION_SOURCE", [""])[0],
        further_lesions=len(texts.get("FURTHER_LESION", ())),
        parameters=tuple(texts.get("111002", ())),
    )


def _value(code: Dataset) -> str:
    """Code Value, or where that is too short for it, Long Code Value (PS3.3 section 8.1)."""
    return str(code.get("CodeValue") or code.get("LongCodeValue", ""))


def _items(item: Dataset) -> Iterator[Dataset]:
    """The content tree, depth first (PS3.3 section C.17.3)."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _items(child)


def read_region(paths: Sequence[Path], slices: Sequence[Path]) -> npt.NDArray[np.bool_] | None:
    """The segmentation among the objects, [slice, row, column] over the images in ``slices``; None without one.

    Each frame is put where the image lies that it says it was derived from (PS3.3 section C.7.6.16.2.6).
    """
    found = next((one for one in map(dcmread, paths) if one.SOPClassUID == SegmentationStorage), None)
    if found is None:
        return None
    place = {dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID: k for k, path in enumerate(slices)}
    mask = np.zeros((len(slices), found.Rows, found.Columns), dtype=np.bool_)
    frames = np.atleast_3d(found.pixel_array).reshape(-1, found.Rows, found.Columns)
    for frame, groups in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        mask[place[source]] |= frame.astype(bool)
    return mask


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks; 0 of two empty ones."""
    together = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / together if together else 0.0
