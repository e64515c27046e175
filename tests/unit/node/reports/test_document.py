"""The encapsulated PDF."""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.domain.reporting import Report
from node.reports.document import DocumentWriter
from tests.unit.node.reports.factory import CtSpec, attribution, porcelain

MakeReport = Callable[..., Report]


def _written(report: Report) -> Dataset:
    (made,) = DocumentWriter().write(report)
    return dcmread(io.BytesIO(made.content))


def test_it_is_a_pdf_about_the_source_image(make_report: MakeReport) -> None:
    """The document says what it is, how long it is, and which image it is about."""
    report = make_report()
    document = _written(report)
    assert document.MIMETypeOfEncapsulatedDocument == "application/pdf"
    pdf = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    (source,) = document.SourceInstanceSequence
    assert source.ReferencedSOPInstanceUID == report.series.instances[2].uid
    assert (document.Modality, document.BurnedInAnnotation) == ("DOC", "YES")
    assert document.DocumentTitle == "Predicted cT category: cT3"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("date", "time", "said"),
    [("20240506", "070102", "20240506070102"), ("20240506", "99:61", ""), ("2024.05.06", "070102", "")],
)
def test_a_time_that_is_none_is_left_out(make_report: MakeReport, date: str, time: str, said: str) -> None:
    """Old scanners write what they like: that keeps no result from being written."""
    report = make_report()
    for instance in report.series.instances:
        assert instance.path is not None
        image = dcmread(instance.path)
        image.AcquisitionDate, image.AcquisitionTime = date, time
        image.save_as(instance.path)
    assert str(_written(report).AcquisitionDateTime or "") == said


@pytest.mark.skipif(shutil.which("gs") is None, reason="gs (Ghostscript) is not installed")
@pytest.mark.parametrize("name", ["Müller^Jörg", "王^小东", "محمد^أحمد"])
def test_the_text_can_be_searched(make_report: MakeReport, tmp_path: Path, name: str) -> None:
    """Another program finds the patient and the numbers as text, on both pages."""
    report = make_report(
        replace(porcelain(), attribution=attribution()), CtSpec(character_set="ISO_IR 192", name=name.encode())
    )
    document = _written(report)
    path = tmp_path / "page.pdf"
    path.write_bytes(document.EncapsulatedDocument)
    command = ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=txtwrite", "-sOutputFile=-", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "73.4 %" in text
    assert "NOT FOR CLINICAL USE" in text
    assert "What moved this result" in text
    assert "PAT-7" in text
