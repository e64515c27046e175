"""The clinical columns of PORCELAIN, from a record and the tables that the bundle stores.

Source: PORCELAIN, methods, "Clinical branch": median or mode for what is missing, log(1 + x) for biomarkers, z-scores,
one-hot categories. All tables come from the training data (``models.preprocessing.clinical_fit``); nothing is fitted
here.
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from models.fields import Fields
from models.preprocessing.quantities import number_in
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.clinical_variables import CATEGORIES, NUMBERS, UNIT_WORDS
from node.domain.derivation import RATIOS, with_derived
from node.domain.imaging import FloatArray
from node.domain.reasons import ReasonCode
from node.errors import Refused

_FIVE_DIGITS: Final = 1e4  # from here on a number of four figures would be shown with an exponent


@dataclass(frozen=True, slots=True)
class Number:
    """A number in its variable's unit, believed within ``plausible`` (ends included), logged if ``log1p`` says so."""

    variable: ClinicalVariable
    plausible: tuple[float, float]
    log1p: bool

    @property
    def unit(self) -> str:
        """The one unit of the variable."""
        return NUMBERS[self.variable].unit

    def read(self, value: ClinicalValue) -> float | None:
        """The number, None when it cannot be believed; raises Refused as ``number_in`` does."""
        number = number_in(value)
        low, high = self.plausible
        return number if low <= number <= high else None

    def scaled(self, number: float) -> float:
        """The number on the scale that is standardised."""
        return math.log1p(number) if self.log1p else number


