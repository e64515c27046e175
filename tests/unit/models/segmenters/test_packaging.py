"""A trained segmenter as a bundle in MONAI's layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from models import bundle_files
from models.segmenters import zoo
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter
from node.domain.prediction import TrainingStatus


def test_the_same_network_gives_the_same_bytes(tmp_path: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    """So a training can be repeated and compared by its digest."""
    first, second = (make_tiny_bundle(tmp_path / name) for name in ("a", "b"))
    assert zoo.digest(first) == zoo.digest(second)


def test_what_was_written_is_what_is_loaded(tmp_path: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    """By the same loader as any bundle of the zoo; every result names it and its disclaimer."""
    path = make_tiny_bundle(tmp_path / "b")
    made = CoarseToFineSegmenter("own", path, zoo.digest(path))
    assert (made.name, made.status) == ("own", TrainingStatus.PHANTOM)
    assert "for tests only" in made.made_by
    assert zoo.digest(path)[:12] in made.made_by


def test_it_holds_nothing_that_a_shipped_bundle_may_not_hold(
    tmp_path: Path, make_tiny_bundle: Callable[..., Path]
) -> None:
    """The strict list of kinds of files gives the same digest as the loader of the zoo."""
    path = make_tiny_bundle(tmp_path / "b")
    assert bundle_files.digest(path) == zoo.digest(path)


def test_its_metadata_are_monais(tmp_path: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    """With the fields that the model zoo asks for, and the classes by number."""
    path = make_tiny_bundle(tmp_path / "b")
    metadata = json.loads((path / zoo.METADATA).read_text(encoding="utf-8"))
    assert {"version", "changelog", "monai_version", "task", "intended_use", "data_source"} <= set(metadata)
    outputs = metadata["network_data_format"]["outputs"]
    assert outputs["fine"]["channel_def"]["0"] == "background"
    assert "pancreas-lesion" in outputs["fine"]["channel_def"].values()


def test_a_bundle_that_nobody_validated_needs_a_disclaimer(
    tmp_path: Path, make_tiny_bundle: Callable[..., Path]
) -> None:
    """Nothing of it is written without one."""
    with pytest.raises(ValueError, match="disclaimer"):
        make_tiny_bundle(tmp_path / "b", disclaimer="")
    assert not (tmp_path / "b").exists()


def test_a_bundle_is_never_written_over(tmp_path: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    """What is there stays as it is."""
    path = make_tiny_bundle(tmp_path / "b")
    before = zoo.digest(path)
    with pytest.raises(FileExistsError):
        make_tiny_bundle(path, card="# another\n")
    assert zoo.digest(path) == before
