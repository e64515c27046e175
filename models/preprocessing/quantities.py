"""Clinical values as numbers, in the one unit that each variable has."""

import math

from node.domain.clinical import ClinicalValue
from node.domain.clinical_variables import NUMBERS
from node.domain.reasons import ReasonCode
from node.errors import Refused


def number_in(value: ClinicalValue) -> float:
    """The number; raises Refused(CLINICAL_VALUE) when it is none, or not in the unit of its variable's row.

    Sources convert what they receive. A wrong unit here is a wrong interface, which would be wrong for every patient;
    so it is neither converted a second time nor passed over like a gap.
    """
    name, row = value.variable.value, NUMBERS[value.variable]
    if isinstance(value.value, str) or not math.isfinite(value.value):
        raise Refused(ReasonCode.CLINICAL_VALUE, f"{name}, from {value.source}: the value is not a finite number")
    if value.unit != row.unit:
        raise Refused(
            ReasonCode.CLINICAL_VALUE, f"{name}, from {value.source}: the unit is {value.unit!r}, not {row.unit!r}"
        )
    return value.value