@dataclass(frozen=True, slots=True)
class Category:
    """One of several groups of the variable's categories: those of one group count the same, the first is shown."""

    variable: ClinicalVariable
    categories: tuple[tuple[str, ...], ...]

    def read(self, value: ClinicalValue) -> int | None:
        """The index of the group; None when the word means no category, or one of no group."""
        meant = CATEGORIES[self.variable].meant(str(value.value))
        return next((index for index, group in enumerate(self.categories) if meant in group), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What went into the network for one variable."""

    variable: ClinicalVariable
    text: str
    """The value with its unit, as a person reads it."""
    is_imputed: bool


@dataclass(frozen=True, slots=True)
class Continuous:
    """A number and its statistics in the training data."""

    what: Number
    mean: float
    sd: float
    imputed: float
    """The median, in the number's unit."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What each column is."""
        return (self.what.variable.value,)

    def encode(self, value: ClinicalValue | None) -> tuple[list[float], Answer]:
        """The column, which is the z-score of the number or of the median, and what it says."""
        known = None if value is None else self.what.read(value)
        number = self.imputed if known is None else known
        unit = UNIT_WORDS.get(self.what.unit, self.what.unit)
        digits = f"{number:.4g}" if abs(number) < _FIVE_DIGITS else f"{number:.0f}"
        answer = Answer(self.what.variable, f"{digits} {unit}".rstrip(), known is None)
        return [(self.what.scaled(number) - self.mean) / self.sd], answer


@dataclass(frozen=True, slots=True)
class Categorical:
    """A category and its mode in the training data."""

    what: Category
    imputed: int
    """The index of the mode."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What each column is."""
        return tuple(f"{self.what.variable.value} is {words[0]}" for words in self.what.categories)

    def encode(self, value: ClinicalValue | None) -> tuple[list[float], Answer]:
        """The one-hot columns of the category or of the mode, and what they say."""
        known = None if value is None else self.what.read(value)
        hot = self.imputed if known is None else known
        columns = [float(index == hot) for index in range(len(self.what.categories))]
        return columns, Answer(self.what.variable, self.what.categories[hot][0], known is None)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecord:
    """The columns of one patient and what they rest on."""

    columns: FloatArray
    answers: tuple[Answer, ...]
    """One a variable, in the order of the table."""
    disbelieved: tuple[str, ...]
    """Names of recorded variables whose value is not plausible, or of no category that the training data had."""

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the variables that had a value."""
        return tuple(answer.variable.value for answer in self.answers if not answer.is_imputed)

    @property
    def imputed(self) -> tuple[str, ...]:
        """Names of the variables that had none, or none that can be believed."""
        return tuple(answer.variable.value for answer in self.answers if answer.is_imputed)


@dataclass(frozen=True, slots=True)
class ClinicalTable:
    """What a bundle stores about its clinical variables, in the order of its columns."""

    variables: tuple[Continuous | Categorical, ...]
    max_imputed: int
    """How many variables may be missing."""

    @classmethod
    def read(cls, celadon: Fields) -> Self:
        """``clinical`` and ``parameters.max_imputed`` of a bundle; raises BundleError naming what is wrong."""
        return cls(
            tuple(_variable(entry) for entry in celadon.children("clinical")),
            celadon.child("parameters").natural("max_imputed"),
        )

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of columns of each variable."""
        return tuple(len(variable.columns) for variable in self.variables)

    @property
    def columns(self) -> tuple[str, ...]:
        """What each column is."""
        return tuple(column for variable in self.variables for column in variable.columns)

    def encode(self, record: ClinicalRecord) -> EncodedRecord:
        """The columns for ``record``; what follows from recorded values is computed where it is not recorded itself.

        Raises Refused: CLINICAL_VALUE for no number or an unknown unit, CLINICAL_MISSING beyond ``max_imputed``.
        """
        kept, disbelieved = believed(record, [variable.what for variable in self.variables])
        columns: list[float] = []
        answers: list[Answer] = []
        for variable in self.variables:
            encoded_columns, answer = variable.encode(kept.get(variable.what.variable))
            columns += encoded_columns
            answers.append(answer)
        encoded = EncodedRecord(np.array(columns, dtype=np.float32), tuple(answers), disbelieved)
        if len(encoded.imputed) > self.max_imputed:
            raise Refused(
                ReasonCode.CLINICAL_MISSING,
                f"{len(encoded.imputed)} of {len(answers)} are missing, {self.max_imputed} may be: "
                + ", ".join(encoded.imputed),
            )
        return encoded


def believed(record: ClinicalRecord, schema: Sequence[Number | Category]) -> tuple[ClinicalRecord, tuple[str, ...]]:
    """The record without what cannot be believed, with what follows from the rest, and the names of the former.

    A value that was derived from something that is not believed here goes with it. Raises Refused as ``number_in``.
    """
    asked = {what.variable: what for what in schema}
    _require_numbers(record, {part for name in asked if name in RATIOS for part in RATIOS[name].parts} - asked.keys())
    wrong = {v.variable for v in record.values if v.variable in asked and asked[v.variable].read(v) is None}
    kept = (v for v in record.values if v.variable not in wrong and wrong.isdisjoint(v.parts))
    return with_derived(ClinicalRecord(tuple(kept))), tuple(name.value for name in asked if name in wrong)


def _require_numbers(record: ClinicalRecord, parts: AbstractSet[ClinicalVariable]) -> None:
    """Refuse a part in a wrong unit, from which nothing would follow as if nobody had measured it."""
    for value in record.values:
        if value.variable in parts:
            number_in(value)


def _variable(entry: Fields) -> Continuous | Categorical:
    """One entry of the table."""
    if entry.has("categories"):
        return _categorical(entry)
    variable = entry.one_of("variable", {name.value: name for name in NUMBERS})
    sd = entry.number("sd")
    if sd <= 0:
        raise entry.wrong("sd", f"is {sd}, not above zero")
    plausible, log1p = entry.interval("plausible"), entry.flag("log1p")
    if log1p and plausible[0] < 0:
        raise entry.wrong("plausible", f"begins at {plausible[0]}, where log1p needs numbers of at least zero")
    number = Number(variable, plausible, log1p)
    if entry.text("unit") != number.unit:
        raise entry.wrong("unit", f"is {entry.text('unit')!r}, not {number.unit!r}, which all values of it come in")
    return Continuous(number, entry.number("mean"), sd, entry.number("imputed"))


def _categorical(entry: Fields) -> Categorical:
    """One entry with categories: each group a list of the variable's own categories."""
    variable = entry.one_of("variable", {name.value: name for name in CATEGORIES})
    groups = [
        tuple(words) if isinstance(words, list) and words and all(isinstance(word, str) for word in words) else None
        for words in entry.get("categories", list)
    ]
    if not groups or None in groups:
        raise entry.wrong("categories", "is not a list of lists of words")
    category = Category(variable, tuple(words for words in groups if words is not None))
    known = tuple(CATEGORIES[variable].categories)
    if strange := [word for words in category.categories for word in words if word not in known]:
        raise entry.wrong("categories", f"has {', '.join(strange)}; known: {', '.join(known)}")
    mode = entry.text("imputed")
    index = category.read(ClinicalValue(variable, mode, "", "bundle"))
    if index is None:
        raise entry.wrong("imputed", f"is {mode!r}, not one of the categories")
    return Categorical(category, index)
