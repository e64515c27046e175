"""Locate the ROI: ask the configured segmenters in order for a lesion in an organ that some predictor handles."""

from collections.abc import Sequence

from node.dicom.sandbox import Decoder
from node.domain.coding import Anatomy
from node.domain.identifiers import MANUFACTURER
from node.domain.imaging import Annotation, Instance, Roi, Series, Volume
from node.domain.ports import Segmenter
from node.domain.reasons import ReasonCode
from node.errors import Refused
from workers.stored import stored_file


def read_annotations(instances: Sequence[Instance], series: Series, decoder: Decoder) -> tuple[Annotation, ...]:
    """The contours among ``instances`` that are about this series: same patient, same study, not made by Celadon.

    Raises:
        Refused: one of them cannot be read.
        Quarantined: a stored file is gone.
    """
    found = []
    for instance in instances:
        if instance.patient.key() != series.patient.key() or instance.study_uid != series.study_uid:
            # A contour that claims this series but another patient is never used.
            continue
        if instance.attributes.get("Manufacturer") == MANUFACTURER:
            continue
        found.append(decoder.read_annotation(stored_file(instance)))
    return tuple(found)


def locate_roi(
    volume: Volume, annotations: Sequence[Annotation], segmenters: Sequence[tuple[Segmenter, Sequence[Anatomy]]]
) -> Roi:
    """The largest lesion that the first segmenter with an answer finds; each is asked about the organs beside it.

    Raises:
        Refused: no lesion was found, or what was found cannot be right.
    """
    for segmenter, organs in segmenters:
        if found := segmenter.locate(volume, annotations, organs):
            return found[0]
    raise Refused(ReasonCode.ROI_NOT_FOUND)
