"""The clinical columns of a cohort's file."""

import pytest

from models.training.clinical_columns import clinical_column
from node.domain.clinical import ClinicalVariable


def test_a_number_has_its_one_unit() -> None:
    """In the heading; the cell is the number."""
    value = clinical_column("ca19_9[U/mL]").value("212.5")
    assert (value.variable, value.value, value.unit, value.source) == (ClinicalVariable.CA19_9, 212.5, "U/mL", "cohort")


def test_a_category_is_a_word() -> None:
    """One that is known."""
    assert clinical_column("sex").value("F").value == "F"
    with pytest.raises(ValueError, match="'X' is not one of"):
        clinical_column("sex").value("X")


@pytest.mark.parametrize(
    ("heading", "why"),
    [
        ("ca19_9", r"needs a unit in brackets; write ca19_9\[U/mL\]"),
        ("ca19_9[kU/L]", r"the unit is 'kU/L'; write ca19_9\[U/mL\]"),
        ("sex[1]", "is a category and has no unit"),
        ("surname", "neither a column of a manifest nor a clinical variable"),
    ],
)
def test_a_heading_that_is_none_says_why(heading: str, why: str) -> None:
    """And what to write."""
    with pytest.raises(ValueError, match=why):
        clinical_column(heading)


@pytest.mark.parametrize(("text", "why"), [("many", "is not a number"), ("inf", "finite"), ("-3", "not plausible")])
def test_a_cell_that_says_nothing_says_why(text: str, why: str) -> None:
    """With the text."""
    with pytest.raises(ValueError, match=why):
        clinical_column("ca19_9[U/mL]").value(text)
