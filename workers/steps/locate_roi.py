"""Locate the ROI: ask the configured segmenters in order for a lesion in an organ that some predictor handles."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from node.dicom.annotations import read_annotation
from node.domain.coding import Anatomy
from node.domain.identifiers import MANUFACTURER
from node.domain.imaging import Annotation, Instance, Roi, Series, Volume
from node.domain.ports import Segmenter
from node.domain.reasons import ReasonCode
from node.errors import Refused


def read_annotations(instances: Sequence[Instance], series: Series) -> tuple[Annotation, ...]:
    """The contours among ``instances`` that are about this series: same patient, same study, not made by Celadon.

    Raises:
        Refused: one of them cannot be read.
    """
    found = []
    for instance in instances:
        if instance.patient.key() != series.patient.key() or instance.study_uid != series.study_uid:
            # A contour that claims this series but another patient is never used.
            continue
        if instance.attributes.get("Manufacturer") == MANUFACTURER or instance.path is None:
            continue
        found.append(read_annotation(instance.path))
    return tuple(found)


def locate_roi(
    volume: Volume, annotations: Sequence[Annotation], segmenters: Mapping[Anatomy, Sequence[Segmenter]]
) -> Roi:
    """The largest lesion that the first segmenter with an answer finds.

    Raises:
        Refused: no lesion was found, or what was found cannot be right.
    """
    found: list[Roi] = []
    for anatomy, asked in segmenters.items():
        for segmenter in asked:
            if rois := segmenter.locate(volume, annotations, (anatomy,)):
                found.extend(rois)
                break
    if not found:
        raise Refused(ReasonCode.ROI_NOT_FOUND)
    largest = max(found, key=lambda roi: roi.volume_ml)
    elsewhere = tuple(roi.label for roi in found if roi.anatomy is not largest.anatomy)
    return replace(largest, others=tuple(dict.fromkeys((*largest.others, *elsewhere))))
