"""The structured report."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from node.domain.prediction import Interval
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import ObjectKind, Report
from node.errors import Fatal, Retryable
from node.reports import wording
from node.reports.naming import instance_uid, series_uid, tracking_uid
from node.reports.sr import EnhancedReportWriter, StructuredReportWriter
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram, porcelain

MakeReport = Callable[..., Report]
READER = Path(sys.executable).parent / "tid1500reader"  # dcmqi, a test dependency


def _content(report: Report) -> bytes:
    return StructuredReportWriter().write(report)[0].content


def _written(report: Report) -> Dataset:
    return dcmread(io.BytesIO(_content(report)))


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _read_by_dcmqi(content: bytes, folder: Path) -> dict[str, float]:
    """The numbers of the lesion by their names, as the toolkit dcmqi reads them."""
    (folder / "report.dcm").write_bytes(content)
    target = folder / "report.json"
    command = [str(READER), "--inputDICOM", str(folder / "report.dcm"), "--outputMetadata", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(target.read_text())["Measurements"]
    return {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]}


def _meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def _values(dataset: Dataset) -> dict[str, float]:
    return {
        _meaning(item): float(item.MeasuredValueSequence[0].NumericValue)
        for item in _items(dataset)
        if item.ValueType == "NUM" and _meaning(item).startswith(("Probability", "Decision"))
    }


def _texts(dataset: Dataset, name: str) -> list[str]:
    return [item.TextValue for item in _items(dataset) if item.ValueType == "TEXT" and _meaning(item) == name]


def test_it_is_a_preliminary_unverified_oncology_measurement_report(make_report: MakeReport) -> None:
    """The document is complete in itself, but no person stands behind it."""
    dataset = _written(make_report())
    assert dataset.ConceptNameCodeSequence[0].CodeValue == "126001"
    flags = (dataset.CompletionFlag, dataset.PreliminaryFlag, dataset.VerificationFlag)
    assert flags == ("COMPLETE", "PRELIMINARY", "UNVERIFIED")


def test_the_probabilities_are_per_cent(make_report: MakeReport) -> None:
    """Each class has its probability in per cent under a name of its own."""
    assert _values(_written(make_report(gtrnet()))) == {
        "Probability of cT1": 5.7,
        "Probability of cT2": 14.2,
        "Probability of cT3": 62.1,
        "Probability of cT4": 18.0,
    }


def test_the_threshold_stands_beside_the_probability(make_report: MakeReport) -> None:
    """A single score is shown with the threshold that decided."""
    assert _values(_written(make_report(porcelain()))) == {"Probability of high NTR": 73.4, "Decision threshold": 52.0}


def test_the_category_is_a_prediction_with_an_ajcc_value(make_report: MakeReport) -> None:
    """The AJCC code is the value of a predicted category, never a staging statement by itself; votes are listed."""
    coded = [
        (_meaning(item), item.ConceptCodeSequence[0].CodeValue)
        for item in _items(_written(make_report()))
        if item.ValueType == "CODE"
    ]
    assert ("Predicted cT category", "1228938002") in coded
    assert [value for name, value in coded if name == "Vote of one slice"] == ["1228938002"] * 2 + ["1228944003"]


def test_the_volume_is_by_voxel_summation(make_report: MakeReport) -> None:
    """The region's volume is given in millilitres with its method."""
    report = make_report()
    (volume,) = [item for item in _items(_written(report)) if item.ValueType == "NUM" and _meaning(item) == "Volume"]
    measured = volume.MeasuredValueSequence[0]
    assert float(measured.NumericValue) == pytest.approx(report.roi.volume_ml, abs=0.005)
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "mL"
    assert volume.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "YEKZ"


def test_the_group_is_tracked_and_references_the_segment(make_report: MakeReport) -> None:
    """The measurement group carries the tracking UID and points at the segment that the same report becomes."""
    report = make_report()
    found = list(_items(_written(report)))
    uids = [item.UID for item in found if item.ValueType == "UIDREF"]
    assert tracking_uid(report) in uids
    assert report.series.uid in uids
    (segment,) = [item for item in found if _meaning(item) == "Referenced Segment"]
    reference = segment.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == instance_uid(report, ObjectKind.SEGMENTATION)
    assert reference.ReferencedSegmentNumber == 1


