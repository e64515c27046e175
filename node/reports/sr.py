"""The structured report: PS3.16 TID 1500 with one measurement group for the lesion, in two forms.

As Comprehensive 3D SR for archives of today, and as Enhanced SR, with the same content, for those that do not take it:
the content has no coordinates, which are all that an Enhanced SR may not hold in 3-D (PS3.3 section A.35.2).

OHIF shows its text tree; the title is Oncology Measurement Report (126001) and the group has tracking identifiers,
without which OHIF blanks its viewport.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from highdicom.sr import (
    Comprehensive3DSR,
    EnhancedSR,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from node.domain.coding import Code
from node.domain.prediction import Nomogram
from node.domain.reporting import ObjectKind, Report, ReportObject
from node.errors import Fatal, Retryable
from node.reports import codes, wording
from node.reports.codes import concept
from node.reports.envelope import arguments, seal
from node.reports.evidence import Evidence, gather, key_slices
from node.reports.identity import algorithm_identification, observation_context
from node.reports.naming import instance_uid, series_uid, tracking_identifier, tracking_uid
from node.reports.seg import SEGMENT_NUMBER
from node.reports.seg import SOP_CLASS as SEG_SOP_CLASS

_VOLUME_DECIMALS: Final = 2
_REFERENCE: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


class StructuredReportWriter:
    """Writes one complete, preliminary, unverified Comprehensive 3D SR (PS3.3 section A.35.13)."""

    kind = ObjectKind.STRUCTURED_REPORT

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object, which references the segmentation and the key slices."""
        return _write(report, self.kind, Comprehensive3DSR)


class EnhancedReportWriter:
    """Writes the same as an Enhanced SR (PS3.3 section A.35.2), for archives that take no Comprehensive 3D SR."""

    kind = ObjectKind.ENHANCED_REPORT

    def write(self, report: Report) -> tuple[ReportObject, ...]:
        """One object, which references the segmentation and the key slices."""
        return _write(report, self.kind, EnhancedSR)


def _write(report: Report, kind: ObjectKind, sop_class: type[Any]) -> tuple[ReportObject, ...]:
    shown = sorted(set(key_slices(report)))
    evidence = gather(report, shown)
    images = [evidence.images[k] for k in shown]
    dataset = sop_class(
        evidence=[*images, _segmentation(report)],
        content=_content(report, evidence, images)[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=predecessors(report.predecessor_paths) or None,
        coding_schemes=[codes.private_scheme()],
        **arguments(report, kind),
    )
    return (seal(dataset, report, evidence, kind, wording.numbers(report)),)


def _content(report: Report, evidence: Evidence, images: list[Dataset]) -> MeasurementReport:
    return MeasurementReport(
        observation_context=observation_context(report.prediction.algorithm),
        procedure_reported=concept(codes.CT_UNSPECIFIED_BODY_REGION),
        imaging_measurements=[_group(report, evidence)],
        title=concept(codes.ONCOLOGY_MEASUREMENT_REPORT),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(concept(codes.ENGLISH)),
        referenced_images=images,
    )


def _group(report: Report, evidence: Evidence) -> Any:
    """The lesion's measurement group (PS3.16 TID 1411), with the statement in words at its end."""
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(report), identifier=tracking_identifier(report)),
        referenced_segment=ReferencedSegment(
            sop_class_uid=SEG_SOP_CLASS,
            sop_instance_uid=instance_uid(report, ObjectKind.SEGMENTATION),
            segment_number=SEGMENT_NUMBER,
            source_series=SourceSeriesForSegmentation(report.series.uid),
        ),
        finding_type=concept(codes.LESION),
        finding_sites=[FindingSite(concept(report.roi.anatomy.code))],
        algorithm_id=algorithm_identification(report.prediction.algorithm),
        measurements=list(_measurements(report)),
        qualitative_evaluations=list(_evaluations(report)),
    )
    group[0].ContentSequence.extend(_text(code, evidence.characters.fit(words)) for code, words in _words(report))
    return group


def _measurements(report: Report) -> Iterator[Measurement]:
    for score in report.prediction.scores:
        yield _percentage(codes.QUANTITIES[score.quantity], score.probability)
    if report.prediction.threshold is not None:
        yield _percentage(codes.DECISION_THRESHOLD, report.prediction.threshold)
    if report.prediction.nomogram:
        yield from _nomogram(report.prediction.nomogram)
    if report.prediction.explanation.roi_dice is not None:
        yield _percentage(codes.MAP_DICE, report.prediction.explanation.roi_dice)
    yield Measurement(
        name=concept(codes.VOLUME),
        value=round(report.roi.volume_ml, _VOLUME_DECIMALS),
        unit=concept(codes.MILLILITRE),
        method=concept(codes.VOXEL_SUMMATION),
    )


