"""The table of variables: whole, and without contradictions."""

import pytest

from node.domain.clinical import ClinicalVariable
from node.domain.clinical_variables import BY_LOINC, CATEGORIES, NUMBERS, ROWS, CategoryRow, NumberRow


def test_every_variable_has_its_row() -> None:
    """No variable can be asked for that the table does not know."""
    assert set(ROWS) == set(ClinicalVariable)
    assert all(row.variable is variable for variable, row in ROWS.items())


def test_a_code_names_one_variable() -> None:
    """No LOINC code stands in two rows, and each has its check digit (LOINC users' guide, Mod 10)."""
    codes = [code for row in ROWS.values() for code in row.loinc]
    assert len(codes) == len(set(codes)) == len(BY_LOINC)
    assert all(_mod_10(code.partition("-")[0]) == int(code.partition("-")[2]) for code in codes)


def test_ranges_and_limits_make_sense() -> None:
    """A range has a low and a high end, a limit is at least a day, categories are lower case and apart."""
    for row in ROWS.values():
        assert row.stale_days >= 1
        if isinstance(row, NumberRow):
            assert 0 <= row.plausible[0] < row.plausible[1]
            assert row.unit in row.accepted
        if isinstance(row, CategoryRow):
            words = [word for spelled in row.categories.values() for word in spelled]
            assert all(row.meant(name) == name for name in row.categories)
            assert len(words) == len(set(words))
            assert words == [word.lower() for word in words]


def test_numbers_and_words_are_all_there_is() -> None:
    """Each row is of one kind."""
    assert dict(ROWS) == {**NUMBERS, **CATEGORIES}
    assert not NUMBERS.keys() & CATEGORIES.keys()


@pytest.mark.parametrize(
    ("word", "meant"),
    [("Well-differentiated", "well"), (" G2 ", "moderate"), ("poorly_differentiated", "poor"), ("G4", None)],
)
def test_a_word_is_known_however_it_is_written(word: str, meant: str | None) -> None:
    """Case, hyphens and spaces do not matter; what is no spelling of a category is none."""
    assert CATEGORIES[ClinicalVariable.DIFFERENTIATION].meant(word) == meant


def test_the_ends_of_a_range_are_believed() -> None:
    """And nothing beyond, nor what is no number."""
    age = NUMBERS[ClinicalVariable.AGE]
    assert [age.believes(number) for number in (0.0, 120.0, -0.1, 120.1, float("nan"))] == [
        True,
        True,
        False,
        False,
        False,
    ]


def _mod_10(digits: str) -> int:
    doubled = str(int("".join(digits[::-1][::2][::-1])) * 2)
    total = sum(int(digit) for digit in doubled + "".join(digits[::-1][1::2]))
    return (10 - total % 10) % 10
