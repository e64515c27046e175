"""What training stores about clinical variables (PORCELAIN, methods, "Clinical branch")."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fields import Fields
from models.preprocessing.clinical import ClinicalTable, Number
from models.preprocessing.clinical_fit import PORCELAIN, fit
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.derivation import RATIOS
from node.errors import Refused, UsageError

AGE, SEX = PORCELAIN[:2]
CEA = next(what for what in PORCELAIN if what.variable is ClinicalVariable.CEA)


def record(**values: tuple[float | str, str]) -> ClinicalRecord:
    """A record of ``variable=(value, unit)``."""
    return ClinicalRecord(
        tuple(ClinicalValue(ClinicalVariable(name), value, unit, "test") for name, (value, unit) in values.items())
    )


def table(entries: list[dict[str, Any]]) -> ClinicalTable:
    """The entries as an inference reads them, by way of a file."""
    values = json.loads(json.dumps({"clinical": entries, "parameters": {"max_imputed": 99}}))
    return ClinicalTable.read(Fields(Path("metadata.json"), values))


def cohort(size: int = 60, seed: int = 0) -> list[ClinicalRecord]:
    """Patients with nearly all values, none derived."""
    generator = np.random.default_rng(seed)
    records = []
    for _ in range(size):
        values = []
        for what in PORCELAIN:
            if what.variable in RATIOS or generator.random() < 0.1:
                continue
            if isinstance(what, Number):
                low, high = what.plausible
                number = float(low + (high - low) * generator.beta(2, 5))
                values.append(ClinicalValue(what.variable, number, what.unit, "test"))
            else:
                words = what.categories[generator.integers(len(what.categories))]
                values.append(ClinicalValue(what.variable, words[-1], "", "test"))
        records.append(ClinicalRecord((*values, *record(height=(1.7, "m"), weight=(60.0, "kg")).values)))
    return records


def test_it_names_every_variable_of_the_paper() -> None:
    """27 variables in 34 columns: demographics, T, N, site, markers, blood count, liver function and four ratios."""
    names = [what.variable.value for what in PORCELAIN]
    assert len(names) == len(set(names)) == 27
    assert {"age", "sex", "bmi", "clinical_t", "clinical_n", "lesion_site", "ca19_9", "cea", "ca125"} <= set(names)
    assert {"nlr", "plr", "lmr", "agr"} <= set(names)
    assert [w.variable.value for w in PORCELAIN if isinstance(w, Number) and w.log1p] == ["ca19_9", "cea", "ca125"]


def test_the_training_columns_are_standardised() -> None:
    """A cohort encoded with what was fitted on it has numbers of mean 0 and deviation 1."""
    records = cohort()
    entries = fit(records, [what for what in PORCELAIN if what.variable is not ClinicalVariable.BMI])
    fitted = table(entries)
    columns = np.stack([fitted.encode(each).columns for each in records]).astype(np.float64)
    numbers = [index for index, name in enumerate(fitted.columns) if " is " not in name]
    assert len(numbers) == 22
    assert np.allclose(columns[:, numbers].mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(columns[:, numbers].std(axis=0), 1.0, atol=1e-4)


def test_medians_and_deviations_are_those_of_the_cohort() -> None:
    """The median of what is there; mean and deviation after imputation and logarithm, by hand."""
    records = [record(cea=(number, "ng/mL")) for number in (1.0, 3.0, 50.0)] + [record()]
    (entry,) = fit(records, [CEA])
    logged = [math.log(2), math.log(4), math.log(51), math.log(4)]
    assert entry["imputed"] == 3.0
    assert entry["mean"] == pytest.approx(np.mean(logged))
    assert entry["sd"] == pytest.approx(np.std(logged))


def test_the_mode_is_the_commonest_category() -> None:
    """Of two equally common the first in the list."""
    records = [record(sex=(word, "")) for word in ("M", "female", "male")]
    assert fit(records, [SEX])[0]["imputed"] == "M"
    assert fit(records[:2], [SEX])[0]["imputed"] == "F"


def test_what_cannot_be_believed_is_not_learnt_from() -> None:
    """An age of 400 years counts as missing."""
    (entry,) = fit([record(age=(number, "a")) for number in (50.0, 60.0, 400.0)], [AGE])
    assert entry["imputed"] == 55.0


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([record(), record(sex=("F", ""))], "age: no record of the cohort has a value"),
        ([record(age=(60.0, "a")), record(age=(60.0, "a"))], "age: it has the same value in the whole cohort"),
    ],
)
def test_a_cohort_that_says_nothing_is_an_error(records: list[ClinicalRecord], words: str) -> None:
    """The variable is named."""
    with pytest.raises(UsageError, match=words):
        fit(records, [AGE])


def test_an_unknown_unit_in_the_cohort_is_refused() -> None:
    """Training does not guess either."""
    with pytest.raises(Refused, match="age"):
        fit([record(age=(60.0, "stone"))], [AGE])
