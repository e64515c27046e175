"""Reader plans: balanced, blinded, seeded, and not written over."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from models.evaluation.reader_plan import plan, read_answers, read_key, write_plan
from node.errors import UsageError

CASES = [f"case-{index:02d}" for index in range(22)]
CLASSES = ["T1"] * 8 + ["T2"] * 7 + ["T3"] * 7
READERS = ["Ann", "Ben", "Cid"]


def test_each_reader_reads_each_case_once_with_and_once_without_help() -> None:
    """In two sessions, and each session has about half of each class with help."""
    found = plan(CASES, CLASSES, READERS, 5)
    assert len(found) == 22 * 3 * 2
    for reader in READERS:
        of_reader = [one for one in found if one.reader == reader]
        arms = Counter((one.case, one.assisted) for one in of_reader)
        assert set(arms.values()) == {1}
        assert len(arms) == 44
        assert len({(one.case, one.session) for one in of_reader}) == 44
        for session in (1, 2):
            helped = Counter(
                CLASSES[CASES.index(one.case)] for one in of_reader if one.session == session and one.assisted
            )
            assert helped["T1"] == 4
            assert helped["T2"] in {3, 4}
            assert helped["T3"] in {3, 4}
            assert sorted(one.position for one in of_reader if one.session == session) == list(range(1, 23))


def test_codes_say_nothing_and_are_never_used_twice() -> None:
    """Nor is the order that of another reader or session."""
    found = plan(CASES, CLASSES, READERS, 5)
    assert len({one.code for one in found}) == len(found)
    assert not any(one.case in one.code for one in found)
    orders = {tuple(one.case for one in found if (one.reader, one.session) == who) for who in
              ((reader, session) for reader in READERS for session in (1, 2))}  # fmt: skip
    assert len(orders) == 6


def test_a_seed_gives_the_same_plan() -> None:
    """And another gives another."""
    assert plan(CASES, CLASSES, READERS, 5) == plan(CASES, CLASSES, READERS, 5)
    assert plan(CASES, CLASSES, READERS, 5) != plan(CASES, CLASSES, READERS, 6)


def test_sheets_have_neither_case_nor_truth(tmp_path: Path) -> None:
    """The key has all, and is read back as it was; a plan is not written over."""
    readings = plan(CASES, CLASSES, READERS, 5)
    key, *sheets = write_plan(readings, tmp_path / "study")
    assert read_key(key) == readings
    assert len(sheets) == 3
    for sheet, reader in zip(sheets, READERS, strict=True):
        text = sheet.read_text(encoding="utf-8")
        assert not any(word in text for word in (*CASES, "T1", "T2", "T3"))
        rows = list(csv.DictReader(text.splitlines()))
        assert {row["code"] for row in rows} == {one.code for one in readings if one.reader == reader}
    with pytest.raises(UsageError, match="not written over"):
        write_plan(readings, tmp_path / "study")


def test_answers_are_read_from_filled_sheets(tmp_path: Path) -> None:
    """Lines without an answer are left out; a time may be missing."""
    sheet = tmp_path / "s.csv"
    sheet.write_text("code,called,seconds\n1,T2,31.5\n2,,\n3,T1,\n", encoding="utf-8")
    found = read_answers([sheet], ("T1", "T2"))
    assert found["1"] == (1, 31.5)
    assert "2" not in found
    assert found["3"][0] == 0
    assert found["3"][1] != found["3"][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code,called\n", "no column seconds"),
        ("code,called,seconds\n1,T9,3\n", "line 2: 'T9' is none of the classes T1, T2"),
        ("code,called,seconds\n1,T1,x\n", "line 2: 'x' is not a time"),
        ("code,called,seconds\n1,T1,-3\n", "line 2: '-3' is not a time"),
        ("code,called,seconds\n1,T1,inf\n", "line 2: 'inf' is not a time"),
        ("code,called,seconds\n1,T1,3\n1,T2,3\n", "line 3: code '1' is answered already"),
    ],
)
def test_an_answer_that_is_none_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With its line."""
    sheet = tmp_path / "s.csv"
    sheet.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        read_answers([sheet], ("T1", "T2"))


def test_a_plan_needs_names(tmp_path: Path) -> None:
    """Each once; and a key must be one."""
    with pytest.raises(UsageError, match="readers"):
        plan(CASES, CLASSES, ["Ann", "Ann"], 1)
    with pytest.raises(UsageError, match="cases"):
        plan([], [], ["Ann"], 1)
    key = tmp_path / "key.csv"
    key.write_text("code,reader,session,position,assisted,case\n1,Ann,one,1,True,c\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 2"):
        read_key(key)
    key.write_text(
        "code,reader,session,position,assisted,case\n1,Ann,1,1,True,c\n1,Ann,2,1,False,c\n", encoding="utf-8"
    )
    with pytest.raises(UsageError, match="line 3: code '1' stands there already"):
        read_key(key)
