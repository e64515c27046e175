"""Clinical columns from a record and a bundle's tables (PORCELAIN, methods, "Clinical branch")."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle, shipped
from models.fields import Fields
from models.preprocessing.clinical import ClinicalTable
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.errors import BundleError

AGE = {"variable": "age", "unit": "a", "plausible": [0, 120], "log1p": False, "mean": 60, "sd": 10, "imputed": 65}
BMI = {"variable": "bmi", "unit": "kg/m2", "plausible": [8, 80], "log1p": True, "mean": 3, "sd": 0.5, "imputed": 24}
SEX = {"variable": "sex", "categories": [["F", "female"], ["M", "male"]], "imputed": "M"}


def table(*entries: dict[str, Any]) -> ClinicalTable:
    """The table of these entries."""
    return ClinicalTable.read(Fields(Path("metadata.json"), {"clinical": list(entries)}))


def record(**values: tuple[float | str, str]) -> ClinicalRecord:
    """A record of ``variable=(value, unit)``."""
    return ClinicalRecord(
        tuple(ClinicalValue(ClinicalVariable(name), value, unit, "test") for name, (value, unit) in values.items())
    )


def test_columns_are_in_the_order_of_the_table() -> None:
    """A number is its z-score, with the logarithm first where asked; a category is one-hot."""
    encoded = table(AGE, BMI, SEX).encode(record(sex=("F", ""), bmi=(25.0, "kg/m2"), age=(70.0, "a")))
    assert np.allclose(encoded.columns, [1.0, (math.log1p(25.0) - 3) / 0.5, 1.0, 0.0])
    assert encoded.columns.dtype == np.float32
    assert (encoded.used, encoded.imputed) == (("age", "bmi", "sex"), ())
    assert table(AGE, BMI, SEX).groups == (1, 1, 2)


def test_what_is_missing_is_imputed_and_named() -> None:
    """Without a value the table's median or mode is used, and the variable is counted as imputed."""
    encoded = table(AGE, SEX).encode(ClinicalRecord())
    assert np.allclose(encoded.columns, [0.5, 0.0, 1.0])
    assert (encoded.used, encoded.imputed) == ((), ("age", "sex"))


def test_bmi_comes_from_height_and_weight() -> None:
    """Weight over height squared, each by its unit; a BMI that is given goes first."""
    tall = record(height=(200.0, "cm"), weight=(100000.0, "g"))
    assert np.allclose(table(BMI).encode(tall).columns, [(math.log1p(25.0) - 3) / 0.5])
    given = record(height=(2.0, "m"), weight=(100.0, "kg"), bmi=(30.0, "kg/m2"))
    assert np.allclose(table(BMI).encode(given).columns, [(math.log1p(30.0) - 3) / 0.5])
    assert table(BMI).encode(record(height=(2.0, "m"))).imputed == ("bmi",)
    assert table(BMI).encode(record(height=(0.0, "m"), weight=(100.0, "kg"))).imputed == ("bmi",)


def test_numbers_are_converted_by_unit() -> None:
    """Months become years; a unit that is not known is not guessed at."""
    assert np.allclose(table(AGE).encode(record(age=(600.0, "mo"))).columns, [-1.0])
    assert table(AGE).encode(record(age=(50.0, "stone"))).imputed == ("age",)


@pytest.mark.parametrize("value", [-3.0, 400.0, math.nan, math.inf, "old"])
def test_what_cannot_be_believed_is_imputed(value: float | str) -> None:
    """A value outside the plausible range, or none at all, does not reach the network."""
    encoded = table(AGE).encode(record(age=(value, "a")))
    assert encoded.imputed == ("age",)
    assert np.isfinite(encoded.columns).all()


@pytest.mark.parametrize(("word", "columns"), [("female", [1, 0]), ("f", [1, 0]), ("M", [0, 1]), (" male ", [0, 1])])
def test_the_words_of_a_category_mean_the_same(word: str, columns: list[int]) -> None:
    """Words are compared without case and spaces."""
    encoded = table(SEX).encode(record(sex=(word, "")))
    assert encoded.columns.tolist() == columns
    assert encoded.used == ("sex",)


def test_another_category_is_imputed() -> None:
    """A word that the training data did not have becomes the mode, and is counted as imputed."""
    assert table(SEX).encode(record(sex=("O", ""))).imputed == ("sex",)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (AGE | {"variable": "shoe"}, r"clinical\[0\]\.variable is 'shoe'"),
        (AGE | {"sd": 0}, r"clinical\[0\]\.sd"),
        (AGE | {"log1p": "no"}, r"clinical\[0\]\.log1p"),
        (SEX | {"categories": ["F", "M"]}, r"clinical\[0\]\.categories"),
        (SEX | {"imputed": "O"}, r"clinical\[0\]\.imputed"),
    ],
)
def test_a_wrong_table_is_named(entry: dict[str, Any], words: str) -> None:
    """What is wrong with an entry is named with its place."""
    with pytest.raises(BundleError, match=words):
        table(entry)


def test_the_shipped_table_has_what_a_header_gives() -> None:
    """The shipped bundle uses age, BMI and sex, and says that its numbers are placeholders."""
    celadon = Bundle.open(shipped("porcelain")).celadon
    assert [variable.variable.value for variable in ClinicalTable.read(celadon).variables] == ["age", "bmi", "sex"]
    assert "placeholders" in celadon.text("clinical_note")
