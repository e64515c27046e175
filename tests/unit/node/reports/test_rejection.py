"""The rejection note."""

import io
from collections.abc import Callable

import pytest
from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.domain.reporting import Notice, NoticeKind
from node.reports.rejection import RejectionNoteWriter

MakeNotice = Callable[..., Notice]


def test_it_names_every_object_with_the_title_of_a_rejection(make_notice: MakeNotice) -> None:
    """IOCM: the title says why, the evidence and the content name the same objects, in the same study."""
    notice = make_notice(NoticeKind.WITHDRAWN)
    (made,) = RejectionNoteWriter().write(notice)
    note = dcmread(io.BytesIO(made.content))
    assert (note.SOPClassUID, note.Modality) == (KeyObjectSelectionDocumentStorage, "KO")
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
    assert note.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == notice.series.study_uid
    evidence = [
        (series.SeriesInstanceUID, one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert evidence == [(one.series_uid, one.sop_class_uid, one.uid) for one in notice.withdrawn]
    named = [item for item in note.ContentSequence if item.ValueType == "COMPOSITE"]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in named] == [
        one.uid for one in notice.withdrawn
    ]


def test_it_says_why_in_words(make_notice: MakeNotice) -> None:
    """Whoever opens it reads the reason."""
    notice = make_notice(NoticeKind.WITHDRAWN)
    note = dcmread(io.BytesIO(RejectionNoteWriter().write(notice)[0].content))
    (words,) = [
        item.TextValue for item in note.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "113012"
    ]
    assert notice.reason in words


@pytest.mark.parametrize("kind", [NoticeKind.NOT_ANALYSED, NoticeKind.HELD])
def test_where_nothing_is_withdrawn_nothing_is_rejected(make_notice: MakeNotice, kind: NoticeKind) -> None:
    """A notice about a missing result hides nothing in the archive."""
    assert RejectionNoteWriter().write(make_notice(kind)) == ()
