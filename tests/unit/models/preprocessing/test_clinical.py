"""Clinical columns from a record and a bundle's tables (PORCELAIN, methods, "Clinical branch")."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle, shipped
from models.fields import Fields
from models.preprocessing.clinical import ClinicalTable
from models.preprocessing.clinical_fit import PORCELAIN
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.derivation import with_derived
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused

AGE = {"variable": "age", "unit": "a", "plausible": [0, 120], "log1p": False, "mean": 60, "sd": 10, "imputed": 65}
BMI = {"variable": "bmi", "unit": "kg/m2", "plausible": [8, 80], "log1p": True, "mean": 3, "sd": 0.5, "imputed": 24}
SEX = {"variable": "sex", "categories": [["F"], ["M"]], "imputed": "M"}


def table(*entries: dict[str, Any], max_imputed: int = 9) -> ClinicalTable:
    """The table of these entries."""
    values = {"clinical": list(entries), "parameters": {"max_imputed": max_imputed}}
    return ClinicalTable.read(Fields(Path("metadata.json"), values))


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
    """Weight over height squared; a BMI that is given goes first."""
    tall = record(height=(2.0, "m"), weight=(100.0, "kg"))
    assert np.allclose(table(BMI).encode(tall).columns, [(math.log1p(25.0) - 3) / 0.5])
    given = record(height=(2.0, "m"), weight=(100.0, "kg"), bmi=(30.0, "kg/m2"))
    assert np.allclose(table(BMI).encode(given).columns, [(math.log1p(30.0) - 3) / 0.5])
    assert table(BMI).encode(record(height=(2.0, "m"))).imputed == ("bmi",)
    assert table(BMI).encode(record(height=(0.0, "m"), weight=(100.0, "kg"))).imputed == ("bmi",)


@pytest.mark.parametrize(
    ("asked", "known", "wrong"),
    [
        (AGE, {"age": (600.0, "mo")}, "age"),
        (AGE, {"age": (50.0, "stone")}, "age"),
        (BMI, {"height": (170.0, "cm"), "weight": (70.0, "kg")}, "height"),
    ],
)
def test_any_other_unit_refuses_the_case(
    asked: dict[str, Any], known: dict[str, tuple[float | str, str]], wrong: str
) -> None:
    """It would be wrong for every patient; so is that of a part, from which nothing would follow unseen."""
    with pytest.raises(Refused, match=wrong) as refused:
        table(asked).encode(record(**known))
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE


@pytest.mark.parametrize("value", [math.nan, math.inf, "old"])
def test_what_is_no_number_is_refused(value: float | str) -> None:
    """A number that is none refuses the case with a code."""
    with pytest.raises(Refused) as refused:
        table(AGE).encode(record(age=(value, "a")))
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE


@pytest.mark.parametrize("value", [-3.0, 400.0])
def test_what_cannot_be_believed_is_imputed(value: float) -> None:
    """A value outside the plausible range does not reach the network, and is named."""
    encoded = table(AGE, BMI).encode(record(age=(value, "a"), bmi=(25.0, "kg/m2")))
    assert (encoded.imputed, encoded.disbelieved) == (("age",), ("age",))
    assert np.allclose(encoded.columns[0], 0.5)


def test_nothing_is_derived_from_what_cannot_be_believed() -> None:
    """A ratio of an implausible count is imputed like the count itself."""
    count = {"unit": "10*9/L", "plausible": [0.01, 100], "log1p": False, "mean": 0, "sd": 1, "imputed": 2}
    rows = [count | {"variable": name} for name in ("neutrophils", "lymphocytes")]
    nlr = {"variable": "nlr", "unit": "1", "plausible": [0, 500], "log1p": False, "mean": 0, "sd": 1, "imputed": 3}
    given = {"neutrophils": (6.0, "10*9/L"), "lymphocytes": (1500.0, "10*9/L")}
    encoded = table(*rows, nlr).encode(record(**given))
    assert encoded.columns.tolist() == [6.0, 2.0, 3.0]
    assert (encoded.imputed, encoded.disbelieved) == (("lymphocytes", "nlr"), ("lymphocytes",))
    good = table(*rows, nlr).encode(record(**given | {"lymphocytes": (1.5, "10*9/L")}))
    assert good.columns.tolist() == [6.0, 1.5, 4.0]


def test_what_others_derived_from_what_cannot_be_believed_here_goes_with_it() -> None:
    """The node may believe more than the bundle does: its ratio is not used then, one that was measured is."""
    count = {"unit": "10*9/L", "plausible": [0.5, 100], "log1p": False, "mean": 0, "sd": 1, "imputed": 2}
    rows = [count | {"variable": name} for name in ("neutrophils", "lymphocytes")]
    nlr = {"variable": "nlr", "unit": "1", "plausible": [0, 500], "log1p": False, "mean": 0, "sd": 1, "imputed": 3}
    counted = record(neutrophils=(6.0, "10*9/L"), lymphocytes=(0.1, "10*9/L"))
    derived = with_derived(counted)
    assert derived.get(ClinicalVariable.NLR) is not None
    assert table(*rows, nlr).encode(derived).imputed == ("lymphocytes", "nlr")
    measured = ClinicalRecord((*counted.values, *record(nlr=(60.0, "1")).values))
    assert table(*rows, nlr).encode(measured).imputed == ("lymphocytes",)


@pytest.mark.parametrize(("limit", "is_refused"), [(2, False), (1, True), (0, True)])
def test_too_many_missing_values_are_refused(limit: int, is_refused: bool) -> None:
    """Up to the bundle's limit values are imputed; beyond it the case is refused, with their names."""
    bounded = table(AGE, BMI, SEX, max_imputed=limit)
    if not is_refused:
        assert len(bounded.encode(record(age=(70.0, "a"))).imputed) == 2
        return
    with pytest.raises(Refused, match=f"2 of 3 are missing, {limit} may be: bmi, sex") as refused:
        bounded.encode(record(age=(70.0, "a")))
    assert refused.value.reason.code is ReasonCode.CLINICAL_MISSING


