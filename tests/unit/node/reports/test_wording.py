"""The words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from node.domain.clinical import (
    ClinicalRecord,
    ClinicalValue,
    ClinicalVariable,
    Conflict,
    HeldValue,
    ValueReason,
)
from node.domain.coding import Anatomy
from node.domain.imaging import OtherLesion
from node.domain.phase import Finding, Phase, PhaseVerdict
from node.domain.prediction import Contribution, Interval
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Report
from node.reports import wording
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram, porcelain

MakeReport = Callable[..., Report]


def test_probabilities_have_one_decimal() -> None:
    """The same precision everywhere."""
    assert wording.percent_text(0.62149) == "62.1 %"


def test_the_scores_fit_in_one_line() -> None:
    """The short form names each class once."""
    assert wording.scores_line(gtrnet()) == "cT1 5.7 %, cT2 14.2 %, cT3 62.1 %, cT4 18.0 %"
    assert wording.scores_line(porcelain()) == "high NTR 73.4 % (threshold 52.0 %)"


def test_a_category_is_not_called_a_staging(make_report: MakeReport) -> None:
    """The statement about cT says that no physician staged the patient."""
    assert "not a staging by a physician" in wording.statement(make_report())


def test_what_limits_the_region_is_told(make_report: MakeReport) -> None:
    """An uncoded organ, further lesions and an empty map are notes of their own."""
    report = make_report(gtrnet(empty=True))
    half = report.roi.volume_ml / 2.0
    others = (OtherLesion("second", Anatomy.PANCREAS, half), OtherLesion("", Anatomy.STOMACH, 0.0))
    roi = replace(report.roi, anatomy_is_coded=False, others=others)
    notes = " ".join(wording.note_lines(replace(report, roi=roi)))
    for words in ("label, not from a code", "evidence map is empty"):
        assert words in notes
    largest = f"3 lesions: this is about the largest, {roi.volume_ml:.1f} mL. "
    assert f"{largest}Not analysed: second (pancreas, {half:.1f} mL); no label (stomach, 0.0 mL)." in notes


def test_a_lesion_that_is_not_the_largest_is_not_called_so(make_report: MakeReport) -> None:
    """A larger region of an organ where one is less likely is listed with its size."""
    report = make_report(gtrnet())
    larger = OtherLesion("Lesion 2", Anatomy.PANCREAS, report.roi.volume_ml + 3.0)
    roi = replace(report.roi, anatomy=Anatomy.STOMACH, others=(larger,))
    told = wording.several_line(replace(report, roi=roi))
    assert "2 lesions: this is about the largest in the stomach, where one is likelier, " in told
    assert f"Lesion 2 (pancreas, {larger.volume_ml:.1f} mL)" in told


def test_who_drew_the_region_is_told(make_report: MakeReport) -> None:
    """The source, and whose contour or which weights it is."""
    report = make_report()
    assert wording.region_line(report) == "dicom-seg"
    drawn = replace(report, roi=replace(report.roi, made_by="SEG by Workstation, 2024-01-01"))
    assert wording.region_line(drawn) == "dicom-seg (SEG by Workstation, 2024-01-01)"
    assert "contour is from dicom-seg (SEG by Workstation, 2024-01-01)" in wording.statement(drawn)


def test_the_phase_is_told_with_both_kinds_of_evidence(make_report: MakeReport) -> None:
    """What the times say, what was measured, and where nothing was."""
    report = make_report()
    assert wording.phase_line(report.phase) == (
        "portal-venous; by times: portal-venous (70 s after the injection began); by attenuation: no organ measured"
    )
    seen = PhaseVerdict(
        Phase.PORTAL_VENOUS, Finding(Phase.UNKNOWN, "no bolus timing"), Finding(Phase.PORTAL_VENOUS, "aorta 150 HU")
    )
    assert wording.phase_line(seen) == (
        "portal-venous; by times: unknown (no bolus timing); by attenuation: portal-venous (aorta 150 HU)"
    )


def test_what_is_odd_about_the_series_is_told(make_report: MakeReport) -> None:
    """The reason's sentence with its numbers, among the notes."""
    odd = replace(make_report(), remarks=(Reason(ReasonCode.SHARP_KERNEL, "kernel B70f"),))
    assert f"{ReasonCode.SHARP_KERNEL.sentence} (kernel B70f)" in wording.note_lines(odd)


