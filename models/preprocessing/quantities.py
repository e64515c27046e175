"""Clinical values as numbers in a wanted unit, and what can be computed from others.

Source: PORCELAIN, methods, "Patient cohorts and clinical parameters" and figure 4: BMI, and the peripheral blood ratios
NLR, PLR, LMR and AGR among the inputs of the clinical branch.
"""

import math
from dataclasses import dataclass
from typing import Final

from node.domain import units
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.reasons import ReasonCode
from node.errors import Refused

DERIVED: Final = "derived"
"""The source of a value that was computed from others."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """``numerator`` over ``denominator`` to the power ``exponent``, each in its unit; the result is in ``unit``."""

    numerator: ClinicalVariable
    numerator_unit: str
    denominator: ClinicalVariable
    denominator_unit: str
    unit: str = "1"
    exponent: int = 1


_CELLS: Final = "10*9/L"
_PROTEIN: Final = "g/L"
RATIOS: Final = {
    ClinicalVariable.BMI: Ratio(ClinicalVariable.WEIGHT, "kg", ClinicalVariable.HEIGHT, "m", "kg/m2", 2),
    ClinicalVariable.NLR: Ratio(ClinicalVariable.NEUTROPHILS, _CELLS, ClinicalVariable.LYMPHOCYTES, _CELLS),
    ClinicalVariable.PLR: Ratio(ClinicalVariable.PLATELETS, _CELLS, ClinicalVariable.LYMPHOCYTES, _CELLS),
    ClinicalVariable.LMR: Ratio(ClinicalVariable.LYMPHOCYTES, _CELLS, ClinicalVariable.MONOCYTES, _CELLS),
    ClinicalVariable.AGR: Ratio(ClinicalVariable.ALBUMIN, _PROTEIN, ClinicalVariable.GLOBULIN, _PROTEIN),
}


def number_in(value: ClinicalValue, unit: str) -> float:
    """The number in ``unit``; raises Refused(CLINICAL_VALUE) when it is none, or in a unit that is not known.

    A wrong unit is a wrong interface, which would be wrong for every patient; so it is not passed over like a gap.
    """
    name = value.variable.value
    if isinstance(value.value, str) or not math.isfinite(value.value):
        raise Refused(ReasonCode.CLINICAL_VALUE, f"{name}, from {value.source}: the value is not a finite number")
    factor = units.factor(value.variable, value.unit, unit)
    if factor is None:
        known = ", ".join(units.known_units(value.variable, unit))
        raise Refused(
            ReasonCode.CLINICAL_VALUE,
            f"{name}, from {value.source}: the unit {value.unit!r} is not known here; known: {known}",
        )
    return value.value * factor


def found(record: ClinicalRecord, variable: ClinicalVariable) -> ClinicalValue | None:
    """The recorded value, else the one that follows from others, else None."""
    value = record.get(variable)
    return derived(record, variable) if value is None else value


def derived(record: ClinicalRecord, variable: ClinicalVariable) -> ClinicalValue | None:
    """The value that follows from recorded ones; None when it follows from none, or a part of it is missing or zero."""
    ratio = RATIOS.get(variable)
    if ratio is None:
        return None
    over, under = record.get(ratio.numerator), record.get(ratio.denominator)
    if over is None or under is None:
        return None
    numerator, denominator = number_in(over, ratio.numerator_unit), number_in(under, ratio.denominator_unit)
    if denominator <= 0:
        return None
    times = [value.observed_at for value in (over, under) if value.observed_at is not None]
    return ClinicalValue(
        variable, numerator / denominator**ratio.exponent, ratio.unit, DERIVED, min(times, default=None)
    )
