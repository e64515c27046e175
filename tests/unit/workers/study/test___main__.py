"""``celadon study porcelain``: from a cohort to Table 2, with a network of one epoch. All seven: ``make study``."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.models.training.manifests import case_files, manifest
from workers.study.__main__ import main

CASES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases to learn from and three of another centre, one of which has no image that can be read."""
    folder = tmp_path_factory.mktemp("study")
    rows = [
        case_files(folder, f"c{index}", index, coarse=bool(index % 2))
        | {"label": ("low", "high")[index % 2], "set": "external-B" if index > 5 else "", "os_months": str(3 + index)}
        | {"os_event": "1"}
        for index in range(CASES)
    ]
    (folder / "c8.nii.gz").write_bytes(b"no image")
    manifest(folder, rows)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What the study says, of one model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELADON_DATA_DIR", str(folder / "data"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MKL_NUM_THREADS", "1")
        assert run(folder) == 0
    document: dict[str, Any] = json.loads((folder / "out" / "study.json").read_text(encoding="utf-8"))
    return document


def run(folder: Path, *more: str) -> int:
    """Its exit code."""
    words = ["porcelain", "--cohort", str(folder), "--out", str(folder / "out"), "--variants", "roi", "--folds", "2"]
    few = [
        "--set",
        "epochs=1",
        "--set",
        "batch_size=2",
        "--draws",
        "100",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--quiet",
    ]
    return main([*words, *few, *more])


def test_table_2_has_a_row_for_each_model_and_set(found: dict[str, Any]) -> None:
    """With the numbers of cases that each rests on: the paper's own do not add up."""
    assert [(row["model"], row["set"], row["cases"], row["positive"]) for row in found["table2"]] == [
        ("roi", "training", 6, 3),
        ("roi", "internal", 6, 3),
        ("roi", "external", 2, 1),
    ]


def test_the_files_are_there(folder: Path, found: dict[str, Any]) -> None:
    """Table, page, paper, figures of each kind, and the full report."""
    out = folder / "out"
    with (out / "table2.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Set"] for row in rows] == ["Training", "Internal validation", "External validation"]
    assert (out / "study.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "report" / "report.json").is_file()
    names = " ".join(file.name for file in (out / "figures").iterdir())
    assert all(kind in names for kind in ("roc", "radar", "confusion", "grad-cam"))


def test_internal_validation_is_by_networks_that_had_not_seen_the_case(folder: Path, found: dict[str, Any]) -> None:
    """It is what the training's own file says, and not what the finished network says of the same case."""
    out = folder / "out"
    with (out / "variants" / "roi" / "training" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        held_out = {row["id"]: float(row["output_0"]) for row in csv.DictReader(stream)}
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        said = {row["case"]: row["p_high"] for row in csv.DictReader(stream)}
    assert {case: float(said[case]) for case in held_out} == held_out
    assert any(said[f"{case}.training"] != said[case] for case in held_out)


def test_what_has_no_answer_is_told(folder: Path, found: dict[str, Any]) -> None:
    """By model, case and code; and nothing is claimed of what was trained on little."""
    assert found["failures"] == [{"model": "roi", "case": "c8", "reason": "UNDECODABLE"}]
    assert found["warnings"]
    assert "UNDECODABLE" in (folder / "out" / "study.html").read_text(encoding="utf-8")


def test_the_same_command_goes_on(folder: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither trains nor predicts again."""
    monkeypatch.setenv("CELADON_DATA_DIR", str(folder / "data"))
    cases = folder / "out" / "variants" / "roi" / "cases"
    before = {file: file.stat().st_mtime_ns for file in cases.iterdir()}
    digest = found["provenance"]["bundle roi"]
    assert run(folder) == 0
    again = json.loads((folder / "out" / "study.json").read_text(encoding="utf-8"))
    assert again["table2"] == found["table2"]
    assert again["provenance"]["bundle roi"] == digest
    assert {file: file.stat().st_mtime_ns for file in cases.iterdir()} == before


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--variants", "cuboid,nobodys"), "there is no 'nobodys'"),
        (("--external", ""), "every case is external"),
    ],
)
def test_what_is_wrong_is_said(
    folder: Path, more: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 2."""
    words = ["porcelain", "--cohort", str(folder), "--out", str(tmp_path / "out"), "--threads", "1", *more]
    assert main(words) == 2
    assert why in capsys.readouterr().err