def test_only_values_that_were_used_are_listed(make_report: MakeReport) -> None:
    """A known value that the model does not look at is not shown as an input."""
    assert [value.variable.value for value in wording.used_values(make_report(porcelain()))] == ["age"]


def test_the_numbers_are_those_of_the_objects(make_report: MakeReport) -> None:
    """A printed table holds the conclusion, each probability, the threshold and the volume."""
    names = [number.name for number in wording.numbers(make_report(porcelain()))]
    assert names == ["Predicted NTR class", "Probability of high NTR", "Decision threshold", "Region volume"]


def test_what_sources_disagree_about_is_told(make_report: MakeReport) -> None:
    """Both values with source and date, what was held and why, and who did not answer."""
    moment = datetime(2024, 5, 6, 12, tzinfo=UTC)
    used = ClinicalValue(ClinicalVariable.CA19_9, 37.0, "U/mL", "entered", moment)
    other = ClinicalValue(ClinicalVariable.CA19_9, 370.0, "U/mL", "hl7", moment)
    held = HeldValue(ClinicalVariable.CEA, "hl7", ValueReason.CENSORED)
    clinical = ClinicalRecord((used,), (held,), (Conflict(used, other),), ("fhir: HTTP_500",))
    notes = " ".join(wording.note_lines(replace(make_report(), clinical=clinical)))
    assert f"{wording.value_line(used)} was used, {wording.value_line(other)} not" in notes
    assert "37 U/mL (entered, 2024-05-06)" in notes
    assert "CEA (hl7): The result is a limit" in notes
    assert "fhir: HTTP_500" in notes


def test_a_range_is_told_as_a_range() -> None:
    """A number that is not known exactly never looks as if it were."""
    assert wording.interval_text(Interval(0.42, 0.6)) == "42.0 to 60.0 %"
    assert wording.interval_text(Interval(0.42, 0.42)) == "42.0 %"
    assert wording.points_text(Interval(98.0, 120.0)) == "98 to 120 points"


def test_an_imputed_input_is_called_so() -> None:
    """What nobody measured is not told as if somebody had."""
    assert (
        wording.reason_line(Contribution("cea", 0.05, "3.1 ug/L", is_imputed=True)) == "CEA (3.1 ug/L, imputed): +0.05"
    )
    assert wording.reason_line(Contribution("image", -0.62)) == "image: -0.62"


def test_the_overlap_of_map_and_region_is_told(make_report: MakeReport) -> None:
    """A reader learns whether the model looked at the lesion; without a map there is nothing to tell."""
    seen = replace(gtrnet(), explanation=replace(gtrnet().explanation, roi_dice=0.31))
    assert any("Dice coefficient of 0.31" in line for line in wording.note_lines(make_report(seen)))
    blind = replace(gtrnet(), explanation=replace(gtrnet(empty=True).explanation, roi_dice=0.0))
    assert not any("Dice" in line for line in wording.note_lines(make_report(blind)))


def test_the_reasons_are_part_of_the_statement(make_report: MakeReport) -> None:
    """The plain words hold the strongest reasons and what the nomogram reads."""
    both = replace(gtrnet(), attribution=attribution(), nomogram=nomogram())
    told = wording.statement(make_report(both))
    assert "Strongest reasons, in logits: CA 19-9 (820 U/mL): +1.25; image: -0.62; clinical N (N1): +0.40." in told
    assert "Nomogram, 98 to 120 points: cT1 2.0 to 5.0 %" in told


def test_a_contribution_that_rounds_to_nothing_has_no_sign() -> None:
    """Neither "-0.00" nor "+0.00": there is no direction to read."""
    assert [wording.logits_text(value) for value in (-0.004, 0.0, 0.004, -0.006, 1.25)] == [
        "0.00", "0.00", "0.00", "-0.01", "+1.25",
    ]  # fmt: skip
