"""The file of a cohort whose images are analysed."""

import csv
from pathlib import Path

import pytest

from models.evaluation.answers import NTR, T_CATEGORY
from node.domain.clinical import ClinicalVariable
from node.errors import UsageError
from workers.evaluation.manifest import Manifest, read_manifest, write_labels


def manifest(folder: Path, *lines: str) -> Path:
    """A file of these lines in ``folder``, which has an image ``a`` and a mask ``m.nii.gz``."""
    (folder / "a").mkdir(exist_ok=True)
    (folder / "m.nii.gz").write_bytes(b"")
    file = folder / "cohort.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def labels(read: Manifest, file: Path, question: object = NTR) -> list[dict[str, str]]:
    """What is written of it."""
    write_labels(read, question, file)  # type: ignore[arg-type]  # a question of either predictor
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_cohort_is_read(tmp_path: Path) -> None:
    """Paths are relative to the file; a folder stands for its cohort.csv; masks and values may be missing."""
    manifest(
        tmp_path,
        "id;image;mask;mask_A;mask_B;label;centre;age[a];sex;ca19_9[U/mL];os_months;os_event",
        "c1;a;m.nii.gz;m.nii.gz;;1;X;61;F;212;12.5;1",
        "c2;a;;;;low;Y;;;;;",
    )
    found = read_manifest(tmp_path)
    first, second = found.cases
    assert (first.name, first.image, first.mask) == ("c1", tmp_path / "a", tmp_path / "m.nii.gz")
    assert first.observers == {"A": tmp_path / "m.nii.gz"}
    assert [value.variable for value in first.clinical.values] == [
        ClinicalVariable.AGE,
        ClinicalVariable.SEX,
        ClinicalVariable.CA19_9,
    ]
    assert (second.mask, second.clinical.values) == (None, ())


def test_what_is_known_of_a_case_becomes_labels(tmp_path: Path) -> None:
    """Classes by their own names; age and sex for subgroups; nothing of images and laboratory values."""
    manifest(
        tmp_path,
        "case,image,label,centre,age[a],sex,cea[ng/mL],reader_x,os_months,os_event",
        "c1,a,1,X,61,F,3,low,12.5,1",
        "c2,a,,Y,,,,,,",
    )
    assert labels(read_manifest(tmp_path), tmp_path / "labels.csv") == [
        {"case": "c1", "label": "high", "centre": "X", "reader_x": "low", "os_months": "12.5", "os_event": "1",
         "age_years": "61", "sex": "F"},
        {"case": "c2", "label": "", "centre": "Y", "reader_x": "", "os_months": "", "os_event": "",
         "age_years": "", "sex": ""},
    ]  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), [("T1b", "T1"), ("4", "T4"), ("t4a", "T4")])
def test_t_categories_may_be_written_as_people_write_them(tmp_path: Path, word: str, expected: str) -> None:
    """With their subdivisions."""
    manifest(tmp_path, "case,image,label", f"c1,a,{word}")
    assert labels(read_manifest(tmp_path), tmp_path / "labels.csv", T_CATEGORY)[0]["label"] == expected


def test_a_word_that_is_no_class_is_said_with_its_case(tmp_path: Path) -> None:
    """And nothing is written."""
    manifest(tmp_path, "case,image,label", "c1,a,perhaps")
    with pytest.raises(UsageError, match="case c1: column label: 'perhaps' is none of the classes low, high"):
        labels(read_manifest(tmp_path), tmp_path / "labels.csv")
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize("lines", [("case,image", "c1,a"), ("case,image,label", "c1,a,")])
def test_a_cohort_without_a_label_is_missed_before_its_images_are_analysed(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    """Rather than hours later, by the report."""
    manifest(tmp_path, *lines)
    with pytest.raises(UsageError, match="no case has a label"):
        labels(read_manifest(tmp_path), tmp_path / "labels.csv")


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    """Each with its line and column."""
    file = manifest(
        tmp_path,
        "case,image,mask,ca19_9[U/mL]",
        "c1,gone,,",
        "c1,a,gone.nii.gz,",
        "../c3,a,,",
        "c4,a,,many",
        "c5,,,",
    )
    with pytest.raises(UsageError) as failed:
        read_manifest(file)
    assert str(failed.value).split("\n  ")[1:] == [
        "line 2: column image: gone: there is no such file or folder",
        "line 3: column case: stands in line 2 already",
        "line 3: column mask: gone.nii.gz: there is no such file or folder",
        "line 4: column case: '../c3' is not 1 to 64 letters, digits, dots, dashes and underscores",
        "line 5: column ca19_9[U/mL]: 'many' is not a number",
        "line 6: column image: is empty",
    ]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("image,label", "a,low"), "column case: is missing"),
        (("case,label", "c1,low"), "column image: is missing"),
        (("case,image",), "there is no case"),
        (("case,image,image", "c1,a,a"), "two columns 'image'"),
        (("case,image", "c1,a,b"), "line 2: has not the 2 fields"),
        (("case,image,ca19_9", "c1,a,3"), r"column ca19_9: .*write ca19_9\[U/mL\]"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, lines: tuple[str, ...], why: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=why):
        read_manifest(manifest(tmp_path, *lines))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(UsageError, match=r"cohort\.csv: cannot be read"):
        read_manifest(tmp_path)
