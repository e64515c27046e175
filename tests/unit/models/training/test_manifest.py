"""The manifest of a cohort: read, or refused with every fault and its line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from models.training.cohort import NTR, T_STAGE, Cohort, FileSource
from models.training.manifest import CohortError, read_manifest
from node.domain.clinical import ClinicalVariable
from node.domain.prediction import TrainingStatus
from node.errors import UsageError
from tests.unit.models.training.manifests import (
    Row,
    case_files,
    clinical,
    lesion,
    manifest,
    save_image,
    series_files,
    texture,
)

Change = Callable[[Path, list[Row]], object]


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Four cases with clinical values, a centre and a label."""
    files = [case_files(tmp_path, f"c{index}", index, coarse=bool(index % 2)) for index in range(3)]
    files.append(series_files(tmp_path, "c3"))
    return [
        row | {"label": ("low", "high")[index % 2], "centre": f"site-{index // 2}"} | clinical(index)
        for index, row in enumerate(files)
    ]


def read(folder: Path, rows: Sequence[Row], delimiter: str = ",") -> Cohort:
    """The cohort of these rows."""
    return read_manifest(manifest(folder, rows, delimiter), NTR)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_cohort_is_read(tmp_path: Path, rows: list[Row], delimiter: str) -> None:
    """Ids, labels, centres and paths, of NIfTI files and of a DICOM series' folder."""
    cohort = read(tmp_path, rows, delimiter)
    assert [case.id for case in cohort.cases] == ["c0", "c1", "c2", "c3"]
    assert [case.label for case in cohort.cases] == [0, 1, 0, 1]
    assert cohort.centres == {"site-0": 2, "site-1": 2}
    assert cohort.status is TrainingStatus.UNVALIDATED
    assert cohort.cases[3].source == FileSource(tmp_path / "c3", tmp_path / "c3-mask.nii.gz")


def test_clinical_values_have_the_units_of_their_headings(tmp_path: Path, rows: list[Row]) -> None:
    """As the heading has them; an empty cell is no value."""
    record = read(tmp_path, rows).cases[2].clinical
    values = {value.variable: (value.value, value.unit) for value in record.values}
    assert values[ClinicalVariable.HAEMOGLOBIN] == (119.0, "g/L")
    assert values[ClinicalVariable.CLINICAL_N] == ("N2", "")
    assert ClinicalVariable.CA19_9 not in values


def test_a_folder_stands_for_its_manifest(tmp_path: Path, rows: list[Row]) -> None:
    """``--cohort DIR`` is ``DIR/cohort.csv``."""
    file = manifest(tmp_path, rows)
    assert read_manifest(tmp_path, NTR) == read_manifest(file, NTR)


def test_t_stages_have_their_words(tmp_path: Path, rows: list[Row]) -> None:
    """T4a and T4b are one class."""
    for row, label in zip(rows, ("T1b", "t2", "3", "T4a"), strict=True):
        row["label"] = label
    assert [case.label for case in read_manifest(manifest(tmp_path, rows), T_STAGE).cases] == [0, 1, 2, 3]


def set_cell(line: int, column: str, value: str) -> Change:
    """A change of one cell; lines count from 2, as in the file."""
    return lambda _, rows: rows[line - 2].__setitem__(column, value)


def another_grid(folder: Path, rows: list[Row]) -> None:
    """The mask of the second case shifted by a voxel."""
    save_image(folder / rows[1]["mask"], lesion().astype(np.uint8), origin=(-10.8, -20.0, 30.0))


def fewer_slices(folder: Path, rows: list[Row]) -> None:
    """The mask of the second case without its last slice."""
    save_image(folder / rows[1]["mask"], lesion()[:-1].astype(np.uint8))


def coarser(folder: Path, rows: list[Row]) -> None:
    """The mask of the second case with other voxels."""
    save_image(folder / rows[1]["mask"], lesion().astype(np.uint8), (1.0, 0.8, 3.0))


def flat(folder: Path, rows: list[Row]) -> None:
    """The image of the second case with two axes."""
    save_image(folder / rows[1]["image"], texture(1, coarse=False)[0], (1.0, 1.0, 1.0))


def no_image(folder: Path, rows: list[Row]) -> None:
    """The image of the second case is text."""
    (folder / rows[1]["image"]).write_text("text", encoding="utf-8")


def two_folds(_: Path, rows: list[Row]) -> None:
    """The first patient comes back in another fold."""
    for row, fold in zip(rows, "0101", strict=True):
        row["fold"] = fold
    rows[1]["patient"] = rows[0]["patient"]


def some_folds(_: Path, rows: list[Row]) -> None:
    """A fold for two of four."""
    for row, fold in zip(rows, ("0", "1", "", ""), strict=True):
        row["fold"] = fold


def gapped(folder: Path, rows: list[Row]) -> None:
    """A slice of the series is gone."""
    rows[3] = rows[3] | series_files(folder, "gap", missing=4) | {"id": "c3"}


