"""Units of clinical values: what is known is converted, what is not is not guessed at."""

import pytest

from node.domain.clinical import ClinicalVariable
from node.domain.units import factor, known_units


@pytest.mark.parametrize(
    ("variable", "unit", "wanted", "expected"),
    [
        (ClinicalVariable.HAEMOGLOBIN, "g/dL", "g/L", 10.0),
        (ClinicalVariable.HAEMOGLOBIN, "mmol/L", "g/L", 16.1145),
        (ClinicalVariable.ALBUMIN, "g/dl", "g/L", 10.0),
        (ClinicalVariable.ALBUMIN, "umol/L", "g/L", 0.06647),
        (ClinicalVariable.BILIRUBIN_TOTAL, "mg/dL", "umol/L", 17.104),
        (ClinicalVariable.NEUTROPHILS, "/uL", "10*9/L", 0.001),
        (ClinicalVariable.PLATELETS, "10*3/uL", "10*9/L", 1.0),
        (ClinicalVariable.CEA, "ug/L", "ng/mL", 1.0),
        (ClinicalVariable.CA19_9, "kU/L", "[arb'U]/mL", 1.0),
        (ClinicalVariable.ALT, "ukat/L", "U/L", 60.0),
        (ClinicalVariable.AGE, "mo", "a", 1 / 12),
        (ClinicalVariable.HEIGHT, "cm", "m", 0.01),
        (ClinicalVariable.NLR, "", "1", 1.0),
    ],
)
def test_a_known_unit_is_converted(variable: ClinicalVariable, unit: str, wanted: str, expected: float) -> None:
    """By the factor of the units, and of the substance where mass meets amount."""
    assert factor(variable, unit, wanted) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("wanted", ["g/L", "10*9/L", "a"])
def test_the_wanted_unit_is_itself(wanted: str) -> None:
    """No factor."""
    assert factor(ClinicalVariable.AGE, wanted, wanted) == 1.0


@pytest.mark.parametrize(
    ("variable", "unit", "wanted"),
    [
        (ClinicalVariable.HAEMOGLOBIN, "stone", "g/L"),
        (ClinicalVariable.HAEMOGLOBIN, "", "g/L"),
        (ClinicalVariable.CEA, "mmol/L", "ng/mL"),
        (ClinicalVariable.GLOBULIN, "mmol/L", "g/L"),  # a mixture has no molar mass
        (ClinicalVariable.AGE, "a", "kg"),
    ],
)
def test_an_unknown_unit_is_not_guessed_at(variable: ClinicalVariable, unit: str, wanted: str) -> None:
    """None, also for no unit at all, and for an amount of a substance whose molar mass is not here."""
    assert factor(variable, unit, wanted) is None


def test_what_is_known_can_be_said() -> None:
    """The wanted unit first, then those that can be converted, those of the substance included."""
    assert known_units(ClinicalVariable.BILIRUBIN_TOTAL, "umol/L") == ("umol/L", "mmol/L", "mg/dL", "mg/L")
