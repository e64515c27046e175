"""A whole cohort, case by case."""

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

from models.evaluation.answers import NTR
from models.evaluation.cohort_file import read_cohort
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.errors import StorageFailed
from tests.fakes import DIGEST, FakePredictor, raising
from workers.evaluation.examine import Bench
from workers.evaluation.manifest import CohortCase
from workers.evaluation.results import CaseResult, ResultFolder
from workers.evaluation.run import Run, run, write_failures, write_predictions


def cases(folder: Path) -> tuple[CohortCase, ...]:
    """One of each kind."""
    none = ClinicalRecord()
    return (
        CohortCase("dicom", folder / "a", None, {}, none),
        CohortCase("broken", folder / "broken.nii.gz", None, {}, none),
        CohortCase("nifti", folder / "b.nii.gz", folder / "b-mask.nii.gz", {"A": folder / "b-mask.nii.gz"}, none),
    )


def run_all(folder: Path, bench: Bench, **facts: str) -> tuple[tuple[CaseResult, ...], list[bool]]:
    """The results, and which of them were known before."""
    known: list[bool] = []
    how = Run(bench, {"bundle": DIGEST, **facts}, ResultFolder(folder / "out"))
    return run(cases(folder), how, lambda _, was_known: known.append(was_known)), known


def test_each_case_ends_in_an_answer_or_a_reason(folder: Path, bench: Bench) -> None:
    """One that fails does not stop the others."""
    results, known = run_all(folder, bench)
    assert [(one.case, one.called, one.reason) for one in results] == [
        ("dicom", "high", ""),
        ("broken", "", "UNDECODABLE"),
        ("nifti", "high", ""),
    ]
    assert known == [False, False, False]
    assert results[0].probabilities == {"low": 0.25, "high": 0.75}
    assert results[0].digest == DIGEST


def test_what_is_done_is_not_done_again(folder: Path, bench: Bench) -> None:
    """Neither answers nor reasons."""
    first, _ = run_all(folder, bench)
    second, known = run_all(folder, bench)
    assert second == first
    assert known == [True, True, True]
    assert len(bench.predictor.cases) == 2  # type: ignore[attr-defined]  # a fake keeps them


def test_after_a_kill_it_goes_on_where_it_was(folder: Path, bench: Bench) -> None:
    """A process that dies in its second prediction leaves the first behind, whole, and nothing else."""
    child = os.fork()
    if child == 0:
        victim = FakePredictor()
        victim.hook = lambda: os.kill(os.getpid(), signal.SIGKILL) if len(victim.cases) == 2 else None
        run_all(folder, replace(bench, predictor=victim))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    results, known = run_all(folder, bench)
    assert known == [True, True, False]
    (folder / "clean").mkdir()
    untouched = run(cases(folder), Run(bench, {"bundle": DIGEST}, ResultFolder(folder / "clean")), lambda *_: None)
    assert [replace(one, seconds=0) for one in results] == [replace(one, seconds=0) for one in untouched]


def test_a_changed_input_bundle_or_setting_is_analysed_again(folder: Path, bench: Bench) -> None:
    """The case that it concerns, and no other."""
    run_all(folder, bench)
    assert run_all(folder, bench, segmenter="other")[1] == [False, False, False]
    run_all(folder, bench)
    (folder / "b.nii.gz").rename(folder / "kept")
    (folder / "b.nii.gz").write_bytes((folder / "kept").read_bytes() + b"\0")
    assert run_all(folder, bench)[1] == [True, True, False]
    aged = replace(
        cases(folder)[0], clinical=ClinicalRecord((ClinicalValue(ClinicalVariable.AGE, 60.0, "a", "cohort"),))
    )
    known: list[bool] = []
    how = Run(bench, {"bundle": DIGEST}, ResultFolder(folder / "out"))
    run((aged,), how, lambda _, was_known: known.append(was_known))
    assert known == [False]


def test_what_the_surroundings_did_is_tried_again(folder: Path, bench: Bench) -> None:
    """A failing disk is no property of the case; an error that nobody foresaw says its kind alone."""
    failing = replace(bench, predictor=FakePredictor(hook=raising(StorageFailed("the disk"))))
    assert [one.reason for one in run_all(folder, failing)[0]] == ["NOT_NOW", "UNDECODABLE", "NOT_NOW"]
    strange = replace(bench, predictor=FakePredictor(hook=raising(ZeroDivisionError("Patient^Name"))))
    results, known = run_all(folder, strange)
    assert [one.detail for one in results if one.reason == "INTERNAL"] == ["ZeroDivisionError"] * 2
    assert known == [False, True, False]
    assert [one.reason for one in run_all(folder, bench)[0]] == ["", "UNDECODABLE", ""]


def test_the_files_are_those_that_a_report_is_made_of(folder: Path, bench: Bench) -> None:
    """With failures by their code, and what was measured of regions."""
    results, _ = run_all(folder, bench)
    write_predictions(results, NTR, folder / "predictions.csv")
    (folder / "labels.csv").write_text("case,label\ndicom,high\nnifti,low\nbroken,low\n", encoding="utf-8")
    cohort = read_cohort(folder / "predictions.csv", folder / "labels.csv")
    assert cohort.cases == ("dicom", "nifti")
    assert [(one.reason.split(":")[0], one.names) for one in cohort.exclusions] == [("UNDECODABLE", ("broken",))]
    assert {one.quantity for one in cohort.overlaps} == {"dice", "mean_surface_mm", "hausdorff_mm", "hausdorff_95_mm"}
    assert {one.quantity for one in cohort.measurements} == {"volume_ml", "diameter_mm"}
    assert not cohort.ignored
    assert write_failures(results, folder / "failures.csv") == (results[1],)
    with (folder / "failures.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["case"], row["reason"]) == ("broken", "UNDECODABLE")
