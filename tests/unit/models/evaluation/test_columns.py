"""A CSV file as columns."""

from pathlib import Path

import numpy as np
import pytest

from models.evaluation.columns import Columns
from node.errors import UsageError


def columns(folder: Path, *lines: str) -> Columns:
    """Of these lines."""
    (folder / "x.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Columns(folder / "x.csv")


def test_words_numbers_and_events(tmp_path: Path) -> None:
    """What is empty is unknown; an event may be unknown where its time is."""
    found = columns(tmp_path, "case,centre,ntr,os_months,os_event", "a,X,1.5,12,1", "b,,,,")
    assert found.cases == ("a", "b")
    assert found.words("centre") == ("X", "")
    assert np.array_equal(found.numbers("ntr"), [1.5, np.nan], equal_nan=True)
    assert found.events("os_event", found.numbers("os_months")).tolist() == [True, False]


def test_patients_are_numbered(tmp_path: Path) -> None:
    """Without such a column every case is another patient."""
    assert columns(tmp_path, "case,patient", "a,p", "b,q", "c,p").groups("patient").tolist() == [0, 1, 0]
    assert columns(tmp_path, "case", "a", "b").groups("patient").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("id", "a"), "no column 'case'; it has id"),
        (("case",), "holds no case"),
        (("case", "a", "a"), "line 2: column case: 'a' is no name, or stands twice"),
        (("case,x", "a"), "line 2: has not the 2 fields"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, lines: tuple[str, ...], why: str) -> None:
    """With its line."""
    with pytest.raises(UsageError, match=why):
        columns(tmp_path, *lines)


@pytest.mark.parametrize("text", ["x", "nan", "inf"])
def test_what_is_no_number_is_said(tmp_path: Path, text: str) -> None:
    """NaN is no number either."""
    with pytest.raises(UsageError, match=f"line 2: column ntr: '{text}' is not a number"):
        columns(tmp_path, "case,ntr", f"a,{text}").numbers("ntr")


@pytest.mark.parametrize(("event", "months"), [("2", "1"), ("", "1"), ("yes", "")])
def test_an_event_is_0_or_1(tmp_path: Path, event: str, months: str) -> None:
    """And there wherever a time is."""
    found = columns(tmp_path, "case,m,e", f"a,{months},{event}")
    with pytest.raises(UsageError, match="is neither 0 nor 1"):
        found.events("e", found.numbers("m"))
