"""Units of clinical values: UCUM codes and the factors between them. A unit that is not here is not guessed at.

Many laboratories report haemoglobin and albumin in g/dL under the LOINC code that others use for g/L, and bilirubin in
mg/dL or umol/L: the unit decides, never the size of the number. Source: UCUM 2.1; molar masses from PubChem.
"""

import re
from collections.abc import Mapping
from typing import Final

from node.domain.clinical import ClinicalVariable

_DAYS_A_YEAR: Final = 365.25
_BILIRUBIN_G_PER_MOL: Final = 584.66
_HAEMOGLOBIN_MONOMER_G_PER_MOL: Final = 16114.5
_ALBUMIN_G_PER_MOL: Final = 66470.0

_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "a": {"mo": 1 / 12, "wk": 7 / _DAYS_A_YEAR, "d": 1 / _DAYS_A_YEAR},
    "m": {"cm": 0.01, "mm": 0.001, "[in_i]": 0.0254},
    "cm": {"m": 100.0, "mm": 0.1, "[in_i]": 2.54},
    "kg": {"g": 0.001, "[lb_av]": 0.45359237},
    "kg/m2": {"g/cm2": 10.0},
    "g/L": {"g/dL": 10.0, "mg/mL": 1.0, "mg/dL": 0.01, "mg/L": 0.001, "kg/m3": 1.0},
    "10*9/L": {
        "10*3/uL": 1.0,
        "10*3/mm3": 1.0,
        "10*6/mL": 1.0,
        "/nL": 1.0,
        "10*6/L": 0.001,
        "/uL": 0.001,
        "/mm3": 0.001,
    },
    "U/L": {"[iU]/L": 1.0, "m[iU]/mL": 1.0, "mU/mL": 1.0, "ukat/L": 60.0, "nkat/L": 0.06},
    "[arb'U]/mL": {"U/mL": 1.0, "[iU]/mL": 1.0, "k[arb'U]/L": 1.0, "kU/L": 1.0, "k[iU]/L": 1.0},
    "ng/mL": {"ug/L": 1.0, "ug/dL": 10.0, "ng/dL": 0.01, "pg/mL": 0.001, "ng/L": 0.001},
    "umol/L": {"mmol/L": 1000.0},
    "1": {"": 1.0, "{ratio}": 1.0},
}
"""By the unit wanted: the units known beside it, and what a number in them is multiplied by."""

_BY_SUBSTANCE: Final[Mapping[ClinicalVariable, Mapping[str, Mapping[str, float]]]] = {
    ClinicalVariable.BILIRUBIN_TOTAL: {
        "umol/L": {"mg/dL": 1e4 / _BILIRUBIN_G_PER_MOL, "mg/L": 1e3 / _BILIRUBIN_G_PER_MOL}
    },
    ClinicalVariable.BILIRUBIN_DIRECT: {
        "umol/L": {"mg/dL": 1e4 / _BILIRUBIN_G_PER_MOL, "mg/L": 1e3 / _BILIRUBIN_G_PER_MOL}
    },
    ClinicalVariable.HAEMOGLOBIN: {"g/L": {"mmol/L": 1e-3 * _HAEMOGLOBIN_MONOMER_G_PER_MOL}},
    ClinicalVariable.ALBUMIN: {"g/L": {"umol/L": 1e-6 * _ALBUMIN_G_PER_MOL}},
}
"""The same where mass and amount of substance meet: the factor hangs on the molar mass."""

# UCUM spells the litre either way.
_SMALL_LITRE: Final = re.compile(r"(?<=/)([a-z]?)l\b")


def factor(variable: ClinicalVariable, unit: str, wanted: str) -> float | None:
    """What a number of ``variable`` in ``unit`` is multiplied by to be in ``wanted``; None when that is not known."""
    spelt = _SMALL_LITRE.sub(r"\1L", unit)
    if spelt == wanted:
        return 1.0
    known = {**_FACTORS.get(wanted, {}), **_BY_SUBSTANCE.get(variable, {}).get(wanted, {})}
    return known.get(spelt)


def known_units(variable: ClinicalVariable, wanted: str) -> tuple[str, ...]:
    """The units of ``variable`` that can be converted to ``wanted``, this one first."""
    others = {**_FACTORS.get(wanted, {}), **_BY_SUBSTANCE.get(variable, {}).get(wanted, {})}
    return (wanted, *(unit for unit in others if unit))
