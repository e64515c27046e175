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
from node.domain.reporting import Report
from node.reports import wording
from tests.unit.node.reports.factory import gtrnet, porcelain

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
    roi = replace(report.roi, anatomy_is_coded=False, others=("second",))
    notes = " ".join(wording.note_lines(replace(report, roi=roi)))
    for words in ("label, not from a code", "1 further lesion", "evidence map is empty"):
        assert words in notes


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
    assert "cea (hl7): The result is a limit" in notes
    assert "fhir: HTTP_500" in notes