FAULTS: dict[str, tuple[Change, str]] = {
    "missing image": (set_cell(3, "image", "none.nii.gz"), "line 3, column image: none.nii.gz: there is no such file"),
    "empty mask": (set_cell(4, "mask", ""), "line 4, column mask: is empty"),
    "wrong label": (set_cell(3, "label", "medium"), "line 3, column label: 'medium' is not one of low, high"),
    "no label": (set_cell(3, "label", ""), "line 3, column label: '' is not one of low, high"),
    "duplicate id": (set_cell(4, "id", "c1"), "line 4, column id: c1 is that of line 3"),
    "odd id": (set_cell(2, "id", "../x"), "line 2, column id: '../x' is not"),
    "no patient": (set_cell(5, "patient", ""), "line 5, column patient: is empty"),
    "same image": (set_cell(3, "image", "c0.nii.gz"), "line 3, column image: the same image is given for another"),
    "no number": (set_cell(2, "age[a]", "old"), r"line 2, column age\[a\]: 'old' is not a number"),
    "not finite": (set_cell(2, "age[a]", "nan"), r"line 2, column age\[a\]: 'nan' is not a finite number"),
    "implausible": (set_cell(2, "haemoglobin[g/L]", "1200"), r"line 2, column haemoglobin\[g/L\]: .* not plausible"),
    "no category": (set_cell(2, "clinical_n", "N7"), "line 2, column clinical_n: 'N7' is not one of N0, N1, N2"),
    "other origin": (another_grid, r"line 3, column mask: is not on the grid of the image: origin \(-10\.8"),
    "fewer slices": (fewer_slices, "line 3, column mask: is not on the grid of the image: size"),
    "other spacing": (coarser, "line 3, column mask: is not on the grid of the image: spacing"),
    "two axes": (flat, "line 3, column image: c1.nii.gz: has 2 axes"),
    "no image at all": (no_image, "line 3, column image: c1.nii.gz: cannot be read as an image"),
    "a gap": (gapped, "line 5, column image: gap: the slices are 2.00 to 4.00 mm apart"),
    "two folds": (two_folds, "line 3, column fold: this patient is in fold 1 here and in fold 0 in line 2"),
    "some folds": (some_folds, "line 1, column fold: is given for 2 of 4 cases"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_line(tmp_path: Path, rows: list[Row], fault: str) -> None:
    """Line, column and what is wrong there; and nothing else is complained about."""
    change, says = FAULTS[fault]
    change(tmp_path, rows)
    with pytest.raises(CohortError, match=says) as caught:
        read(tmp_path, rows)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("heading", "says"),
    [
        ("height", r"needs a unit in brackets; write height\[m\]"),
        ("height[furlong]", r"the unit is 'furlong'; write height\[m\]"),
        ("lauren_type[cm]", "is a category and has no unit"),
        ("shoe size", "is neither a column of a manifest nor a clinical variable"),
        ("haemoglobin[ g/L]", "two columns are of the same variable"),
    ],
)
def test_headings_are_checked(tmp_path: Path, rows: list[Row], heading: str, says: str) -> None:
    """In line 1."""
    with pytest.raises(CohortError, match=f"line 1, column .*{says}"):
        read(tmp_path, [row | {heading: ""} for row in rows])


def test_all_faults_are_found_at_once(tmp_path: Path, rows: list[Row]) -> None:
    """In the order of their lines."""
    rows[0]["label"], rows[2]["image"], rows[1]["patient"] = "x", "none", ""
    with pytest.raises(CohortError) as caught:
        read(tmp_path, rows)
    assert [fault.line for fault in caught.value.faults] == [2, 3, 4]


def test_a_missing_column_is_named(tmp_path: Path, rows: list[Row]) -> None:
    """Each of those that must be there."""
    with pytest.raises(CohortError, match="line 1, column mask: this column is missing"):
        read(tmp_path, [{name: value for name, value in row.items() if name != "mask"} for row in rows])


def test_a_ragged_row_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    """A comma too many would move every cell behind it."""
    file = manifest(tmp_path, rows)
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[2] += ",1"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CohortError, match=r"line 3: has \d+ cells, the heading \d+"):
        read_manifest(file, NTR)


def test_no_manifest_is_said(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(UsageError, match=r"cohort\.csv cannot be read: No such file"):
        read_manifest(tmp_path, NTR)


def test_an_empty_manifest_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    """A heading alone is no cohort."""
    file = manifest(tmp_path, rows)
    file.write_text(file.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(CohortError, match="there is no case"):
        read_manifest(file, NTR)


def test_what_is_no_csv_is_a_fault(tmp_path: Path) -> None:
    """Lines that end as on machines of another age, and not the end of the program."""
    file = tmp_path / "cohort.csv"
    file.write_bytes(b"id,patient,image,mask,label\ra,p,i,m,low\r")
    with pytest.raises(CohortError, match="line 1: the file is no CSV"):
        read_manifest(file, NTR)
