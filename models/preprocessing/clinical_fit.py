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
from node.domain.clinical import ClinicalRecord, ClinicalVariable
from node.domain.clinical_variables import NUMBERS
from node.errors import UsageError

_V: Final = ClinicalVariable


def _measured(variable: ClinicalVariable, *, log1p: bool = False) -> Number:
    """A number that is believed as far as the node believes it."""
    return Number(variable, NUMBERS[variable].plausible, log1p)


def _said(variable: ClinicalVariable, *names: str) -> Category:
    """A word; ``names`` are the categories of the paper."""
    return Category(variable, tuple((name,) for name in names))


PORCELAIN: Final[tuple[Number | Category, ...]] = (
    _measured(_V.AGE),
    _said(_V.SEX, "F", "M"),
    _measured(_V.BMI),
    _said(_V.CLINICAL_T, "T1", "T2", "T3", "T4"),
    _said(_V.CLINICAL_N, "N0", "N1", "N2"),
    _said(_V.LESION_SITE, "head", "body-tail"),
    _measured(_V.CA19_9, log1p=True),
    _measured(_V.CEA, log1p=True),
    _measured(_V.CA125, log1p=True),
    *(
        _measured(variable)
        for variable in (
            *(_V.WBC, _V.NEUTROPHILS, _V.LYMPHOCYTES, _V.MONOCYTES, _V.HAEMOGLOBIN, _V.PLATELETS),
            *(_V.ALBUMIN, _V.GLOBULIN, _V.ALT, _V.AST, _V.ALP, _V.GGT, _V.BILIRUBIN_TOTAL, _V.BILIRUBIN_DIRECT),
            *(_V.NLR, _V.PLR, _V.LMR, _V.AGR),
        )
    ),
)
"""In the order of the columns. log(1 + x) is for the tumour markers ("biomarkers (e.g., CA19-9, CEA)", methods)."""


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
    values = (record.get(what.variable) for record in records)
    known = [None if value is None else what.read(value) for value in values]
    if all(each is None for each in known):
        raise UsageError(f"clinical variable {what.variable.value}: no record of the cohort has a value")
    return known
