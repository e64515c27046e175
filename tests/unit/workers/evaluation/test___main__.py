"""``celadon evaluate --cohort`` as a process runs it."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle_store import Library
from tests.fakes import FakePredictor
from tests.unit.workers.evaluation.conftest import nifti, voxels
from workers import bootstrap
from workers.evaluation.__main__ import main
from workers.evaluation.examine import Bench


@pytest.fixture
def cohort(folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve cases and one that is broken, with fakes for the models."""
    for index in range(12):
        nifti(folder / f"{index}.nii.gz", np.roll(voxels(), index, axis=1))
    lines = ["case,image,mask,label,centre,patient"]
    lines += [f"c{index},{index}.nii.gz,b-mask.nii.gz,{('low', 'high')[index % 2]},X,p{index}" for index in range(12)]
    lines += ["bad,broken.nii.gz,,high,Y,p99"]
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    digest = Library(folder / "data" / "models").entry("porcelain").open().digest
    predictor = FakePredictor(identity=replace(bench.predictor.identity, digest=digest))

    class Closing:
        read_annotation = staticmethod(bench.decoder.read_annotation)
        width = 1

        def close(self) -> None: ...

    monkeypatch.setattr(bootstrap, "open_bench", lambda *_: (predictor, bench.segmenters, Closing()))
    monkeypatch.setenv("CELADON_DATA_DIR", str(folder / "data"))
    monkeypatch.chdir(folder)
    return folder


def run(folder: Path, *more: str) -> int:
    """Its exit code."""
    words = ["--cohort", str(folder), "--bundle", "porcelain", "--out", str(folder / "out"), "--draws", "100", *more]
    return main(words)


def test_a_cohort_ends_in_a_report(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what was predicted, what failed and why; the JSON is alone on standard output."""
    assert run(cohort, "--json") == 0
    said = capsys.readouterr()
    found: dict[str, Any] = json.loads(said.out)
    assert found["analysis"]["found"] == 13
    assert found["analysis"]["left_out"][0][0] == "bad"
    assert found["analysis"]["left_out"][0][1].startswith("UNDECODABLE: ")
    assert found["analysis"]["sets"][0]["cases"] == 12
    assert "bad: UNDECODABLE" in said.err
    assert "1 of 13 cases have no answer" in said.err
    names = {file.name for file in (cohort / "out").iterdir()}
    assert names >= {
        "predictions.csv",
        "labels.csv",
        "failures.csv",
        "cases",
        "report.html",
        "report.pdf",
        "report.json",
    }
    assert "UNDECODABLE" in (cohort / "out" / "report.html").read_text(encoding="utf-8")


def test_the_same_command_goes_on(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is predicted twice, and the report is the same but for the time that it was made."""
    assert run(cohort, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    files = {file: file.stat().st_mtime_ns for file in (cohort / "out" / "cases").iterdir()}
    assert run(cohort, "--json") == 0
    assert {file: file.stat().st_mtime_ns for file in (cohort / "out" / "cases").iterdir()} == files
    assert len(files) == 13
    assert json.loads(capsys.readouterr().out)["analysis"] == first["analysis"]


def test_masks_may_be_compared_instead(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report says how far the segmenter's regions agree with them."""
    assert run(cohort, "--regions", "segmenter", "--json") == 0
    overlaps = json.loads(capsys.readouterr().out)["analysis"]["overlaps"]
    assert {one["measure"] for one in overlaps} == {"dice", "mean_surface_mm", "hausdorff_mm", "hausdorff_95_mm"}
    assert all(one["mean"]["cases"] == 12 for one in overlaps)


def test_two_runs_do_not_share_a_folder(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one says so and touches nothing."""
    (cohort / "out").mkdir()
    with (cohort / "out" / ".running").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(cohort) == 2
    assert "another run is at work" in capsys.readouterr().err
    assert not (cohort / "out" / "predictions.csv").exists()


@pytest.mark.parametrize(("bundle", "why"), [("nobodys", "nobodys"), ("segmenter", "segmenter")])
def test_a_bundle_that_does_not_predict_is_refused(
    cohort: Path, bundle: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read."""
    assert main(["--cohort", str(cohort), "--bundle", bundle]) == 2
    assert why in capsys.readouterr().err


def test_where_every_case_fails_there_is_no_report(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit code says so."""
    text = "case,image,label\nbad,broken.nii.gz,high\n"
    (cohort / "cohort.csv").write_text(text, encoding="utf-8")
    assert run(cohort) == 1
    assert "no case has an answer" in capsys.readouterr().err
    assert not (cohort / "out" / "report.html").exists()
