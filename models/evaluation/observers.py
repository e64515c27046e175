"""How far regions and measurements of a lesion agree: the region analysed, further observers, one observer twice.

Columns of a cohort's files say what was compared:

    overlap_<measure>                      of the region analysed with the mask given
    overlap_<measure>_by_<observer>        of the region analysed with that observer's mask
    measured_<quantity>_by_<observer>      a number that an observer measured, such as volume_ml or diameter_mm
    measured_<quantity>_by_<observer>_again    the same, measured a second time

Measures are those of ``models.evaluation.overlap``. Agreement between observers is ICC(A,1), of one with themselves
ICC(C,1), on the cases that all of them measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Self

import numpy as np

from models.evaluation.agreement import agreement
from models.evaluation.estimate import Bools, Estimate, Floats, Source, nothing
from models.evaluation.overlap import mean_of
from node.errors import UsageError

OVERLAP: Final = "overlap_"
MEASURED: Final = "measured_"
BY: Final = "_by_"
AGAIN: Final = "_again"
MEASURES: Final = ("dice", "mean_surface_mm", "hausdorff_mm", "hausdorff_95_mm")
GIVEN: Final = "mask given"
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One such column."""

    quantity: str
    """Or the measure of an overlap."""
    observer: str
    """``GIVEN`` for the mask given with a case."""
    values: Floats
    """(n,): NaN where it was not measured."""

    def take(self, rows: Bools) -> Self:
        """The cases that ``rows`` (n,) marks."""
        return type(self)(self.quantity, self.observer, self.values[rows])


@dataclass(frozen=True, slots=True)
class OverlapFigures:
    """One measure of the regions analysed against one observer's masks."""

    observer: str
    measure: str
    mean: Estimate
    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class ObserverFigures:
    """The agreement of what was measured."""

    quantity: str
    kind: str
    """``between`` observers, or ``within`` one."""
    observers: tuple[str, ...]
    icc: Estimate
    form: str


def is_overlap(column: str) -> bool:
    """Whether a file's column is of an overlap."""
    return bool(_parts(column, OVERLAP)[0] in MEASURES)


def is_measured(column: str) -> bool:
    """Whether a file's column is of a measurement."""
    return bool(_parts(column, MEASURED)[1])


def overlap_columns(columns: Mapping[str, Floats]) -> tuple[Column, ...]:
    """Those of ``columns`` that are of overlaps, where anything was measured."""
    named = ((_parts(name, OVERLAP), values) for name, values in columns.items() if is_overlap(name))
    return tuple(Column(measure, by or GIVEN, values) for (measure, by), values in named if np.isfinite(values).any())


def measured_columns(columns: Mapping[str, Floats]) -> tuple[Column, ...]:
    """Those of ``columns`` that are of measurements, where anything was measured."""
    named = ((_parts(name, MEASURED), values) for name, values in columns.items() if is_measured(name))
    return tuple(Column(quantity, by, values) for (quantity, by), values in named if np.isfinite(values).any())


def overlaps(columns: Iterable[Column]) -> tuple[OverlapFigures, ...]:
    """The figures of each overlap column."""
    found = []
    for one in columns:
        known = one.values[np.isfinite(one.values)]
        ends = float(known.min()), float(known.max())
        found.append(
            OverlapFigures(one.observer, one.quantity, mean_of(known.tolist()), float(np.median(known)), *ends)
        )
    return tuple(found)


def agreements(columns: Sequence[Column]) -> tuple[ObserverFigures, ...]:
    """The agreement of each quantity: of all observers, of each pair of more than two, and of each with themselves."""
    found = []
    for quantity in dict.fromkeys(one.quantity for one in columns):
        first = {one.observer: one.values for one in columns if one.quantity == quantity and not _is_again(one)}
        again = {
            one.observer.removesuffix(AGAIN): one.values
            for one in columns
            if one.quantity == quantity and _is_again(one)
        }
        names = tuple(first)
        groups = [names, *(combinations(names, _FEWEST) if len(names) > _FEWEST else ())]
        found += [_between(quantity, group, first) for group in groups if len(group) >= _FEWEST]
        found += [_within(quantity, name, first[name], again[name]) for name in names if name in again]
    return tuple(found)


def _between(quantity: str, names: tuple[str, ...], values: Mapping[str, Floats]) -> ObserverFigures:
    together = np.column_stack([values[name] for name in names])
    return ObserverFigures(quantity, "between", names, _icc(together, is_between=True), "ICC(A,1)")


def _within(quantity: str, name: str, first: Floats, again: Floats) -> ObserverFigures:
    together = np.column_stack((first, again))
    return ObserverFigures(quantity, "within", (name,), _icc(together, is_between=False), "ICC(C,1)")


def _icc(together: Floats, *, is_between: bool) -> Estimate:
    known = together[np.isfinite(together).all(axis=1)]
    try:
        found = agreement(known)
    except UsageError as error:
        return nothing(Source.OWN, str(error), len(known))
    return found.absolute if is_between else found.consistency


def _is_again(column: Column) -> bool:
    return column.observer.endswith(AGAIN)


def _parts(column: str, prefix: str) -> tuple[str, str]:
    """Quantity and observer of a column with this prefix; two empty words for another."""
    if not column.startswith(prefix):
        return "", ""
    quantity, _, observer = column.removeprefix(prefix).partition(BY)
    return quantity, observer
