"""Cohort files: what is written is read, what is missing is counted, what is wrong is named with its line."""

import math
from pathlib import Path

import pytest

from models.evaluation.cohort_file import read_cohort
from node.errors import UsageError
from tests.unit.models.evaluation.cohorts import write_cohort

HEAD = "case,p_low,p_high,label"


def written(folder: Path, text: str, name: str = "p.csv") -> Path:
    """A file with this text."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_everything_in_the_files_is_read(tmp_path: Path) -> None:
    """Classes in their order, variants, digests, words, bands, follow-up, readers and covariates."""
    found = read_cohort(*write_cohort(tmp_path))
    assert found.classes == ("T1", "T2", "T3", "T4")
    assert [(one.name, one.digest) for one in found.variants] == [("A", "ab" * 32), ("B", "cd" * 32)]
    assert found.patients == found.cases
    assert found.labels[:5].tolist() == [0, 1, 2, 3, 0]
    assert set(found.descriptors) == {"centre", "sex", "age_years", "thickness_mm"}
    assert set(found.descriptors["age_years"]) == {"< 50", "50 to < 65", "65 to < 75", "≥ 75"}
    assert found.descriptors["thickness_mm"][:3] == ("1 to < 3", "1 to < 3", "≥ 5")
    assert set(found.covariates) == {"cea", "age_years"}
    assert found.follow_ups[0].name == "os"
    assert found.ignored == ()


def test_one_file_is_enough(tmp_path: Path) -> None:
    """With the label in it; a byte-order mark does no harm, and a case without a call is called by probability."""
    file = written(
        tmp_path, "\ufeffcase,p_low,p_high,label,called\na,0.6,0.4,high,high\nb,0.6,0.4,low,\nc,0.5,0.5,low,\n"
    )
    found = read_cohort(file)
    assert found.variants[0].called.tolist() == [1, 0, 0]
    assert found.labels.tolist() == [1, 0, 0]
    assert found.set_names() == ("all",)


def test_cases_without_label_or_prediction_are_counted(tmp_path: Path) -> None:
    """And left out; a column that is not understood is named."""
    said = written(tmp_path, "case,p_low,p_high,colour\na,1,0,red\nb,0,1,red\n")
    true = written(tmp_path, "case,label,patient\na,low,P1\nb,,P1\nz,high,P2\n", "l.csv")
    found = read_cohort(said, true)
    assert (found.cases, found.patients) == (("a",), ("P1",))
    assert {(one.reason, one.cases) for one in found.exclusions} == {("no label", 1), ("no prediction", 1)}
    assert found.ignored == ("colour",)


def test_unknown_follow_up_and_numbers_stay_unknown(tmp_path: Path) -> None:
    """Not zero."""
    file = written(tmp_path, HEAD + ",os_months,os_event,covariate_x,sex\na,1,0,low,,,1.5,F\nb,0,1,high,3,1,,\n")
    found = read_cohort(file)
    assert math.isnan(found.follow_ups[0].months[0])
    assert (found.follow_ups[0].months[1], found.follow_ups[0].events[1]) == (3.0, True)
    assert math.isnan(found.covariates["x"][1])
    assert found.descriptors["sex"] == ("F", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p_low,p_high,label\n", "has no column case"),
        ("case,p_low,label\n", "two or more classes"),
        ("case,p_low,p_high\na,1,0\n", "has no column label"),
        ("case,case,p_low,p_high,label\n", "two columns case"),
        (HEAD + "\n", "no case has both"),
        (HEAD + "\n,1,0,low\n", "line 2: column case: '' names no case"),
        (HEAD + "\na,1,0,low\na,1,0,low\n", "line 3: column case: 'a' stands in line 2 already"),
        (HEAD + "\na,0.9,0.3,low\n", "line 2: the probabilities add up to 1.2000"),
        (HEAD + "\na,1.5,-0.5,low\n", "line 2: column p_low: '1.5' is no probability"),
        (HEAD + "\na,x,0,low\n", "line 2: column p_low: 'x' is not a number"),
        (HEAD + "\na,nan,0,low\n", "line 2: column p_low: 'nan' is not a number"),
        (HEAD + "\na,,0,low\n", "line 2: column p_low: '' is no probability"),
        (HEAD + "\na,1,0,Low\n", "line 2: column label: 'Low' is none of the classes low, high"),
        (HEAD + "\na,1,0\n", "line 2: has not the 4 fields"),
        (HEAD + "\na,1,0,low,x\n", "line 2: has not the 4 fields"),
        (HEAD + ",os_months,os_event\na,1,0,low,3,2\n", "line 2: column os_event: '2' is neither 0 nor 1"),
        (HEAD + ",os_months,os_event\na,1,0,low,3,\n", "one is given without the other"),
        (HEAD + ",os_months,os_event\na,1,0,low,-3,1\n", "lies before the start"),
        (HEAD + ",reader_x\na,1,0,low,middle\n", "line 2: column reader_x: 'middle' is none of"),
        (HEAD + ",digest\na,1,0,low,d1\nb,1,0,low,d2\n", "digests of 2 bundles"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """File, line, column and what stands there."""
    with pytest.raises(UsageError) as error:
        read_cohort(written(tmp_path, text))
    assert words in str(error.value)
    assert "p.csv" in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not there, or not text."""
    with pytest.raises(UsageError, match=r"none\.csv: cannot be read"):
        read_cohort(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"case,p_low\n\xff\xfe\n")
    with pytest.raises(UsageError, match=r"b\.csv: cannot be read"):
        read_cohort(tmp_path / "b.csv")


def test_what_the_file_of_labels_has_not_is_taken_from_the_predictions(tmp_path: Path) -> None:
    """Whose cases they are most of all: without it, intervals would take every case for another patient."""
    said = written(tmp_path, "case,p_low,p_high,patient,label\na,1,0,P,low\nb,0,1,P,low\nc,0,1,Q,low\n")
    true = written(tmp_path, "case,label\na,low\nb,high\nc,high\n", "l.csv")
    found = read_cohort(said, true)
    assert found.patients == ("P", "P", "Q")
    assert found.labels.tolist() == [0, 1, 1]


def test_variants_must_not_contradict_each_other_about_the_truth(tmp_path: Path) -> None:
    """A case has one label, whoever predicts it; a variant may leave it out."""
    head = "case,variant,p_low,p_high,label\na,A,1,0,low\nb,A,0,1,high\n"
    assert read_cohort(written(tmp_path, head + "a,B,1,0,\nb,B,1,0,high\n")).labels.tolist() == [0, 1]
    with pytest.raises(UsageError, match="line 4: column label: 'high' and 'low' in line 2 are of one case"):
        read_cohort(written(tmp_path, head + "a,B,1,0,high\nb,B,1,0,high\n"))
