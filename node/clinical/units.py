"""Units as laboratories write them, and what a number in one unit is in another.

UCUM codes are parsed by ucumvert (MIT), from the grammar and tables of the standard itself, and handed to Pint (BSD). A
spelling that is not UCUM is known only if it is in the table below; nothing is guessed.
"""

import re
import threading
from functools import cache, lru_cache
from typing import Any, Final

from ucumvert import PintUcumRegistry

from node.domain.clinical import ValueReason
from node.domain.clinical_variables import NumberRow

LONGEST: Final = 32

_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "G/L": ("g/L",),
    "GIGA/L": ("10*9/L",),
    "GPT/L": ("10*9/L",),
    "K/UL": ("10*3/uL",),
    "K/MM3": ("10*3/mm3",),
    "THOU/UL": ("10*3/uL",),
    "THOUSAND/UL": ("10*3/uL",),
    "TSD/UL": ("10*3/uL",),
    "TSD./UL": ("10*3/uL",),
    "CELLS/UL": ("/uL",),
    "{CELLS}/UL": ("/uL",),
    "CELLS/MM3": ("/mm3",),
    "/CMM": ("/mm3",),
    "/UL": ("/uL",),
    "/MM3": ("/mm3",),
    "G/DL": ("g/dL",),
    "GM/DL": ("g/dL",),
    "GM/L": ("g/L",),
    "MG/DL": ("mg/dL",),
    "MG/L": ("mg/L",),
    "MG/ML": ("mg/mL",),
    "NG/ML": ("ng/mL",),
    "UG/L": ("ug/L",),
    "MCG/L": ("ug/L",),
    "UMOL/L": ("umol/L",),
    "MCMOL/L": ("umol/L",),
    "MMOL/L": ("mmol/L",),
    "U/L": ("U/L",),
    "IU/L": ("[IU]/L",),
    "E/L": ("U/L",),
    "UKAT/L": ("ukat/L",),
    "NKAT/L": ("nkat/L",),
    "U/ML": ("U/mL",),
    "IU/ML": ("[IU]/mL",),
    "E/ML": ("U/mL",),
    "KU/L": ("kU/L",),
    "KIU/L": ("k[IU]/L",),
    "KE/L": ("kU/L",),
    "KG/M2": ("kg/m2",),
    "KG/M^2": ("kg/m2",),
    "KG": ("kg",),
    "LB": ("[lb_av]",),
    "LBS": ("[lb_av]",),
    "IN": ("[in_i]",),
    "CM": ("cm",),
    "MM": ("mm",),
    "YR": ("a",),
    "YRS": ("a",),
    "YEARS": ("a",),
    "Y": ("a",),
    "{RATIO}": ("1",),
    "RATIO": ("1",),
}
"""How senders spell units, upper case, the micro sign as U; which reading is meant is what the variable accepts."""
_CASED: Final[dict[str, tuple[str, ...]]] = {"G/L": ("10*9/L", "g/L")}
"""Where the case tells: g/L is never giga, but many write whole units in upper case."""

_REMEMBERED: Final = 1024
"""Spellings that are no unit: senders can make up as many as they like."""
_ONE_AT_A_TIME: Final = threading.RLock()
"""Pint's registries are not made for threads, and quantities of two of them do not mix."""
_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER: Final = re.compile(r"(?:[xX*]\s?)?10\s?(?:\*\*|[*^eE])\s?([0-9]{1,2})", re.ASCII)
_LITRE: Final = re.compile(r"/([dmu]?)l\b")


def to_ucum(text: str, row: NumberRow) -> str | ValueReason:
    """The accepted UCUM code that ``text`` means for the variable of ``row``, or why there is none."""
    tidy = _tidy(text)
    if not tidy:
        return ValueReason.UNIT_MISSING
    if len(tidy) > LONGEST:
        return ValueReason.UNIT_UNKNOWN
    if tidy in row.accepted:
        return tidy
    meant = [code for code in _CASED.get(tidy, _SPELLINGS.get(tidy.upper(), ())) if code in row.accepted]
    if len(meant) == 1:
        return meant[0]
    is_known = tidy.upper() in _SPELLINGS or _is_ucum(tidy)
    return ValueReason.UNIT_NOT_ACCEPTED if is_known else ValueReason.UNIT_UNKNOWN


def convert(number: float, code: str, row: NumberRow) -> float:
    """``number`` in the accepted UCUM unit ``code`` as a number in the unit of ``row``."""
    if code == row.unit:
        return number
    with _ONE_AT_A_TIME:
        return number * _factor(code, row.unit, row.grams_per_mole, row.units_are_arbitrary)


@cache
def _factor(code: str, unit: str, grams_per_mole: float | None, are_arbitrary: bool) -> float:
    if are_arbitrary:
        code, unit = (text.replace("[IU]", "U").replace("[arb'U]", "U") for text in (code, unit))
    given, wanted = _quantity(code), _quantity(unit)
    if grams_per_mole is not None and given.dimensionality != wanted.dimensionality:
        mass = grams_per_mole * _quantity("g/mol")
        given = given * mass if "[substance]" in given.dimensionality else given / mass
    return float(given.to(wanted.units).magnitude)


def _quantity(code: str) -> Any:
    return 1.0 * _registry().from_ucum(code)


@cache
def _registry() -> Any:
    """Made once and late: it takes half a second, which help and most commands do not need."""
    return PintUcumRegistry()


@lru_cache(maxsize=_REMEMBERED)
def _is_ucum_cached(code: str) -> bool:
    try:
        _registry().from_ucum(code)
    except Exception:  # noqa: BLE001 — the parser raises whatever its grammar, transformer and unit tables raise
        return False
    return True


def _is_ucum(code: str) -> bool:
    with _ONE_AT_A_TIME:
        return code.isascii() and _is_ucum_cached(code)


def _tidy(text: str) -> str:
    """``text`` in the character set of UCUM: micro as u, powers as 10*9, litres as L."""
    bare = text.strip().replace("µ", "u").replace("μ", "u").replace("[iU]", "[IU]")
    if any(char in "⁰¹²³⁴⁵⁶⁷⁸⁹" for char in bare):
        # 10⁹ without a sign of power would become 109.
        bare = re.sub(r"10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda match: "10*" + match[1].translate(_SUPERSCRIPTS), bare)
        bare = bare.translate(_SUPERSCRIPTS)
    bare = _POWER.sub(lambda match: f"10*{match[1]}", bare)
    return _LITRE.sub(r"/\1L", bare).replace(" /", "/").replace("/ ", "/")
