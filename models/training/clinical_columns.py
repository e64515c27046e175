"""The clinical columns of a cohort's file: a variable's name, with the one unit that it has in Celadon in brackets.

``ca19_9[U/mL]``, ``haemoglobin[g/L]``, ``sex``. No unit is converted and none is guessed: whoever typed the
column can be asked.
"""

import re
from dataclasses import dataclass
from typing import Final

from models.preprocessing.clinical import Category, Number
from models.preprocessing.clinical_fit import PORCELAIN
from node.domain.clinical import ClinicalValue, ClinicalVariable
from node.domain.clinical_variables import NUMBERS

SOURCE: Final = "cohort"
_HEADING: Final = re.compile(r"([a-z0-9_]+)\s*(?:\[(.*)\])?")
_NUMBERS: Final = {what.variable: what for what in PORCELAIN if isinstance(what, Number)}
_CATEGORIES: Final = {what.variable: what for what in PORCELAIN if isinstance(what, Category)}


@dataclass(frozen=True, slots=True)
class ClinicalColumn:
    """One clinical column."""

    heading: str
    variable: ClinicalVariable
    unit: str

    def value(self, text: str) -> ClinicalValue:
        """What a cell says; ValueError saying why it says nothing."""
        if self.variable not in NUMBERS:
            value = ClinicalValue(self.variable, text, "", SOURCE)
            category = _CATEGORIES.get(self.variable)
            if category is not None and category.read(value) is None:
                known = ", ".join(words[0] for words in category.categories)
                raise ValueError(f"{text!r} is not one of {known}")
            return value
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
        value = ClinicalValue(self.variable, number, self.unit, SOURCE)
        what = _NUMBERS.get(self.variable)
        if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124  not a number, as IEEE 754 has it
            raise ValueError(f"{text!r} is not a finite number")
        if what is not None and what.read(value) is None:
            low, high = what.plausible
            raise ValueError(f"{text} {self.unit} is not plausible: {low:g} to {high:g} {what.unit} is")
        return value


def clinical_column(heading: str) -> ClinicalColumn:
    """The column of a heading; ValueError saying why it is none."""
    match = _HEADING.fullmatch(heading)
    names = {variable.value: variable for variable in ClinicalVariable}
    if match is None or match[1] not in names:
        raise ValueError("is neither a column of a manifest nor a clinical variable")
    variable, unit = names[match[1]], (match[2] or "").strip()
    if variable not in NUMBERS:
        if unit:
            raise ValueError("is a category and has no unit")
    elif unit != NUMBERS[variable].unit:
        asked = f"the unit is {unit!r}" if unit else "needs a unit in brackets"
        raise ValueError(f"{asked}; write {variable.value}[{NUMBERS[variable].unit}], in that unit")
    return ClinicalColumn(heading, variable, unit)