def _nomogram(nomogram: Nomogram) -> Iterator[Measurement]:
    """One number a category where everything is known, else the two that it lies between."""
    for quantity, interval in nomogram.probabilities:
        exact, least, most = codes.NOMOGRAM_QUANTITIES[quantity]
        if interval.is_exact:
            yield _percentage(exact, interval.low)
        else:
            yield _percentage(least, interval.low)
            yield _percentage(most, interval.high)


def _percentage(name: Code, probability: float) -> Measurement:
    return Measurement(name=concept(name), value=wording.percent(probability), unit=concept(codes.PERCENT))


def _evaluations(report: Report) -> Iterator[QualitativeEvaluation]:
    name, value = codes.CONCLUSIONS[report.prediction.conclusion]
    yield QualitativeEvaluation(name=concept(name), value=concept(value))
    for vote in report.prediction.votes:
        yield QualitativeEvaluation(name=concept(codes.SLICE_VOTE), value=concept(codes.CONCLUSIONS[vote][1]))


def _words(report: Report) -> Iterator[tuple[Code, str]]:
    """The text items of the group: the answer, what went in, what limits it, and the statement."""
    yield codes.SUMMARY, f"{wording.headline(report.prediction)}. {wording.warning_line(report).upper()}."
    for value in wording.used_values(report):
        yield codes.CLINICAL_VALUE_USED, wording.value_line(value)
    for name in report.prediction.clinical_imputed:
        # OHIF shows the words of an item without its name.
        yield codes.CLINICAL_VALUE_IMPUTED, f"{wording.input_name(name)}: missing, imputed"
    if report.prediction.attribution:
        for reason in report.prediction.attribution.contributions:
            yield codes.REASON, wording.reason_line(reason)
    if report.prediction.nomogram:
        for item in report.prediction.nomogram.items:
            yield codes.NOMOGRAM_ITEM, wording.nomogram_item_line(item)
        for note_text in report.prediction.nomogram.notes:
            yield codes.NOMOGRAM_NOTE, note_text
    yield from _limits(report)
    yield codes.COMMENT, wording.statement(report)


def _limits(report: Report) -> Iterator[tuple[Code, str]]:
    """What a reader must know of the prediction, the region and the series."""
    for note in report.prediction.notes:
        yield codes.NOTE, f"{note.code}: {note.text}"
    yield codes.REGION_SOURCE, wording.region_line(report)
    for other in report.roi.others:
        yield codes.FURTHER_LESION, wording.other_line(other)
    yield codes.PHASE, wording.phase_line(report.phase)
    yield codes.INPUT_QUALITY, wording.slices_line(report)
    for remark in report.remarks:
        yield codes.INPUT_QUALITY, f"{remark.code.name}: {wording.remark_line(remark)}"


def _text(name: Code, words: str) -> TextContentItem:
    return TextContentItem(name=concept(name), value=words, relationship_type=RelationshipTypeValues.CONTAINS)


def _segmentation(report: Report) -> Dataset:
    """The segmentation of the same report as evidence: its identifiers are known before it is written."""
    evidence = Dataset()
    evidence.StudyInstanceUID = str(report.series.study_uid)
    evidence.SeriesInstanceUID = series_uid(report, ObjectKind.SEGMENTATION)
    evidence.SOPClassUID = SEG_SOP_CLASS
    evidence.SOPInstanceUID = instance_uid(report, ObjectKind.SEGMENTATION)
    return evidence


def predecessors(paths: Sequence[Path]) -> list[Dataset]:
    """The documents that a new one takes the place of, as Predecessor Documents Sequence (0040,A360) wants them.

    Raises Retryable when one cannot be read now and Fatal when it is not DICOM.
    """
    return [_read_reference(path) for path in paths]


def _read_reference(path: Path) -> Dataset:
    try:
        return dcmread(path, specific_tags=list(_REFERENCE))
    except OSError as error:
        raise Retryable(f"a superseded report cannot be read: {error.strerror}") from error
    except InvalidDicomError as error:
        raise Fatal("a superseded report is not DICOM") from error
