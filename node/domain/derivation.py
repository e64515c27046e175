"""Derived variables: ratios of blood counts and of proteins, and the body mass index.

Source: PORCELAIN (doi 10.1038/s41746-025-02303-9), methods, "Patient cohorts and clinical parameters" and figure 4. A
value that was measured or entered itself counts more than one derived from others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from node.domain.clinical import ClinicalRecord, ClinicalValue
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import NUMBERS

DERIVED: Final = "derived"


@dataclass(frozen=True, slots=True)
class Ratio:
    """``numerator`` over ``denominator`` to the power ``exponent``, each in the unit of its row."""

    numerator: V
    denominator: V
    exponent: int = 1

    @property
    def parts(self) -> tuple[V, V]:
        """What it is computed from."""
        return self.numerator, self.denominator


RATIOS: Final[Mapping[V, Ratio]] = MappingProxyType(
    {
        V.BMI: Ratio(V.WEIGHT, V.HEIGHT, exponent=2),
        V.NLR: Ratio(V.NEUTROPHILS, V.LYMPHOCYTES),
        V.PLR: Ratio(V.PLATELETS, V.LYMPHOCYTES),
        V.LMR: Ratio(V.LYMPHOCYTES, V.MONOCYTES),
        V.AGR: Ratio(V.ALBUMIN, V.GLOBULIN),
    }
)
"""Each derived variable with what it is computed from."""


def with_derived(record: ClinicalRecord) -> ClinicalRecord:
    """``record`` and what follows from its values, each derived one with the older of its two times."""
    made = (_derived(record, name, ratio) for name, ratio in RATIOS.items() if record.get(name) is None)
    return replace(record, values=(*record.values, *(value for value in made if value is not None)))


def _derived(record: ClinicalRecord, name: V, ratio: Ratio) -> ClinicalValue | None:
    """The ratio, where both parts are numbers in their own units and it can be believed; else None."""
    over, under = record.get(ratio.numerator), record.get(ratio.denominator)
    if over is None or under is None:
        return None
    number, divisor = _number(over), _number(under)
    if number is None or divisor is None or divisor <= 0:
        return None
    quotient = number / divisor**ratio.exponent
    row = NUMBERS[name]
    if not row.believes(quotient):
        return None
    times = [value.observed_at for value in (over, under) if value.observed_at is not None]
    sources = "/".join(dict.fromkeys((over.source, under.source)))
    return ClinicalValue(name, quotient, row.unit, f"{DERIVED} from {sources}", min(times, default=None), ratio.parts)


def _number(value: ClinicalValue) -> float | None:
    if isinstance(value.value, str) or value.unit != NUMBERS[value.variable].unit:
        return None
    return float(value.value) if math.isfinite(value.value) else None
