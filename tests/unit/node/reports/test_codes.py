"""The code table."""

import pytest

from node.domain.coding import Anatomy
from node.domain.prediction import Conclusion, ExplanationMethod, Quantity
from node.reports import codes
from tests.unit.node.reports.factory import gtrnet, porcelain


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        (codes.QUANTITIES, Quantity),
        (codes.CONCLUSIONS, Conclusion),
        (codes.EXPLANATIONS, ExplanationMethod),
        (codes.BODY_PARTS, Anatomy),
    ],
)
def test_everything_that_can_be_said_has_a_code(table: dict[object, object], keys: type) -> None:
    """A new quantity, conclusion, method or organ cannot be forgotten here."""
    assert set(table) == set(keys)


def test_no_two_numbers_share_a_code() -> None:
    """One pre-coordinated code a number: viewers show nothing but its meaning."""
    assert len({code.value for code in codes.QUANTITIES.values()}) == len(Quantity)


def test_code_values_and_meanings_fit_their_attributes() -> None:
    """Code Value is an SH of 16 characters, Code Meaning an LO of 64 (PS3.3 section 8.8)."""
    coded = [*codes.QUANTITIES.values(), *(code for pair in codes.CONCLUSIONS.values() for code in pair)]
    coded += [codes.REGION_TRANSFER, codes.DECISION_THRESHOLD, codes.CLINICAL_VALUE_IMPUTED]
    for code in coded:
        assert len(code.meaning) <= 64
        assert len(code.scheme) <= 16


def test_the_subject_is_one_short_word() -> None:
    """What was predicted fits at the front of a series description."""
    assert (codes.subject(gtrnet()), codes.subject(porcelain())) == ("cT", "NTR")
