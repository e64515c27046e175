"""Link an annotation: contours are not analysed themselves; they make the series that they reference analysable."""

from collections.abc import Callable

from node.dicom.sandbox import Decoder
from node.domain.identifiers import MANUFACTURER, SeriesUID
from node.domain.imaging import Series
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, Refused
from workers.stored import stored_file


def link_annotation(
    contours: Series, decoder: Decoder, holds: Callable[[SeriesUID], bool], series_of: Callable[[SeriesUID], Series]
) -> tuple[SeriesUID, ...]:
    """The series here that ``contours`` references, which may now be analysed.

    Raises:
        Refused: it cannot be read, is one of our own results, or references no series that is here.
        Quarantined: it references a series of another patient or study.
        Quarantined: a stored file is gone.
    """
    if contours.attribute("Manufacturer") == MANUFACTURER:
        raise Refused(ReasonCode.OWN_RESULT)
    referenced: dict[SeriesUID, None] = {}
    for instance in contours.instances:
        referenced.update(dict.fromkeys(decoder.read_annotation(stored_file(instance)).referenced_series))
    here = tuple(uid for uid in referenced if holds(uid))
    if not here:
        raise Refused(ReasonCode.ANNOTATION_ORPHAN, f"it references {len(referenced)} series, none of them here")
    for uid in here:
        _require_same_patient(contours, series_of(uid))
    return here


def _require_same_patient(contours: Series, images: Series) -> None:
    if contours.patient.key() != images.patient.key() or contours.study_uid != images.study_uid:
        raise Quarantined(ReasonCode.PATIENT_CONFLICT, "the contour references a series of another patient or study")
