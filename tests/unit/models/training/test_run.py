"""A whole training, and the folder that it lives in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.training.journal import HISTORY, Journal
from models.training.run import DESCRIPTION, PREDICTIONS, SUMMARY, Wish, train
from node.errors import UsageError
from tests.unit.models.training.conftest import Trained, finished


def test_the_folder_holds_what_it_says(porcelain_training: Trained) -> None:
    """Description, history, TensorBoard's files, predictions, bundle and summary; no checkpoint is left."""
    out = porcelain_training.wish.out
    run = out / "folds" / "fold-0"
    assert {DESCRIPTION, PREDICTIONS, SUMMARY, "bundle", "folds", "cache"} == {path.name for path in out.iterdir()}
    assert {HISTORY, "tensorboard", "fitted.safetensors"} == {path.name for path in run.iterdir()}
    assert len((run / HISTORY).read_text(encoding="utf-8").splitlines()) == 2


def test_the_summary_is_what_json_prints(porcelain_training: Trained) -> None:
    """And names the bundle's digest."""
    out = porcelain_training.wish.out
    assert json.loads((out / SUMMARY).read_text(encoding="utf-8")) == porcelain_training.summary
    assert porcelain_training.summary["digest"] == porcelain_training.bundle.digest
    assert porcelain_training.summary["judged"] == 4


def test_predictions_name_no_patient(porcelain_training: Trained) -> None:
    """Cases by their pseudonyms alone."""
    text = (porcelain_training.wish.out / PREDICTIONS).read_text(encoding="utf-8")
    assert text.splitlines()[0] == "id,centre,fold,label,output_0"
    assert "p-c" not in text


def test_the_same_command_in_a_finished_folder_gives_the_same_bundle(porcelain_training: Trained) -> None:
    """Without training again: the runs are as they were."""
    run = porcelain_training.wish.out / "folds" / "fold-0" / "fitted.safetensors"
    before = run.stat().st_mtime_ns
    assert finished(porcelain_training.wish).summary == porcelain_training.summary
    assert run.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 5}, "seed"),
        ({"settings": ("epochs=3",)}, "hyper_parameters"),
        ({"options": {"rough": 0}}, "options"),
        ({"folds": 3}, "folds"),
        ({"is_single": False}, "single"),
        ({"task": "gtrnet"}, "task"),
    ],
)
def test_another_training_needs_another_folder(porcelain_training: Trained, change: dict[str, Any], named: str) -> None:
    """What differs is said, and nothing is overwritten."""
    if "task" in change:
        manifest = porcelain_training.wish.cohort
        assert manifest is not None
        other = manifest.with_name("t.csv")
        text = manifest.read_text(encoding="utf-8").splitlines()
        column = text[0].split(",").index("label")
        rows = [line.split(",") for line in text[1:]]
        rows = [[*row[:column], f"T{1 + number % 4}", *row[column + 1 :]] for number, row in enumerate(rows)]
        other.write_text("\n".join([text[0], *(",".join(row) for row in rows)]), encoding="utf-8")
        change = change | {"cohort": other, "settings": ("epochs=2", "batch_size=4", "patience=2")}
    with pytest.raises(UsageError, match=rf"holds another training \(it differs in .*{named}"):
        finished(replace(porcelain_training.wish, **change))


def test_a_folder_with_other_things_is_left_alone(porcelain_training: Trained, tmp_path: Path) -> None:
    """Somebody's files are not mixed with a training's."""
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UsageError, match="is not empty, and holds no training"):
        finished(replace(porcelain_training.wish, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_spoilt_description_is_said(porcelain_training: Trained, tmp_path: Path) -> None:
    """Rather than guessed at."""
    (tmp_path / DESCRIPTION).write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be read"):
        finished(replace(porcelain_training.wish, out=tmp_path))


def test_phantoms_are_not_chosen_in_a_cohort(tmp_path: Path) -> None:
    """What would have no effect is no option."""
    wish = Wish("segmenter", tmp_path / "out", 0, cohort=tmp_path / "cohort.csv", options={"hard": 5})
    with Journal(quiet=True) as journal, pytest.raises(UsageError, match="--hard: of phantoms"):
        train(wish, journal)
