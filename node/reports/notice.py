"""The notice: a page and a text document that say why there is no result, or that one was withdrawn."""

from typing import Final

from highdicom.sc import SCImage
from highdicom.sr import ContainerContentItem, EnhancedSR, RelationshipTypeValues, TextContentItem
from highdicom.sr.value_types import ContentSequence
from pydicom import Dataset

from node.domain.reporting import Notice, ObjectKind, ObjectReference, ReportedNumber, ReportObject
from node.reports import codes, wording
from node.reports.codes import concept
from node.reports.envelope import notice_arguments, seal
from node.reports.evidence import Evidence, gather_for, reference
from node.reports.identity import node_observer
from node.reports.notice_page import notice_page
from node.reports.sr import predecessors

_COMMENT_CHARACTERS: Final = 10240


class NoticeWriter:
    """Writes the page (PS3.3 section A.8.1), for every viewer."""

    kind = ObjectKind.NOTICE

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:
        """One secondary capture."""
        evidence = gather_for(notice)
        dataset: Dataset = SCImage(
            pixel_array=notice_page(notice, evidence),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            study_instance_uid=notice.series.study_uid,
            **notice_arguments(notice, self.kind),
        )
        dataset.PatientOrientation = None
        dataset.BurnedInAnnotation = "YES"
        dataset.Laterality = None  # type 2C while no body part is named
        dataset.ImageComments = evidence.characters.fit(" ".join(wording.notice_lines(notice)))[:_COMMENT_CHARACTERS]
        return (seal(dataset, notice, evidence, self.kind, _numbers(notice)),)


class NoticeReportWriter:
    """Writes the same words as an Enhanced SR (PS3.3 section A.35.2), which every receiver of reports takes."""

    kind = ObjectKind.NOTICE_REPORT

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:
        """One document, which cites the reports that it takes the place of."""
        evidence = gather_for(notice)
        previous = predecessors(notice.predecessor_paths)
        dataset: Dataset = EnhancedSR(
            evidence=[reference(notice, _image(notice))],
            content=_content(notice, evidence),
            is_complete=True,
            is_final=False,
            is_verified=False,
            record_evidence=False,
            previous_versions=previous or None,
            coding_schemes=[codes.private_scheme()],
            **notice_arguments(notice, self.kind),
        )
        return (seal(dataset, notice, evidence, self.kind, _numbers(notice)),)


def _content(notice: Notice, evidence: Evidence) -> Dataset:
    root = ContainerContentItem(name=concept(codes.AI_NOTICE), is_content_continuous=False)
    items = ContentSequence()
    items.extend(node_observer(notice))
    lines = wording.notice_lines(notice)
    words = [(codes.SUMMARY, lines[0]), *((codes.COMMENT, line) for line in lines[1:])]
    items.extend(
        TextContentItem(
            name=concept(name), value=evidence.characters.fit(line), relationship_type=RelationshipTypeValues.CONTAINS
        )
        for name, line in words
    )
    root.ContentSequence = items
    made: Dataset = root
    return made


def _image(notice: Notice) -> ObjectReference:
    first = notice.series.instances[0]
    return ObjectReference(first.sop_class_uid, first.uid, notice.series.uid)


def _numbers(notice: Notice) -> tuple[ReportedNumber, ...]:
    return (ReportedNumber(notice.kind.value, notice.reason),)
