"""The clinical variables of PORCELAIN, and what training stores about them in a bundle.

Source: PORCELAIN, methods, "Patient cohorts and clinical parameters" and "Clinical branch"; Table 1 for sex, site, T
and N; figure 4 for the ratios. The paper does not print its list: this is every variable that it names or that the
panels it names (blood count, tumour markers, liver function) hold.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.preprocessing.clinical import Category, Number, believed
from models.preprocessing.quantities import found
from node.domain.clinical import ClinicalRecord, ClinicalVariable
from node.errors import UsageError

_CELLS: Final = "10*9/L"
_ENZYME: Final = "U/L"
_MARKER: Final = "[arb'U]/mL"

PORCELAIN: Final[tuple[Number | Category, ...]] = (
    Number(ClinicalVariable.AGE, "a", (0.0, 120.0), log1p=False),
    Category(ClinicalVariable.SEX, (("F", "female"), ("M", "male"))),
    Number(ClinicalVariable.BMI, "kg/m2", (8.0, 80.0), log1p=False),
    Category(
        ClinicalVariable.CLINICAL_T,
        (
            ("T1", "cT1", "T1a", "T1b", "T1c", "cT1a", "cT1b", "cT1c"),
            ("T2", "cT2"),
            ("T3", "cT3"),
            ("T4", "cT4"),
        ),
    ),
    Category(ClinicalVariable.CLINICAL_N, (("N0", "cN0"), ("N1", "cN1"), ("N2", "cN2"))),
    Category(
        ClinicalVariable.LESION_SITE,
        (("head", "uncinate", "uncinate process"), ("body-tail", "body or tail", "body/tail", "body", "tail")),
    ),
    Number(ClinicalVariable.CA19_9, _MARKER, (0.0, 1e6), log1p=True),
    Number(ClinicalVariable.CEA, "ng/mL", (0.0, 1e5), log1p=True),
    Number(ClinicalVariable.CA125, _MARKER, (0.0, 1e5), log1p=True),
    Number(ClinicalVariable.WBC, _CELLS, (0.1, 200.0), log1p=False),
    Number(ClinicalVariable.NEUTROPHILS, _CELLS, (0.0, 150.0), log1p=False),
    Number(ClinicalVariable.LYMPHOCYTES, _CELLS, (0.01, 150.0), log1p=False),
    Number(ClinicalVariable.MONOCYTES, _CELLS, (0.0, 50.0), log1p=False),
    Number(ClinicalVariable.HAEMOGLOBIN, "g/L", (20.0, 260.0), log1p=False),
    Number(ClinicalVariable.PLATELETS, _CELLS, (1.0, 3000.0), log1p=False),
    Number(ClinicalVariable.ALBUMIN, "g/L", (5.0, 80.0), log1p=False),
    Number(ClinicalVariable.GLOBULIN, "g/L", (5.0, 120.0), log1p=False),
    Number(ClinicalVariable.ALT, _ENZYME, (0.0, 10000.0), log1p=False),
    Number(ClinicalVariable.AST, _ENZYME, (0.0, 10000.0), log1p=False),
    Number(ClinicalVariable.ALP, _ENZYME, (0.0, 10000.0), log1p=False),
    Number(ClinicalVariable.GGT, _ENZYME, (0.0, 10000.0), log1p=False),
    Number(ClinicalVariable.BILIRUBIN_TOTAL, "umol/L", (0.0, 1500.0), log1p=False),
    Number(ClinicalVariable.BILIRUBIN_DIRECT, "umol/L", (0.0, 1500.0), log1p=False),
    Number(ClinicalVariable.NLR, "1", (0.0, 500.0), log1p=False),
    Number(ClinicalVariable.PLR, "1", (0.0, 10000.0), log1p=False),
    Number(ClinicalVariable.LMR, "1", (0.0, 500.0), log1p=False),
    Number(ClinicalVariable.AGR, "1", (0.05, 10.0), log1p=False),
)
"""In the order of the columns. log(1 + x) is for the tumour markers ("biomarkers (e.g., CA19-9, CEA)", methods).

Plausible ranges are wide: they stop a typing error or a lost decimal point, not a very ill patient.
"""


def fit(records: Sequence[ClinicalRecord], schema: Sequence[Number | Category] = PORCELAIN) -> list[dict[str, Any]]:
    """What the training cohort's records say about each variable: the list ``clinical`` of a bundle.

    Medians and modes are those of the values that are there and plausible; mean and standard deviation (of the
    population) are those of all records after imputation and logarithm, so that the training columns have mean 0 and
    deviation 1. Raises UsageError naming a variable that has no value, or one value only; Refused as encoding does.
    """
    kept = [believed(record, schema)[0] for record in records]
    return [_number(kept, what) if isinstance(what, Number) else _category(kept, what) for what in schema]


def _number(records: Sequence[ClinicalRecord], what: Number) -> dict[str, Any]:
    """The entry of a number."""
    numbers = _known(records, what)
    median = float(np.median([number for number in numbers if number is not None]))
    scaled = np.array([what.scaled(median if number is None else number) for number in numbers])
    sd = float(scaled.std())
    if sd == 0.0:
        raise UsageError(f"clinical variable {what.variable.value}: it has the same value in the whole cohort")
    return {
        "variable": what.variable.value,
        "unit": what.unit,
        "plausible": list(what.plausible),
        "log1p": what.log1p,
        "mean": float(scaled.mean()),
        "sd": sd,
        "imputed": median,
    }


def _category(records: Sequence[ClinicalRecord], what: Category) -> dict[str, Any]:
    """The entry of a category; of several modes the one that stands first."""
    counts = Counter(index for index in _known(records, what) if index is not None)
    mode = max(range(len(what.categories)), key=lambda index: (counts[index], -index))
    return {
        "variable": what.variable.value,
        "categories": [list(words) for words in what.categories],
        "imputed": what.categories[mode][0],
    }


def _known(records: Sequence[ClinicalRecord], what: Number | Category) -> list[Any]:
    """What each record says of the variable, None where it says nothing that can be believed."""
    values = (found(record, what.variable) for record in records)
    known = [None if value is None else what.read(value) for value in values]
    if all(each is None for each in known):
        raise UsageError(f"clinical variable {what.variable.value}: no record of the cohort has a value")
    return known
