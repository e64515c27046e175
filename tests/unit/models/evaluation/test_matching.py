"""Outcomes joined with recorded cases."""

from pathlib import Path

import pytest

from models.evaluation.matching import Fate, Identity, Match, match, read_outcomes
from node.errors import UsageError

CASES = (
    Identity("one", "1.2.1", "A1", "P1", "H"),
    Identity("two", "1.2.2", "A2", "P1", "H"),
    Identity("three", "1.2.3", "A3", "P3", "H"),
    Identity("four", "1.2.4", "A4", "P3", "OTHER"),
)


def outcomes(folder: Path, *lines: str) -> tuple[Match, ...]:
    """What becomes of these lines."""
    file = folder / "outcomes.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return match(read_outcomes(file), CASES)


def test_the_most_certain_identifier_decides(tmp_path: Path) -> None:
    """A study by its UID or accession number, a patient by their ID where they have one study."""
    found = outcomes(
        tmp_path,
        "study_uid,accession,patient_id,issuer,label",
        "1.2.1,,,,high",
        ",A2,,,low",
        ",,P3,H,low",
        "1.2.4,A4,P3,OTHER,high",
    )
    assert [(one.fate, one.case) for one in found] == [
        (Fate.MATCHED, "one"),
        (Fate.MATCHED, "two"),
        (Fate.MATCHED, "three"),
        (Fate.MATCHED, "four"),
    ]


def test_nothing_is_guessed(tmp_path: Path) -> None:
    """Each line that does not fit one case, and one case alone, is told why."""
    found = outcomes(
        tmp_path,
        "study_uid,accession,patient_id,issuer,label",
        "9.9,,,,high",
        ",,P1,,high",
        ",,P3,,high",
        "1.2.3,A1,,,high",
        "1.2.4,,P1,,high",
        ",,,H,high",
    )
    assert [one.fate for one in found] == [
        Fate.UNMATCHED,
        Fate.SEVERAL_CASES,
        Fate.SEVERAL_CASES,
        Fate.CONTRADICTED,
        Fate.CONTRADICTED,
        Fate.NAMELESS,
    ]
    assert not any(one.case for one in found)


def test_two_outcomes_of_one_case_are_both_left_out(tmp_path: Path) -> None:
    """Even when they agree: which is right, a person says."""
    found = outcomes(tmp_path, "accession,study_uid,label", "A1,,high", ",1.2.1,high", "A2,,low")
    assert [one.fate for one in found] == [Fate.SEVERAL_OUTCOMES, Fate.SEVERAL_OUTCOMES, Fate.MATCHED]
    assert [one.case for one in found] == ["", "", "two"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("case,label\nx,high\n", "none of the columns study_uid, accession, patient_id"),
        ("patient_id\nP1\n", "no column label"),
        ("patient_id,label\nP1\n", "line 2: has not the 2 fields"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, text: str, why: str) -> None:
    """In one line."""
    (tmp_path / "outcomes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=why):
        read_outcomes(tmp_path / "outcomes.csv")
