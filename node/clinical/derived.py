"""Derived variables: ratios of blood counts and of proteins, and the body mass index.

Source: PORCELAIN (doi 10.1038/s41746-025-02303-9), "Clinical branch". A value that was measured or entered itself
counts more than one derived from others.
"""

from collections.abc import Iterable
from typing import Final

from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import ROWS, NumberRow

_RATIOS: Final[dict[V, tuple[V, V]]] = {
    V.NLR: (V.NEUTROPHILS, V.LYMPHOCYTES),
    V.PLR: (V.PLATELETS, V.LYMPHOCYTES),
    V.LMR: (V.LYMPHOCYTES, V.MONOCYTES),
    V.AGR: (V.ALBUMIN, V.GLOBULIN),
}
"""Each ratio with what is divided by what; both are in the same unit."""
DERIVED: Final = "derived"


def with_derived(values: Iterable[ClinicalValue]) -> tuple[ClinicalValue, ...]:
    """``values`` and what follows from them, each derived value with the older of its two times."""
    known = ClinicalRecord(tuple(values))
    made = [_ratio(known, name, *parts) for name, parts in _RATIOS.items()] + [_body_mass_index(known)]
    return known.values + tuple(value for value in made if value is not None and known.get(value.variable) is None)


def _ratio(known: ClinicalRecord, name: V, over: V, under: V) -> ClinicalValue | None:
    numerator, denominator = known.get(over), known.get(under)
    if numerator is None or denominator is None:
        return None
    return _quotient(name, numerator, denominator, power=1)


def _body_mass_index(known: ClinicalRecord) -> ClinicalValue | None:
    weight, height = known.get(V.WEIGHT), known.get(V.HEIGHT)
    return None if weight is None or height is None else _quotient(V.BMI, weight, height, power=2)


def _quotient(name: V, over: ClinicalValue, under: ClinicalValue, power: int) -> ClinicalValue | None:
    """The quotient, where both are numbers in their own units, of one time or the older, and believable."""
    if not _is_canonical(over) or not _is_canonical(under):
        return None
    number, divisor = float(over.value), float(under.value)
    row = ROWS[name]
    if divisor <= 0 or not isinstance(row, NumberRow):
        return None
    quotient = number / divisor**power
    low, high = row.plausible
    if not low <= quotient <= high:
        return None
    times = [value.observed_at for value in (over, under) if value.observed_at is not None]
    sources = "/".join(dict.fromkeys((over.source, under.source)))
    return ClinicalValue(name, quotient, row.unit, f"{DERIVED} from {sources}", min(times, default=None))


def _is_canonical(value: ClinicalValue) -> bool:
    row = ROWS[value.variable]
    return isinstance(row, NumberRow) and not isinstance(value.value, str) and value.unit == row.unit
