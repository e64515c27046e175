"""What is copied from the source."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from node.domain.reporting import Report
from node.errors import Fatal, Retryable
from node.reports.evidence import gather, key_slices, slices_of
from node.reports.seg import SegmentationWriter
from tests.unit.node.reports.factory import CtSpec

MakeReport = Callable[..., Report]


def _with_path(report: Report, path: Path | None) -> Report:
    first = replace(report.series.instances[0], path=path)
    return replace(report, series=replace(report.series, instances=(first, *report.series.instances[1:])))


def test_only_the_slices_asked_for_are_read(make_report: MakeReport) -> None:
    """A report on a few slices of a long series opens a few files."""
    report = _with_path(make_report(), None)
    assert sorted(gather(report, [3, 2, 3]).images) == [2, 3]


def test_the_slices_of_the_region_are_those_with_voxels(make_report: MakeReport) -> None:
    """The region of the made-up series lies in its two middle slices."""
    assert slices_of(make_report()) == (2, 3)


def test_without_key_slices_the_largest_is_shown(make_report: MakeReport) -> None:
    """An explanation that names no slice still gives a picture."""
    report = make_report()
    explanation = replace(report.prediction.explanation, key_slices=())
    assert key_slices(replace(report, prediction=replace(report.prediction, explanation=explanation))) == (2,)


def test_patient_text_is_decoded_for_drawing(make_report: MakeReport) -> None:
    """The name is readable in the source's character set."""
    assert gather(make_report(), [0]).text("PatientName") == "Müller^Jörg"


def test_code_extensions_are_written_in_utf_8(make_report: MakeReport) -> None:
    """A Chinese name that switches character sets arrives readable in a character set that everyone reads."""
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    report = make_report(None, CtSpec(character_set=["", "ISO 2022 IR 58"], name=name))
    written = dcmread(io.BytesIO(SegmentationWriter().write(report)[0].content))
    assert written.SpecificCharacterSet == "ISO_IR 192"
    assert str(written.PatientName) == "Zhang^XiaoDong=张^小东"


def test_the_library_never_sees_the_patient(make_report: MakeReport) -> None:
    """The headers that go through the library hold no patient, so that it cannot reinterpret a value."""
    image = gather(make_report(), [0]).images[0]
    assert (image.PatientName, image.PatientID, image.AccessionNumber) == ("", "", "")


def test_times_move_to_the_zone_of_the_source(make_report: MakeReport) -> None:
    """A moment is told in the source's offset from UTC, west of Greenwich too; without one it stays as it is."""
    moment = datetime(2024, 1, 1, 2, tzinfo=UTC)
    west = gather(make_report(None, CtSpec(timezone="-0330")), [0])
    assert west.local(moment).strftime("%Y%m%d %H%M %z") == "20231231 2230 -0330"
    assert gather(make_report(), [0]).local(moment) is moment


def test_a_missing_file_may_come_back(make_report: MakeReport, tmp_path: Path) -> None:
    """A file that cannot be read now is worth another try."""
    with pytest.raises(Retryable):
        gather(_with_path(make_report(), tmp_path / "away.dcm"), [0])


def test_a_slice_without_a_path_is_a_fault_of_the_node(make_report: MakeReport) -> None:
    """A report must say where its images are."""
    with pytest.raises(Fatal):
        gather(_with_path(make_report(), None), [0])


def test_a_series_in_another_order_than_its_volume_is_not_written(make_report: MakeReport) -> None:
    """Results are never made from the header of another slice."""
    report = make_report()
    turned = replace(report.series, instances=report.series.instances[::-1])
    with pytest.raises(Fatal, match="order"):
        gather(replace(report, series=turned), [0])


def test_a_file_that_is_not_dicom_needs_a_person(make_report: MakeReport, tmp_path: Path) -> None:
    """A stored image that is no longer DICOM is damage, and trying again cannot help."""
    (tmp_path / "damaged.dcm").write_bytes(b"\x00" * 200)
    with pytest.raises(Fatal):
        gather(_with_path(make_report(), tmp_path / "damaged.dcm"), [0])
