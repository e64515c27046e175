"""Locate the ROI: ask the configured segmenters in order for a lesion in an organ that some predictor handles."""

from collections.abc import Iterable, Sequence

from node.dicom.sandbox import Decoder
from node.domain.coding import Anatomy
from node.domain.identifiers import MANUFACTURER
from node.domain.imaging import Annotation, Instance, Roi, Series, Volume
from node.domain.ports import Segmenter
from node.domain.reasons import ReasonCode
from node.errors import Refused
from workers.stored import stored_file


def read_annotations(instances: Sequence[Instance], series: Series, decoder: Decoder) -> tuple[Annotation, ...]:
    """The contours among ``instances`` that are about this series, as ``usable`` says.

    Raises:
        Refused: one of them cannot be read.
        Quarantined: a stored file is gone.
    """
    return tuple(decoder.read_annotation(stored_file(instance)) for instance in usable(instances, series))


def usable(instances: Iterable[Instance], series: Series) -> tuple[Instance, ...]:
    """Those contour objects that may speak for this series: same patient, same study, not made by Celadon.

    One that claims this series but another patient is never used.
    """
    return tuple(
        instance
        for instance in instances
        if instance.patient.key() == series.patient.key()
        and instance.study_uid == series.study_uid
        and instance.attributes.get("Manufacturer") != MANUFACTURER
    )


def locate_roi(
    volume: Volume, annotations: Sequence[Annotation], segmenters: Sequence[tuple[Segmenter, Sequence[Anatomy]]]
) -> Roi:
    """The lesion that the first segmenter with an answer puts first; each is asked about the organs beside it.

    Contours of organs alone say nothing about lesions: the next segmenter is asked, and when none has an answer, theirs
    is the reason.

    Raises:
        Refused: no lesion was found, or what was found cannot be right.
    """
    silent = Refused(ReasonCode.ROI_NOT_FOUND)
    for segmenter, organs in segmenters:
        try:
            found = segmenter.locate(volume, annotations, organs)
        except Refused as exc:
            if exc.reason.code is not ReasonCode.ROI_NO_LESION:
                raise
            silent = exc
            continue
        if found:
            return found[0]
    raise silent