def test_the_evidence_is_the_key_slices_and_the_segmentation(make_report: MakeReport) -> None:
    """The document lists what it refers to and nothing else."""
    report = make_report()
    listed = {
        reference.ReferencedSOPInstanceUID
        for study in _written(report).CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    keys = {report.volume.instance_uids[k] for k in report.prediction.explanation.key_slices}
    assert listed == {*keys, instance_uid(report, ObjectKind.SEGMENTATION)}


def test_the_statement_gives_the_answer_and_its_limits(make_report: MakeReport) -> None:
    """The comment says in plain words what was found, what is missing, and that it is not for clinical use."""
    (comment,) = _texts(_written(make_report(porcelain())), "Comment")
    for words in (
        "Predicted NTR class: High neutrophil-to-T-cell ratio",
        "73.4 %",
        "NOT FOR CLINICAL USE",
        "trained on phantoms, not on patients",
        "Missing and imputed: 2 of 3: CA19-9, CEA",
        "outside the box",
    ):
        assert words in comment


def test_the_summary_warns_with_the_disclaimer(make_report: MakeReport) -> None:
    """Whoever reads the summary alone is still warned."""
    (summary,) = _texts(_written(make_report()), "Summary")
    assert "cT3" in summary
    assert "NOT FOR CLINICAL USE" in summary
    assert "UNTRAINED, FOR PLUMBING ONLY" in summary


def test_clinical_values_are_listed_with_their_source(make_report: MakeReport) -> None:
    """What went into the prediction is there with unit, source and date; what was imputed is named."""
    dataset = _written(make_report(porcelain()))
    assert _texts(dataset, "Clinical value used") == ["age: 65 years (dicom-header, 2024-05-06)"]
    assert _texts(dataset, "Clinical value missing, imputed") == ["CA19-9: missing, imputed", "CEA: missing, imputed"]


def test_the_private_scheme_is_introduced(make_report: MakeReport) -> None:
    """A receiver can find out whose codes the private ones are."""
    (scheme,) = _written(make_report()).CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99CELADON"


def test_the_superseded_report_is_the_predecessor(make_report: MakeReport, tmp_path: Path) -> None:
    """A new version references the document that it replaces."""
    report = make_report()
    (old,) = StructuredReportWriter().write(report)
    path = tmp_path / "old.dcm"
    path.write_bytes(old.content)
    (item,) = _written(replace(report, version=2, predecessor_paths=(path,))).PredecessorDocumentsSequence
    series = item.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == series_uid(report, ObjectKind.STRUCTURED_REPORT)
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.uid


def test_an_unreadable_predecessor_is_told_apart(make_report: MakeReport, tmp_path: Path) -> None:
    """A file that is away may come back; a file that is not DICOM needs a person."""
    report = make_report()
    with pytest.raises(Retryable):
        _content(replace(report, predecessor_paths=(tmp_path / "away.dcm",)))
    (tmp_path / "text.dcm").write_text("not DICOM at all, but long enough to be looked at " * 10)
    with pytest.raises(Fatal):
        _content(replace(report, predecessor_paths=(tmp_path / "text.dcm",)))


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump (DCMTK) is not installed")
def test_another_toolkit_reads_the_numbers(make_report: MakeReport, tmp_path: Path) -> None:
    """DCMTK shows the document with its probabilities."""
    path = tmp_path / "report.dcm"
    path.write_bytes(_content(make_report()))
    shown = subprocess.run(
        ["dsrdump", "+Pl", str(path)], capture_output=True, text=True, errors="replace", check=True
    ).stdout
    assert '"Probability of cT3")="62.1" (%,UCUM' in shown
    assert "NOT FOR CLINICAL USE" in shown


def test_every_reason_is_listed(make_report: MakeReport) -> None:
    """All Shapley values are in the document, the strongest first."""
    report = make_report(replace(porcelain(), attribution=attribution()))
    told = _texts(_written(report), "Contribution to the result (Shapley value)")
    assert len(told) == 5
    assert told[0] == "CA 19-9 (820 U/mL): +1.25"


def test_a_range_of_the_nomogram_has_two_numbers(make_report: MakeReport) -> None:
    """Where an item is unknown the least and the most are numbers of their own; nothing in between is made up."""
    unknown = nomogram()
    category, _ = unknown.probabilities[0]
    known = replace(unknown, probabilities=((category, Interval(0.03, 0.03)), *unknown.probabilities[1:]))
    numbers = {
        _meaning(item): float(item.MeasuredValueSequence[0].NumericValue)
        for item in _items(_written(make_report(replace(gtrnet(), nomogram=known))))
        if item.ValueType == "NUM" and _meaning(item).startswith("Nomogram")
    }
    assert numbers["Nomogram probability of cT1"] == 3.0
    assert numbers["Nomogram probability of cT4, least"] == 42.0
    assert numbers["Nomogram probability of cT4, most"] == 60.0
    assert "Nomogram probability of cT4" not in numbers


def test_the_overlap_of_map_and_region_is_a_number(make_report: MakeReport) -> None:
    """The Dice coefficient is in the document in per cent, since viewers show "no units" as a second number."""
    seen = replace(gtrnet(), explanation=replace(gtrnet().explanation, roi_dice=0.314))
    (dice,) = (
        item.MeasuredValueSequence[0]
        for item in _items(_written(make_report(seen)))
        if item.ValueType == "NUM" and _meaning(item) == "Dice of evidence map and region"
    )
    assert (float(dice.NumericValue), dice.MeasurementUnitsCodeSequence[0].CodeValue) == (31.4, "%")


@pytest.mark.parametrize("writer", [StructuredReportWriter(), EnhancedReportWriter()], ids=lambda one: one.kind.key)
def test_a_reader_of_tid_1500_finds_the_same_numbers(
    make_report: MakeReport, tmp_path: Path, writer: StructuredReportWriter | EnhancedReportWriter
) -> None:
    """The toolkit dcmqi reads every measurement of either form."""
    report = make_report()
    numbers = _read_by_dcmqi(writer.write(report)[0].content, tmp_path)
    assert numbers == {
        "Probability of cT1": 5.7,
        "Probability of cT2": 14.2,
        "Probability of cT3": 62.1,
        "Probability of cT4": 18.0,
        "Volume": round(report.roi.volume_ml, 2),
    }


def test_the_enhanced_form_has_the_same_content(make_report: MakeReport) -> None:
    """Only class, series and identifiers differ; not an item of the tree does."""
    report = make_report(replace(porcelain(), attribution=attribution()))
    usual = _written(report)
    enhanced = dcmread(io.BytesIO(EnhancedReportWriter().write(report)[0].content))
    assert enhanced.SOPClassUID == EnhancedSRStorage
    assert enhanced.ContentSequence == usual.ContentSequence
    assert (enhanced.SOPInstanceUID, enhanced.SeriesInstanceUID) != (usual.SOPInstanceUID, usual.SeriesInstanceUID)


@pytest.mark.skipif(shutil.which("dsr2html") is None, reason="dsr2html (DCMTK) is not installed")
def test_another_toolkit_makes_a_readable_page(make_report: MakeReport, tmp_path: Path) -> None:
    """DCMTK turns the document into a page with the numbers and the limits."""
    path = tmp_path / "report.dcm"
    path.write_bytes(_content(make_report()))
    shown = subprocess.run(["dsr2html", str(path)], capture_output=True, text=True, errors="replace", check=True).stdout
    assert "62.1" in shown
    assert "NOT FOR CLINICAL USE" in shown


def test_what_the_headers_say_of_the_series_is_in_the_document(make_report: MakeReport) -> None:
    """The slices, and each remark by its code and with its numbers."""
    report = replace(make_report(), remarks=(Reason(ReasonCode.FIELD_OF_VIEW, "180 mm"),))
    slices, remark = _texts(_written(report), "Series as an input of the model")
    assert slices == wording.slices_line(report)
    assert remark.startswith("FIELD_OF_VIEW: ")
    assert remark.endswith("(180 mm)")
