"""GTRNet's nomogram: the Rad-score, the tumour's size and its histology as points, and the points as probabilities.

Source: GTRNet (doi 10.1038/s41746-025-02002-5), results, "Nomogram integration and clinical utility", Table 3 and
Fig. 4b. Proportional odds: P(T <= k) = sigmoid(theta_k - eta), where eta is the sum of the items' terms. Read with any
other sign, Table 3 gives negative or inverted probabilities.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise, product
from typing import Final, Self

from models.fields import Fields
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.clinical_variables import CATEGORIES, NUMBERS
from node.domain.prediction import Interval, Nomogram, NomogramItem, Quantity

LARGE_MM: Final = 50.0
"""From here on a tumour is large (Table 3: "Tumor size >= 5 cm")."""
SMALL: Final = "< 5 cm"
LARGE: Final = ">= 5 cm"
POINTS: Final = 100.0
"""What the widest line of the nomogram is long."""

Thresholds = tuple[float, float, float]

_QUANTITIES: Final = (Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4)
_SIZE: Final = ClinicalVariable.TUMOUR_SIZE
_HISTOLOGY: Final = (ClinicalVariable.DIFFERENTIATION, ClinicalVariable.LAUREN_TYPE)
_ASKED: Final = (_SIZE, *_HISTOLOGY)
_TERMS: Final = ("radscore", "size_large", "moderate", "poor", "mixed", "diffuse")


class ThresholdSource(StrEnum):
    """Whose intercepts a nomogram has."""

    PUBLISHED = "published"
    RECALIBRATED = "recalibrated"


@dataclass(frozen=True, slots=True)
class Size:
    """How long the tumour is, and who says so."""

    millimetres: float
    source: str
    is_lower_bound: bool = False
    """Whether it may be longer: the region touches the edge of the images."""

    @property
    def answer(self) -> str | None:
        """``SMALL`` or ``LARGE``; None when that cannot be known."""
        if self.millimetres >= LARGE_MM:
            return LARGE
        return None if self.is_lower_bound else SMALL


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known about one patient. None: unknown."""

    radscore: float
    """In standard deviations."""
    size: Size | None
    differentiation: str | None
    """``well``, ``moderate`` or ``poor``."""
    lauren_type: str | None
    """``intestinal``, ``mixed`` or ``diffuse``."""
    variables: tuple[str, ...] = ()
    """Names of the clinical variables that the answers came from."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One answer on a line and its term of eta."""

    answer: str
    term: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the nomogram with separate answers."""

    name: str
    options: tuple[Option, ...]

    @property
    def terms(self) -> tuple[float, ...]:
        """All terms that the line can add to eta."""
        return tuple(option.term for option in self.options)

    def open_terms(self, answer: str | None) -> tuple[float, ...]:
        """The terms that ``answer`` leaves possible: all when it is None. Raises KeyError for what is no answer."""
        return self.terms if answer is None else ({option.answer: option.term for option in self.options}[answer],)


@dataclass(frozen=True, slots=True)
class NomogramModel:
    """Table 3 as a model. Terms are log odds ratios; thresholds ascend."""

    thresholds: Thresholds
    """For T1 against T2 and above, up to T2 against T3 and above, up to T3 against T4."""
    source: ThresholdSource
    radscore_term: float
    """Per standard deviation."""
    radscore_axis: tuple[float, float]
    """The ends of the Rad-score's line, in standard deviations: beyond them the nomogram cannot be read."""
    size: Line
    differentiation: Line
    lauren_type: Line

    @classmethod
    def read(cls, section: Fields) -> Self:
        """The section ``nomogram`` of a bundle; raises BundleError naming what is wrong."""
        terms = section.child("terms")
        values = {name: terms.number(name) for name in _TERMS}
        return cls(
            thresholds=_thresholds(section),
            source=section.one_of("thresholds_from", {source.value: source for source in ThresholdSource}),
            radscore_term=values["radscore"],
            radscore_axis=section.interval("radscore_axis_sd"),
            size=_line("Tumour size", (SMALL, LARGE), (0.0, values["size_large"])),
            differentiation=_line(
                "Differentiation", ("well", "moderate", "poor"), (0.0, values["moderate"], values["poor"])
            ),
            lauren_type=_line(
                "Lauren type", ("intestinal", "mixed", "diffuse"), (0.0, values["mixed"], values["diffuse"])
            ),
        )

    def recalibrated(self, thresholds: Thresholds) -> Self:
        """The same odds ratios with a site's own intercepts."""
        _ascending(thresholds)
        return replace(self, thresholds=thresholds, source=ThresholdSource.RECALIBRATED)

    @property
    def points_per_logit(self) -> float:
        """What one unit of eta is worth."""
        return POINTS / max(max(terms) - min(terms) for terms in self._all_terms())

    def probabilities(self, eta: float) -> tuple[float, float, float, float]:
        """P(T1), P(T2), P(T3), P(T4) for the sum ``eta`` of all terms."""
        first, second, third = (_sigmoid(threshold - eta) for threshold in self.thresholds)
        return first, second - first, third - second, _sigmoid(eta - self.thresholds[2])

    def etas(self, answers: Answers) -> tuple[float, ...]:
        """Each eta that ``answers`` allow: one when all is known, else one for each combination of unknown answers."""
        return tuple(sum(terms) for terms in product(*self._open_terms(answers)))

    def reading(self, answers: Answers) -> Nomogram:
        """The nomogram read for one patient; an unknown answer widens points and probabilities to all it could be."""
        columns = zip(*(self.probabilities(eta) for eta in self.etas(answers)), strict=True)
        lines = zip(self._all_terms(), self._open_terms(answers), strict=True)
        points = [self._points(line, terms) for line, terms in lines]
        return Nomogram(
            items=tuple(
                NomogramItem(name, text, point, scale)
                for (name, text), point, scale in zip(self._texts(answers), points, self._scales(), strict=True)
            ),
            total_points=Interval(sum(point.low for point in points), sum(point.high for point in points)),
            probabilities=tuple(
                (quantity, Interval(min(values), max(values)))
                for quantity, values in zip(_QUANTITIES, columns, strict=True)
            ),
            notes=tuple(self._notes(answers)),
        )

    def _all_terms(self) -> tuple[tuple[float, ...], ...]:
        """The terms that each line can add, the Rad-score's ends first."""
        ends = tuple(self.radscore_term * end for end in self.radscore_axis)
        return ends, self.size.terms, self.differentiation.terms, self.lauren_type.terms

    def _open_terms(self, answers: Answers) -> tuple[tuple[float, ...], ...]:
        """The terms of each line that ``answers`` leave possible."""
        return (
            (self.radscore_term * self._on_axis(answers.radscore),),
            self.size.open_terms(answers.size.answer if answers.size else None),
            self.differentiation.open_terms(answers.differentiation),
            self.lauren_type.open_terms(answers.lauren_type),
        )

    def _on_axis(self, radscore: float) -> float:
        """The Rad-score, or the end of the line that it lies beyond."""
        low, high = self.radscore_axis
        return min(max(radscore, low), high)

    def _points(self, line: tuple[float, ...], terms: tuple[float, ...]) -> Interval:
        """Terms of a line as points from its lowest."""
        low, high = ((end - min(line)) * self.points_per_logit for end in (min(terms), max(terms)))
        return Interval(low, high)

    def _scales(self) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The ticks of each line: whole standard deviations of the Rad-score, then the answers of the others."""
        low, high = self.radscore_axis
        whole = range(math.ceil(low), math.floor(high) + 1)
        per_sd = self.radscore_term * self.points_per_logit
        radscore = tuple((f"{score:+d}" if score else "0", (score - low) * per_sd) for score in whole)
        return radscore, *(self._ticks(line) for line in (self.size, self.differentiation, self.lauren_type))

    def _ticks(self, line: Line) -> tuple[tuple[str, float], ...]:
        """The answers of ``line`` with their points, in the order of the points."""
        ticks = ((option.answer, self._points(line.terms, (option.term,)).low) for option in line.options)
        return tuple(sorted(ticks, key=lambda tick: tick[1]))

    def _texts(self, answers: Answers) -> tuple[tuple[str, str | None], ...]:
        """The name of each item and its answer as a person reads it."""
        size = answers.size
        length = f"{size.millimetres:.0f} mm ({size.source})" if size and size.answer else None
        return (
            ("Rad-score", f"{answers.radscore:+.2f} SD"),
            (self.size.name, length),
            (self.differentiation.name, answers.differentiation),
            (self.lauren_type.name, answers.lauren_type),
        )

    def _notes(self, answers: Answers) -> Iterator[str]:
        """What limits the reading."""
        if self.source is ThresholdSource.PUBLISHED:
            yield (
                "The intercepts are those of the published table, which fit centred covariates: with the paper's own "
                "case mix the mean probability of T4 is 49 %, against 25 % of its training data. They have not been "
                "recalibrated for this site."
            )
        else:
            yield "The intercepts were recalibrated; the odds ratios are those of the published table."
        if self._on_axis(answers.radscore) != answers.radscore:
            yield "The Rad-score lies beyond the end of its line and was read at that end."
        yield from answers.notes
        unknown = [name for name, answer in self._texts(answers) if answer is None]
        if unknown:
            yield f"Not known: {', '.join(unknown)}. The ranges cover every value it could have."


def answers_from(record: ClinicalRecord, radscore: float, region: Size) -> Answers:
    """What ``record`` answers; the size is that of the ``region`` unless a person has given one."""
    given = {variable: value for variable in _ASKED if (value := record.get(variable)) is not None}
    words: dict[ClinicalVariable, str | None] = {
        variable: _answer(value) for variable, value in given.items() if variable in _HISTOLOGY
    }
    stated = _stated_size(given[_SIZE]) if _SIZE in given else None
    used = [variable for variable in given if words.get(variable) or (variable is _SIZE and stated)]
    return Answers(
        radscore=radscore,
        size=stated or region,
        differentiation=words.get(ClinicalVariable.DIFFERENTIATION),
        lauren_type=words.get(ClinicalVariable.LAUREN_TYPE),
        variables=tuple(variable.value for variable in used),
        notes=tuple(_notes(given, used, region)),
    )


def _notes(given: Iterable[ClinicalVariable], used: Iterable[ClinicalVariable], region: Size) -> Iterator[str]:
    """What was given and cannot be used, and where the size may be too small."""
    for variable in given:
        if variable in used:
            continue
        if variable is _SIZE:
            yield "The given tumour size is no plausible length in millimetres; the region was measured instead."
        else:
            yield f"The given {variable.value.replace('_', ' ')} is none of the nomogram's categories."
    if region.is_lower_bound and _SIZE not in used:
        yield "The region touches the edge of the images, so that its diameter is a lower bound."


def _stated_size(value: ClinicalValue) -> Size | None:
    """The size that a person gave; None when it is no plausible length."""
    row = NUMBERS[_SIZE]
    if isinstance(value.value, str) or value.unit != row.unit or not row.believes(value.value):
        return None
    return Size(value.value, value.source)


def _answer(value: ClinicalValue) -> str | None:
    """The answer that a word means; None when it is none of the nomogram's."""
    return CATEGORIES[value.variable].meant(str(value.value))


def _line(name: str, answers: tuple[str, ...], terms: tuple[float, ...]) -> Line:
    """A line of answers with their terms."""
    return Line(name, tuple(Option(answer, term) for answer, term in zip(answers, terms, strict=True)))


def _thresholds(section: Fields) -> Thresholds:
    """The three intercepts."""
    values = section.get("thresholds", list)
    if len(values) != len(_QUANTITIES) - 1 or not all(isinstance(value, int | float) for value in values):
        raise section.wrong("thresholds", f"is {values!r}, not three numbers")
    first, second, third = (float(value) for value in values)
    try:
        _ascending((first, second, third))
    except ValueError as error:
        raise section.wrong("thresholds", str(error)) from error
    return first, second, third


def _ascending(thresholds: Thresholds) -> None:
    """Raise ValueError when a category would have a negative probability."""
    if not all(map(math.isfinite, thresholds)) or any(low >= high for low, high in pairwise(thresholds)):
        raise ValueError(f"is {list(thresholds)}, not in ascending order")


def _sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
