"""Outcomes from CSV: all of them, or nothing and the row that is wrong."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from node.errors import UsageError
from node.outcome_file import read_outcomes

KNOWN = {
    "accession": {"ACC-1": {"2.25.1"}, "ACC-2": {"2.25.2", "2.25.3"}},
    "study_uid": {"2.25.1": {"2.25.1"}, "2.25.3": {"2.25.3"}},
}


def studies(column: str, values: Sequence[str]) -> dict[str, set[str]]:
    """What a node has."""
    return {value: KNOWN[column][value] for value in values if value in KNOWN[column]}


def written(folder: Path, text: str) -> Path:
    """A file."""
    path = folder / "outcomes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_names_its_study_by_uid_or_accession_or_both(tmp_path: Path) -> None:
    """Both where an accession has several studies."""
    path = written(
        tmp_path,
        "\ufeffAccession,study_uid,outcome,determined_on,source\n"
        "ACC-1,,T3,2025-01-02,pathology\n,2.25.3,ntr_high,,\nACC-2,2.25.3,T1,,\n",
    )
    found = read_outcomes(path, "Dr Jones", studies)
    assert [(one.study_uid, one.answer) for one in found] == [
        ("2.25.1", "T3"),
        ("2.25.3", "NTR_HIGH"),
        ("2.25.3", "T1"),
    ]
    assert {one.entered_by for one in found} == {"Dr Jones"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("accession,outcome\nACC-1,T3\nACC-9,T3\n", "row 3: no study here"),
        ("accession,outcome\nACC-2,T3\n", "row 2: several studies"),
        ("accession,study_uid,outcome\nACC-1,2.25.3,T3\n", "row 2: no study here"),
        ("accession,outcome\n,T3\n", "row 2: it names no study"),
        ("accession,outcome\nACC-1,benign\n", "row 2: an outcome is one of"),
        ("accession,outcome,mood\nACC-1,T3,good\n", "no column 'mood'"),
        ("accession\nACC-1\n", "needs the column outcome"),
        ("outcome\nT3\n", "needs the column outcome"),
        ("", "needs the column outcome"),
    ],
)
def test_the_first_row_that_is_wrong_is_named_and_nothing_of_it_is_quoted(tmp_path: Path, text: str, why: str) -> None:
    """It may hold a patient's data."""
    with pytest.raises(UsageError, match=why) as raised:
        read_outcomes(written(tmp_path, text), "Dr Jones", studies)
    assert "ACC-" not in str(raised.value)
    assert "benign" not in str(raised.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Not there, or not text."""
    with pytest.raises(UsageError, match="No such file"):
        read_outcomes(tmp_path / "none.csv", "x", studies)
    path = tmp_path / "outcomes.csv"
    path.write_bytes(b"accession,outcome\n\xff\xfe,T3\n")
    with pytest.raises(UsageError, match="no CSV file in UTF-8"):
        read_outcomes(path, "x", studies)
