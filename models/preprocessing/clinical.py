"""The clinical columns of PORCELAIN, from a record and the tables that the bundle stores.

Source: PORCELAIN, methods, "Clinical branch": median or mode for what is missing, log(1 + x) for markers, z-scores,
one-hot categories. All tables come from the training data; nothing is fitted here.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from models.fields import Fields
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.imaging import FloatArray

_VARIABLES: Final = {variable.value: variable for variable in ClinicalVariable}
_CONVERSIONS: Final = {
    ("d", "a"): 1.0 / 365.25,
    ("wk", "a"): 7.0 / 365.25,
    ("mo", "a"): 1.0 / 12.0,
    ("cm", "m"): 0.01,
    ("g", "kg"): 0.001,
}
"""(from, to) in UCUM units and the factor between them; a unit that is not here is not guessed at."""


@dataclass(frozen=True, slots=True)
class Continuous:
    """A number: in ``unit``, believed within ``plausible``, ``log1p`` where asked, then as z-score."""

    variable: ClinicalVariable
    unit: str
    plausible: tuple[float, float]
    log1p: bool
    mean: float
    sd: float
    imputed: float
    """The median of the training data, in ``unit``."""

    @property
    def width(self) -> int:
        """The number of columns."""
        return 1

    def read(self, value: ClinicalValue) -> float | None:
        """The number in ``unit``; None when it is not one, in a unit not known, or not plausible."""
        number = _in_unit(value, self.unit)
        low, high = self.plausible
        return number if number is not None and low <= number <= high else None

    def encode(self, value: ClinicalValue | None) -> tuple[list[float], bool]:
        """The column, and whether it had to be imputed."""
        number = None if value is None else self.read(value)
        filled = self.imputed if number is None else number
        return [((math.log1p(filled) if self.log1p else filled) - self.mean) / self.sd], number is None


@dataclass(frozen=True, slots=True)
class Categorical:
    """A category: one column each, in order. The words of a category mean the same."""

    variable: ClinicalVariable
    categories: tuple[frozenset[str], ...]
    imputed: int
    """The index of the mode of the training data."""

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.categories)

    def encode(self, value: ClinicalValue | None) -> tuple[list[float], bool]:
        """The one-hot columns, and whether the category had to be imputed."""
        word = None if value is None else str(value.value).strip().lower()
        found = next((i for i, words in enumerate(self.categories) if word in words), None)
        hot = self.imputed if found is None else found
        return [float(i == hot) for i in range(self.width)], found is None


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """The columns of one patient and what they rest on."""

    columns: FloatArray
    used: tuple[str, ...]
    """Names of the variables that had a value."""
    imputed: tuple[str, ...]
    """Names of the variables that had none, or none that can be believed."""


@dataclass(frozen=True, slots=True)
class ClinicalTable:
    """What a bundle stores about its clinical variables, in the order of its columns."""

    variables: tuple[Continuous | Categorical, ...]

    @classmethod
    def read(cls, celadon: Fields) -> Self:
        """The list ``clinical`` of a bundle's ``celadon`` section; raises BundleError naming what is wrong."""
        return cls(tuple(_variable(entry) for entry in celadon.children("clinical")))

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of columns of each variable."""
        return tuple(variable.width for variable in self.variables)

    def encode(self, record: ClinicalRecord) -> EncodedRecord:
        """The columns for ``record``. BMI is derived from height and weight where it is not given itself."""
        columns: list[float] = []
        used: list[str] = []
        imputed: list[str] = []
        for variable in self.variables:
            encoded, was_imputed = variable.encode(_value(record, variable.variable))
            columns += encoded
            (imputed if was_imputed else used).append(variable.variable.value)
        return EncodedRecord(np.array(columns, dtype=np.float32), tuple(used), tuple(imputed))


def _value(record: ClinicalRecord, variable: ClinicalVariable) -> ClinicalValue | None:
    """The recorded value, or the derived one."""
    value = record.get(variable)
    return _derived_bmi(record) if value is None and variable is ClinicalVariable.BMI else value


def _derived_bmi(record: ClinicalRecord) -> ClinicalValue | None:
    """Weight over height squared, when both are known."""
    height, weight = record.get(ClinicalVariable.HEIGHT), record.get(ClinicalVariable.WEIGHT)
    metres = None if height is None else _in_unit(height, "m")
    kilograms = None if weight is None else _in_unit(weight, "kg")
    if not metres or not kilograms:
        return None
    return ClinicalValue(ClinicalVariable.BMI, kilograms / metres**2, "kg/m2", "derived")


def _in_unit(value: ClinicalValue, unit: str) -> float | None:
    """The number in ``unit``, or None when it is not a finite number in a unit that is known."""
    factor = 1.0 if value.unit == unit else _CONVERSIONS.get((value.unit, unit))
    if factor is None or isinstance(value.value, str) or not math.isfinite(value.value):
        return None
    return value.value * factor


def _variable(entry: Fields) -> Continuous | Categorical:
    """One entry of the table."""
    variable = entry.one_of("variable", _VARIABLES)
    if entry.has("categories"):
        return _categorical(entry, variable)
    sd = entry.number("sd")
    if sd <= 0:
        raise entry.wrong("sd", f"is {sd}, not above zero")
    return Continuous(
        variable=variable,
        unit=entry.text("unit"),
        plausible=entry.interval("plausible"),
        log1p=entry.flag("log1p"),
        mean=entry.number("mean"),
        sd=sd,
        imputed=entry.number("imputed"),
    )


def _categorical(entry: Fields, variable: ClinicalVariable) -> Categorical:
    """One entry with categories: each a list of words that mean the same."""
    groups = [
        words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None
        for words in entry.get("categories", list)
    ]
    if not groups or None in groups:
        raise entry.wrong("categories", "is not a list of lists of words")
    categories = tuple(frozenset(word.lower() for word in words) for words in groups if words is not None)
    mode = entry.text("imputed").lower()
    index = next((i for i, words in enumerate(categories) if mode in words), None)
    if index is None:
        raise entry.wrong("imputed", f"is {mode!r}, not one of the categories")
    return Categorical(variable, categories, index)