def test_answers_say_what_went_in() -> None:
    """Each variable's value with a unit that a person reads, and whether it was imputed."""
    marker = {"variable": "ca19_9", "unit": "U/mL", "plausible": [0, 1e6], "log1p": True}
    marker |= {"mean": 4, "sd": 2, "imputed": 50}
    answers = table(AGE, marker, SEX).encode(record(sex=("female", ""), ca19_9=(123456.7, "U/mL"))).answers
    assert [(answer.text, answer.is_imputed) for answer in answers] == [
        ("65 years", True),
        ("123457 U/mL", False),
        ("F", False),
    ]


@pytest.mark.parametrize(("word", "columns"), [("female", [1, 0]), ("f", [1, 0]), ("M", [0, 1]), (" male ", [0, 1])])
def test_the_words_of_a_category_mean_the_same(word: str, columns: list[int]) -> None:
    """Words are compared without case and spaces."""
    encoded = table(SEX).encode(record(sex=(word, "")))
    assert encoded.columns.tolist() == columns
    assert encoded.used == ("sex",)


def test_categories_of_one_group_count_the_same() -> None:
    """A bundle may tell fewer apart than the variable has."""
    early = {"variable": "clinical_t", "categories": [["T1", "T2"], ["T3", "T4"]], "imputed": "T1"}
    assert table(early).encode(record(clinical_t=("cT2", ""))).columns.tolist() == [1, 0]
    assert table(early).encode(record(clinical_t=("T4", ""))).columns.tolist() == [0, 1]


def test_another_category_is_imputed() -> None:
    """A word that the training data did not have becomes the mode, and is counted as imputed."""
    encoded = table(SEX).encode(record(sex=("O", "")))
    assert (encoded.imputed, encoded.disbelieved) == (("sex",), ("sex",))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (AGE | {"variable": "shoe"}, r"clinical\[0\]\.variable is 'shoe'"),
        (AGE | {"sd": 0}, r"clinical\[0\]\.sd"),
        (AGE | {"log1p": "no"}, r"clinical\[0\]\.log1p"),
        (AGE | {"log1p": True, "plausible": [-5, 5]}, r"clinical\[0\]\.plausible"),
        (AGE | {"unit": "mo"}, r"clinical\[0\]\.unit is 'mo', not 'a'"),
        (AGE | {"variable": "sex"}, r"clinical\[0\]\.variable is 'sex'"),
        (SEX | {"variable": "age"}, r"clinical\[0\]\.variable is 'age'"),
        (SEX | {"categories": ["F", "M"]}, r"clinical\[0\]\.categories"),
        (SEX | {"categories": [["F"], ["M", "X"]]}, r"clinical\[0\]\.categories has X; known: M, F"),
        (SEX | {"imputed": "O"}, r"clinical\[0\]\.imputed"),
    ],
)
def test_a_wrong_table_is_named(entry: dict[str, Any], words: str) -> None:
    """What is wrong with an entry is named with its place."""
    with pytest.raises(BundleError, match=words):
        table(entry)


def test_the_shipped_table_is_the_papers() -> None:
    """The shipped bundle asks for every variable of the paper in 34 columns."""
    bundle = Bundle.open(shipped("porcelain"))
    read = ClinicalTable.read(bundle.celadon)
    assert tuple(variable.what for variable in read.variables) == PORCELAIN
    said = bundle.metadata.child("network_data_format").child("inputs").child("columns")
    assert said.natural("num_channels") == len(read.columns) == sum(read.groups) == 34
    assert list(said.child("channel_def").values.values()) == list(read.columns)
