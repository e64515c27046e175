"""Find the lesion: locate the ROI, and where there is none, ask whether the series is of the right phase at all."""

from collections.abc import Sequence

from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Roi, Series, Volume
from node.domain.ports import Segmenter
from node.errors import Refused
from node.triage.selection import ABOUT_THE_PATIENT
from workers.steps.judge_phase import judge_phase
from workers.steps.locate_roi import locate_roi


def find_lesion(
    series: Series,
    volume: Volume,
    annotations: Sequence[Annotation],
    segmenters: Sequence[tuple[Segmenter, Sequence[Anatomy]]],
) -> Roi:
    """As ``locate_roi``.

    Raises:
        Refused: no lesion was found, or what was found cannot be right; or the phase, where that is the reason.
    """
    try:
        return locate_roi(volume, annotations, segmenters)
    except Refused as exc:
        if exc.reason.code in ABOUT_THE_PATIENT:
            # In another phase, what was not found says nothing about the patient: the phase is the reason.
            judge_phase(series, volume, {}, [segmenter for segmenter, _ in segmenters])
        raise
