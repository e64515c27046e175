"""The objects of a notice."""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage, SecondaryCaptureImageStorage

from node.domain.reporting import Notice, NoticeKind, ReportObject
from node.errors import Fatal, Retryable
from node.reports.notice import NoticeReportWriter, NoticeWriter

MakeNotice = Callable[..., Notice]


def _read(made: ReportObject) -> Dataset:
    return dcmread(io.BytesIO(made.content))


def _texts(document: Dataset) -> list[str]:
    return [str(item.TextValue) for item in document.ContentSequence if item.ValueType == "TEXT"]


def test_the_page_is_a_capture_that_a_viewer_shows(make_notice: MakeNotice) -> None:
    """One RGB page, which says in its comment what it says in its pixels."""
    (made,) = NoticeWriter().write(make_notice(NoticeKind.NOT_ANALYSED))
    page = _read(made)
    assert page.SOPClassUID == SecondaryCaptureImageStorage
    assert page.pixel_array.shape == (1024, 1024, 3)
    assert "This is not a negative result." in page.ImageComments


def test_the_document_says_why(make_notice: MakeNotice) -> None:
    """The text tree holds what happened, what it means, why, and which series it is about."""
    (made,) = NoticeReportWriter().write(make_notice(NoticeKind.NOT_ANALYSED))
    document = _read(made)
    assert document.SOPClassUID == EnhancedSRStorage
    assert document.ConceptNameCodeSequence[0].CodeValue == "AI_NOTICE"
    texts = _texts(document)
    assert any(text.startswith("NOT ANALYSED. There is no AI result") for text in texts)
    assert any("holds no voxel of this series. (contour 2)" in text for text in texts)
    assert any("CT, 6 objects" in text for text in texts)
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_a_withdrawal_cites_what_it_takes_the_place_of(make_notice: MakeNotice) -> None:
    """The withdrawn report is the predecessor of the notice."""
    notice = make_notice(NoticeKind.WITHDRAWN)
    (made,) = NoticeReportWriter().write(notice)
    (item,) = _read(made).PredecessorDocumentsSequence
    reference = item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == notice.withdrawn[0].uid


def test_a_file_of_another_patient_is_never_spoken_for(make_notice: MakeNotice) -> None:
    """Where the file and the series name different patients, nothing is written."""
    notice = make_notice(NoticeKind.NOT_ANALYSED)
    patient = replace(notice.series.patient, patient_id="SOMEBODY-ELSE")
    notice = replace(notice, series=replace(notice.series, patient=patient))
    with pytest.raises(Fatal, match="another patient"):
        NoticeWriter().write(notice)


def test_a_file_that_is_away_is_told_apart(make_notice: MakeNotice, tmp_path: Path) -> None:
    """It may come back."""
    with pytest.raises(Retryable):
        NoticeWriter().write(replace(make_notice(NoticeKind.HELD), source=tmp_path / "away.dcm"))


@pytest.mark.skipif(shutil.which("dsr2html") is None, reason="dsr2html (DCMTK) is not installed")
def test_another_toolkit_shows_the_document(make_notice: MakeNotice, tmp_path: Path) -> None:
    """DCMTK makes a readable page of it."""
    path = tmp_path / "notice.dcm"
    path.write_bytes(NoticeReportWriter().write(make_notice(NoticeKind.HELD))[0].content)
    shown = subprocess.run(["dsr2html", str(path)], capture_output=True, text=True, errors="replace", check=True).stdout
    assert "HELD FOR A PERSON" in shown
    assert "not a negative result" in shown


def test_a_notice_is_of_the_patient_whom_the_archive_has_now(make_notice: MakeNotice) -> None:
    """Patient and accession as they were corrected; what else the image says stays."""
    notice = make_notice(NoticeKind.NOT_ANALYSED)
    patient = replace(notice.series.patient, patient_id="RIGHT")
    correction = {"PatientID": "RIGHT", "PatientName": "王^小东", "AccessionNumber": "A-2", "PatientAge": None}
    notice = replace(notice, series=replace(notice.series, patient=patient), correction=correction)
    source = dcmread(notice.source, stop_before_pixels=True)
    for writer in (NoticeWriter(), NoticeReportWriter()):
        (made,) = writer.write(notice)
        found = _read(made)
        assert (found.PatientID, found.PatientName, found.AccessionNumber) == ("RIGHT", "王^小东", "A-2")
        assert (found.StudyInstanceUID, found.StudyDate) == (source.StudyInstanceUID, source.StudyDate)
        assert "PatientAge" not in found


def test_a_withdrawal_is_of_the_patient_that_the_result_was_of(make_notice: MakeNotice) -> None:
    """Whomever the images, or the archive by now, name."""
    notice = make_notice(NoticeKind.WITHDRAWN)
    patient = replace(notice.series.patient, patient_id="SINCE-CORRECTED")
    (made,) = NoticeWriter().write(replace(notice, series=replace(notice.series, patient=patient)))
    assert _read(made).PatientID == dcmread(notice.source).PatientID
