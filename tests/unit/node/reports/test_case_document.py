"""The case document says what the objects say, in JSON."""

import json
from dataclasses import replace
from pathlib import Path

from node.domain.coding import Anatomy
from node.domain.imaging import OtherLesion
from node.reports import wording
from node.reports.case_document import case_document
from tests.unit.node.reports.factory import attribution, build_report, gtrnet, nomogram, porcelain


def test_it_is_plain_json_with_every_number_of_the_prediction(tmp_path: Path) -> None:
    """Nothing is lost between the analysis and the page."""
    prediction = replace(gtrnet(), attribution=attribution(), nomogram=nomogram())
    report = build_report(tmp_path, prediction)
    document = json.loads(json.dumps(case_document(report)))
    assert [one["probability"] for one in document["scores"]] == [one.probability for one in prediction.scores]
    assert document["conclusion"] == {"code": prediction.conclusion.name, "text": prediction.conclusion.value}
    assert document["algorithm"]["digest"] == prediction.algorithm.digest
    assert len(document["attribution"]["contributions"]) == len(attribution().contributions)
    assert len(document["nomogram"]["items"]) == len(nomogram().items)
    assert document["slices"] == list(report.volume.instance_uids)
    assert document["warnings"]


def test_a_reader_may_choose_among_the_classes_of_the_same_question(tmp_path: Path) -> None:
    """Four categories, or high and low."""
    classes = case_document(build_report(tmp_path, gtrnet()))["classes"]
    assert [one["code"] for one in classes] == ["CT1", "CT2", "CT3", "CT4"]
    (tmp_path / "other").mkdir()
    other = case_document(build_report(tmp_path / "other", porcelain()))
    assert [one["code"] for one in other["classes"]] == ["NTR_LOW", "NTR_HIGH"]
    assert other["threshold"] == porcelain().threshold


def test_clinical_values_have_source_date_and_words(tmp_path: Path) -> None:
    """As a person reads them."""
    values = case_document(build_report(tmp_path, gtrnet()))["clinical"]["values"]
    age = next(one for one in values if one["variable"] == "age")
    assert (age["value"], age["unit"], age["source"]) == ("65", "years", "dicom-header")
    assert age["observed_at"].startswith("2024-05-06")


def test_the_summary_is_the_best_answer_in_a_few_words(tmp_path: Path) -> None:
    """The same words as the objects use."""
    prediction = gtrnet()
    best = max(prediction.scores, key=lambda one: one.probability)
    summary = case_document(build_report(tmp_path, prediction))["summary"]
    assert summary == f"{wording.short_name(best)} {wording.percent_text(best.probability)}"


def test_lesions_that_were_not_analysed_are_listed(tmp_path: Path) -> None:
    """As the objects list them, in words that JSON can hold."""
    report = build_report(tmp_path, gtrnet())
    other = OtherLesion("Lesion 2 in the stomach", Anatomy.STOMACH, 1.4)
    document = case_document(replace(report, roi=replace(report.roi, others=(other,))))
    assert json.loads(json.dumps(document))["region"]["others"] == ["Lesion 2 in the stomach (stomach, 1.4 mL)"]
