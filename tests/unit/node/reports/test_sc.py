"""The secondary captures."""

import io
from collections.abc import Callable
from dataclasses import replace

from pydicom import Dataset, dcmread

from node.domain.reporting import ObjectKind, Report
from node.reports.sc import KeyImageWriter, SummaryWriter
from tests.unit.node.reports.factory import attribution, gtrnet, porcelain

MakeReport = Callable[..., Report]


def _read(content: bytes) -> Dataset:
    return dcmread(io.BytesIO(content))


def test_there_is_one_picture_a_key_slice_in_its_order(make_report: MakeReport) -> None:
    """The most telling slice comes first, and each names the image it was made from."""
    report = make_report()
    written = [_read(result.content) for result in KeyImageWriter().write(report)]
    assert [dataset.InstanceNumber for dataset in written] == [1, 2]
    sources = [dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in written]
    assert sources == [report.volume.instance_uids[k] for k in report.prediction.explanation.key_slices]


def test_the_pictures_know_their_orientation_and_the_page_does_not(make_report: MakeReport) -> None:
    """A key image is an axial picture; the summary is a page."""
    report = make_report()
    assert list(_read(KeyImageWriter().write(report)[0].content).PatientOrientation) == ["L", "P"]
    assert not _read(SummaryWriter().write(report)[0].content).PatientOrientation


def test_a_page_is_an_rgb_square_with_burned_in_identity(make_report: MakeReport) -> None:
    """The summary is 1024 x 1024 in colour, and says that it shows the patient's name."""
    dataset = _read(SummaryWriter().write(make_report())[0].content)
    assert dataset.pixel_array.shape == (1024, 1024, 3)
    assert dataset.BurnedInAnnotation == "YES"
    assert list(dataset.ImageType)[:2] == ["DERIVED", "SECONDARY"]


def test_how_it_was_made_is_described_with_its_limits(make_report: MakeReport) -> None:
    """The derivation names the method, the algorithm and the disclaimer."""
    description = _read(KeyImageWriter().write(make_report())[0].content).DerivationDescription
    for words in ("Grad-CAM", "evidence for cT3", "GTRNet 1.0.0", "not for clinical use", "untrained"):
        assert words in description


def test_the_method_of_the_map_is_coded(make_report: MakeReport) -> None:
    """Grad-CAM is named by its code; an empty map claims no method."""
    dataset = _read(KeyImageWriter().write(make_report())[0].content)
    assert dataset.DerivationCodeSequence[0].CodeValue == "130403"
    assert "DerivationCodeSequence" not in _read(KeyImageWriter().write(make_report(gtrnet(empty=True)))[0].content)


def test_the_summary_lists_every_number_on_it(make_report: MakeReport) -> None:
    """The probabilities and the volume can be printed from the object."""
    (result,) = SummaryWriter().write(make_report())
    assert result.kind is ObjectKind.SUMMARY
    assert ("Probability of cT3", 62.1, "%") in {(row.name, row.value, row.unit) for row in result.numbers}


def test_a_result_with_reasons_has_a_page_of_them(make_report: MakeReport) -> None:
    """The reasons follow the summary in its series, under a UID of their own."""
    pages = SummaryWriter().write(make_report(replace(porcelain(), attribution=attribution())))
    first, second = (_read(page.content) for page in pages)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert second.DerivationDescription.startswith("Reasons for an AI result")
