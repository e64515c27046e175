"""The table of clinical variables: how each is coded, measured, believed and for how long it holds.

LOINC (loinc.org, Regenstrief Institute): the codes name the variable alone, never its unit; many laboratories send g/dL
and g/L under one code. Units are UCUM (ucum.org). Plausible ranges are wider than any patient that the models were made
for: what lies outside is a typing or unit error, for a person to look at.

Staleness: how many days before the study a value may have been observed. Blood counts change within a fortnight,
chemistry and markers within a month; what pathology has said of a tumour holds for half a year.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from node.domain.clinical import ClinicalVariable as V

_BLOOD_COUNT_DAYS: Final = 14
_CHEMISTRY_DAYS: Final = 30
_BODY_DAYS: Final = 90
_TUMOUR_DAYS: Final = 180

_COUNTS: Final = ("10*9/L", "10*3/uL", "10*6/mL", "10*3/mm3", "10*6/L", "/nL", "/uL", "/mm3")
_MASS: Final = ("g/L", "g/dL", "mg/dL", "mg/mL")
_ENZYME: Final = ("U/L", "[IU]/L", "ukat/L", "nkat/L", "mU/mL", "m[IU]/mL")
_MARKER: Final = ("U/mL", "[IU]/mL", "k[IU]/L", "kU/L", "[arb'U]/mL", "k[arb'U]/L")
_BILIRUBIN: Final = ("umol/L", "mg/dL", "mg/L")
_RATIO: Final = ("1",)


@dataclass(frozen=True, slots=True)
class NumberRow:
    """A number: the one unit that it has in here, the units that are accepted, and what can be believed.

    Sources convert what they receive (``node.clinical.units``); from there on models refuse any other unit.
    """

    variable: V
    loinc: tuple[str, ...]
    unit: str
    accepted: tuple[str, ...]
    """UCUM codes, ``unit`` among them."""
    plausible: tuple[float, float]
    stale_days: int
    grams_per_mole: float | None = None
    """Where amount and mass are converted into each other: without it they are not."""
    units_are_arbitrary: bool = False
    """Whether U and [IU] count the same: assays of markers and enzymes define them, and senders write either."""

    def believes(self, number: float) -> bool:
        """Whether ``number``, in ``unit``, lies in the plausible range."""
        low, high = self.plausible
        return low <= number <= high


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A word: each category with the spellings that mean it, lower case."""

    variable: V
    loinc: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    stale_days: int

    def meant(self, word: str) -> str | None:
        """The category that ``word`` spells, case, hyphens and spaces apart; None when it is none."""
        bare = _bare(word)
        return next((name for name, words in self.categories.items() if bare in map(_bare, words)), None)


def _bare(word: str) -> str:
    return " ".join(word.lower().replace("-", " ").replace("_", " ").split())


Row = NumberRow | CategoryRow

_T: Final = MappingProxyType(
    {
        "T1": ("t1", "ct1", "t1a", "ct1a", "t1b", "ct1b", "t1c", "ct1c"),
        "T2": ("t2", "ct2"),
        "T3": ("t3", "ct3"),
        "T4": ("t4", "ct4", "t4a", "ct4a", "t4b", "ct4b"),
    }
)
# N of pathology is taken too: that of PORCELAIN's resected cohort presumably was. T is not: a clinical T is asked for.
_N: Final = MappingProxyType(
    {
        "N0": ("n0", "cn0", "pn0"),
        "N1": ("n1", "cn1", "pn1", "n1a", "pn1a", "n1b", "pn1b"),
        "N2": ("n2", "cn2", "pn2"),
        "N3": ("n3", "cn3", "pn3", "n3a", "cn3a", "pn3a", "n3b", "cn3b", "pn3b"),
    }
)
_SEX: Final = MappingProxyType({"M": ("m", "male"), "F": ("f", "female")})
_SITE: Final = MappingProxyType(
    {
        "head": ("head", "head of pancreas", "uncinate", "uncinate process"),
        "body-tail": (
            "body-tail",
            "body/tail",
            "body or tail",
            "body",
            "tail",
            "body of pancreas",
            "tail of pancreas",
        ),
    }
)
# Undifferentiated (G4) and two-tier grades are none of GTRNet's three.
_GRADE: Final = MappingProxyType(
    {
        "well": ("well", "well differentiated", "g1"),
        "moderate": ("moderate", "moderately", "moderately differentiated", "g2"),
        "poor": ("poor", "poorly", "poorly differentiated", "g3"),
    }
)
_LAUREN: Final = MappingProxyType(
    {
        "intestinal": ("intestinal", "intestinal type"),
        "diffuse": ("diffuse", "diffuse type"),
        "mixed": ("mixed", "mixed type"),
    }
)

