"""The reference of a bundle: read where there is one, refused where it is damaged, never made up."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.bundle import Bundle, shipped
from models.bundle_store import Library
from models.reference import reference, references
from node.errors import BundleError
from tests.drawn import drawn

SCORES = {"NTR_HIGH": {"edges": [0, 0.5, 1], "counts": [30, 70]}}


def bundle(folder: Path, section: Any) -> Bundle:
    """The shipped bundle with a reference."""
    path = folder / "bundle"
    shutil.copytree(shipped("porcelain"), path)
    file = path / "configs/metadata.json"
    metadata = json.loads(file.read_text())
    metadata["celadon"]["reference"] = section
    file.write_text(json.dumps(metadata))
    return Bundle.open(path)


def test_what_was_trained_has_one_and_what_was_drawn_has_none(tmp_path: Path) -> None:
    """The scores of the held-out cases; where nobody trained, there is nothing that scores could be held to."""
    trained = shipped("porcelain")
    found = references(Library(tmp_path / "models"))[Bundle.open(trained).digest]
    assert found.source == "out-of-fold scores of the training cohort"
    training = json.loads((trained / "configs/metadata.json").read_text())["celadon"]["training"]
    assert sum(found.scores["NTR_HIGH"].counts) * training["folds"] == training["cases"]
    assert reference(Bundle.open(drawn("gtrnet"))) is None


def test_a_reference_is_histograms_and_where_they_are_from(tmp_path: Path) -> None:
    """Scores, inputs, or both."""
    found = reference(bundle(tmp_path, {"from": "out-of-fold scores", "scores": SCORES}))
    assert found is not None
    assert (found.source, found.scores["NTR_HIGH"].counts, found.inputs) == ("out-of-fold scores", (30, 70), {})


@pytest.mark.parametrize(
    "section",
    [
        {"scores": SCORES},
        {"from": "x", "scores": {"NTR_HIGH": {"edges": [0, 1], "counts": [1, 2]}}},
        {"from": "x", "scores": {"NTR_HIGH": {"edges": [0, "1"], "counts": [1]}}},
        {"from": "x", "scores": {"NTR_HIGH": {"edges": [0, 1], "counts": [1.5]}}},
        {"from": "x", "scores": {"NTR_HIGH": {"edges": [0, 1], "counts": [True]}}},
        {"from": "x", "inputs": []},
    ],
)
def test_a_damaged_reference_is_named(tmp_path: Path, section: dict[str, Any]) -> None:
    """With its file and field."""
    made = bundle(tmp_path, section)
    with pytest.raises(BundleError, match=r"reference"):
        reference(made)
