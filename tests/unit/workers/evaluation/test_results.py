"""What became of each case, kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import UsageError
from workers.evaluation.results import CaseResult, Region, ResultFolder, key_of

RESULT = CaseResult(
    case="c1",
    key="k",
    probabilities={"low": 0.25, "high": 0.75},
    called="high",
    digest="d",
    region=Region("dicom-seg", "", 3.5),
    remarks=("SHARP_KERNEL",),
    contributions=(("image", 0.5, False),),
    overlap={"dice": 0.5},
    observers={"A": {"dice": 1.0}},
)


def test_a_result_is_found_again_as_it_was(tmp_path: Path) -> None:
    """Every field of it."""
    folder = ResultFolder(tmp_path / "cases")
    folder.keep(RESULT)
    assert folder.find("c1", "k") == RESULT
    assert [file.name for file in (tmp_path / "cases").iterdir()] == ["c1.json"]


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    """What it rested on has changed."""
    folder = ResultFolder(tmp_path)
    folder.keep(RESULT)
    assert folder.find("c1", "other") is None
    assert folder.find("c2", "k") is None


def test_what_may_end_otherwise_is_tried_again(tmp_path: Path) -> None:
    """A disk that failed, say."""
    folder = ResultFolder(tmp_path)
    folder.keep(replace(RESULT, reason="NOT_NOW", is_final=False))
    assert folder.find("c1", "k") is None


def test_half_a_file_is_no_result(tmp_path: Path) -> None:
    """It is analysed again."""
    folder = ResultFolder(tmp_path)
    folder.keep(RESULT)
    file = tmp_path / "c1.json"
    file.write_text(file.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert folder.find("c1", "k") is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        ResultFolder(tmp_path / "file" / "cases")


def test_the_key_follows_bytes_names_and_facts(tmp_path: Path) -> None:
    """And nothing else: not when a file was written."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    key = key_of({"a": 1}, [one, two])
    one.write_bytes(b"1")
    assert key_of({"a": 1}, [one, two]) == key
    assert len({key, key_of({"a": 2}, [one, two]), key_of({"a": 1}, [one]), key_of({"a": 1}, [two, one])}) == 4
    one.write_bytes(b"3")
    assert key_of({"a": 1}, [one, two]) != key