_ROWS: Final[tuple[Row, ...]] = (
    NumberRow(V.AGE, ("30525-0",), "a", ("a", "mo", "wk", "d"), (0, 120), _BODY_DAYS),
    CategoryRow(V.SEX, ("46098-0", "76689-9"), _SEX, 36500),
    NumberRow(V.HEIGHT, ("8302-2",), "m", ("m", "cm", "mm", "[in_i]", "[ft_i]"), (0.4, 2.6), 3650),
    NumberRow(V.WEIGHT, ("29463-7",), "kg", ("kg", "g", "[lb_av]"), (2, 400), _BODY_DAYS),
    NumberRow(V.BMI, ("39156-5",), "kg/m2", ("kg/m2",), (8, 80), _BODY_DAYS),
    CategoryRow(V.CLINICAL_T, ("21905-5",), _T, _TUMOUR_DAYS),
    CategoryRow(V.CLINICAL_N, ("21906-3", "21900-6"), _N, _TUMOUR_DAYS),
    # Site and Lauren type have no LOINC that all senders share: people, files, codes (below) and pathology's text say.
    CategoryRow(V.LESION_SITE, (), _SITE, _TUMOUR_DAYS),
    NumberRow(V.CA19_9, ("24108-3", "83084-4"), "U/mL", _MARKER, (0, 1e6), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    NumberRow(V.CEA, ("2039-6", "83085-1"), "ng/mL", ("ng/mL", "ug/L"), (0, 1e5), _CHEMISTRY_DAYS),
    NumberRow(V.CA125, ("10334-1", "83082-8"), "U/mL", _MARKER, (0, 1e5), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    NumberRow(V.WBC, ("6690-2", "26464-8"), "10*9/L", _COUNTS, (0.05, 500), _BLOOD_COUNT_DAYS),
    NumberRow(V.NEUTROPHILS, ("751-8", "26499-4"), "10*9/L", _COUNTS, (0, 300), _BLOOD_COUNT_DAYS),
    NumberRow(V.LYMPHOCYTES, ("731-0", "26474-7"), "10*9/L", _COUNTS, (0, 300), _BLOOD_COUNT_DAYS),
    NumberRow(V.MONOCYTES, ("742-7", "26484-6"), "10*9/L", _COUNTS, (0, 100), _BLOOD_COUNT_DAYS),
    # Amount is that of haem, Hb(Fe), 16.114 g/mmol, as laboratories report it (IUPAC-IFCC NPU02319). A tetramer sent in
    # mmol/L would read as less than 40 g/L: outside of what is believed.
    NumberRow(
        V.HAEMOGLOBIN,
        ("718-7", "59260-0"),
        "g/L",
        ("g/L", "g/dL", "mmol/L"),
        (40, 250),
        _BLOOD_COUNT_DAYS,
        grams_per_mole=16114.0,
    ),
    NumberRow(V.PLATELETS, ("777-3", "26515-7"), "10*9/L", _COUNTS, (1, 3000), _BLOOD_COUNT_DAYS),
    NumberRow(V.ALBUMIN, ("1751-7",), "g/L", _MASS, (5, 80), _CHEMISTRY_DAYS),
    NumberRow(V.GLOBULIN, ("10834-0", "2336-6"), "g/L", _MASS, (5, 150), _CHEMISTRY_DAYS),
    NumberRow(V.ALT, ("1742-6",), "U/L", _ENZYME, (0, 20000), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    NumberRow(V.AST, ("1920-8",), "U/L", _ENZYME, (0, 20000), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    NumberRow(V.ALP, ("6768-6",), "U/L", _ENZYME, (0, 10000), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    NumberRow(V.GGT, ("2324-2",), "U/L", _ENZYME, (0, 10000), _CHEMISTRY_DAYS, units_are_arbitrary=True),
    # Bilirubin IXa, C33H36N4O6: 584.66 g/mol (PubChem CID 5280352).
    NumberRow(
        V.BILIRUBIN_TOTAL,
        ("1975-2", "14631-6"),
        "umol/L",
        _BILIRUBIN,
        (0, 1500),
        _CHEMISTRY_DAYS,
        grams_per_mole=584.66,
    ),
    NumberRow(
        V.BILIRUBIN_DIRECT,
        ("1968-7", "14629-0"),
        "umol/L",
        _BILIRUBIN,
        (0, 1200),
        _CHEMISTRY_DAYS,
        grams_per_mole=584.66,
    ),
    NumberRow(V.NLR, (), "1", _RATIO, (0, 1000), _BLOOD_COUNT_DAYS),
    NumberRow(V.PLR, (), "1", _RATIO, (0, 30000), _BLOOD_COUNT_DAYS),
    NumberRow(V.LMR, (), "1", _RATIO, (0, 1000), _BLOOD_COUNT_DAYS),
    NumberRow(V.AGR, (), "1", _RATIO, (0, 20), _CHEMISTRY_DAYS),
    NumberRow(V.TUMOUR_SIZE, ("33728-7",), "mm", ("mm", "cm"), (1, 400), _TUMOUR_DAYS),
    CategoryRow(V.DIFFERENTIATION, ("33732-9",), _GRADE, _TUMOUR_DAYS),
    CategoryRow(V.LAUREN_TYPE, (), _LAUREN, _TUMOUR_DAYS),
)

ROWS: Final[Mapping[V, Row]] = MappingProxyType({row.variable: row for row in _ROWS})
"""Every variable's row."""
NUMBERS: Final[Mapping[V, NumberRow]] = MappingProxyType(
    {row.variable: row for row in _ROWS if isinstance(row, NumberRow)}
)
"""The rows of numbers."""
CATEGORIES: Final[Mapping[V, CategoryRow]] = MappingProxyType(
    {row.variable: row for row in _ROWS if isinstance(row, CategoryRow)}
)
"""The rows of words."""

BY_LOINC: Final[Mapping[str, V]] = MappingProxyType({code: row.variable for row in _ROWS for code in row.loinc})
"""Which variable a LOINC code names."""

SNOMED: Final = "SCT"
ICD10: Final = "ICD10"
"""ICD-10, its clinical modifications, and the topography of ICD-O-3, which share these codes."""
ICDO3: Final = "ICDO3"
"""ICD-O-3, morphology with behaviour."""

CODED: Final[Mapping[tuple[str, str], tuple[V, str]]] = MappingProxyType(
    {
        # Histologic grade (DICOM PS3.16 CID 6070).
        (SNOMED, "54102005"): (V.DIFFERENTIATION, "well"),
        (SNOMED, "1663004"): (V.DIFFERENTIATION, "moderate"),
        (SNOMED, "61026006"): (V.DIFFERENTIATION, "poor"),
        # Overlapping (C25.8) and unspecified (C25.9) sites are neither of the two.
        (ICD10, "C25.0"): (V.LESION_SITE, "head"),
        (ICD10, "C25.1"): (V.LESION_SITE, "body-tail"),
        (ICD10, "C25.2"): (V.LESION_SITE, "body-tail"),
        (ICDO3, "8144/3"): (V.LAUREN_TYPE, "intestinal"),
        (ICDO3, "8145/3"): (V.LAUREN_TYPE, "diffuse"),
    }
)
"""What a code says by itself, whatever asked: coding scheme and code to variable and category."""

MEASURED: Final[Mapping[tuple[str, str], V]] = MappingProxyType(
    {
        **{("LN", code): row.variable for row in _ROWS for code in row.loinc},
        (SNOMED, "50373000"): V.HEIGHT,
        (SNOMED, "27113001"): V.WEIGHT,
        (SNOMED, "60621009"): V.BMI,
    }
)
"""Which variable the concept name of a measurement names in a DICOM structured report: scheme and code."""

UNIT_WORDS: Final[Mapping[str, str]] = MappingProxyType({"a": "years", "1": "", "10*9/L": "10^9/L"})
"""UCUM codes that are not read as words, as people are shown them."""
