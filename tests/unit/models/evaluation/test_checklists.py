"""Checklists: every item once, filled where a fact is known, open where a person must write."""

import pytest

from models.evaluation.analysis import Analysis
from models.evaluation.checklists import CLAIM, OPEN, TRIPOD_AI, Item, filled
from models.evaluation.document import Provenance
from models.evaluation.report import facts


@pytest.mark.parametrize(("items", "last", "number"), [(TRIPOD_AI, "27c", 52), (CLAIM, "44", 44)])
def test_every_item_stands_once(items: tuple[Item, ...], last: str, number: int) -> None:
    """In the order of the published list."""
    numbers = [item.number for item in items]
    assert len(set(numbers)) == len(numbers) == number
    assert numbers[-1] == last
    assert numbers == sorted(numbers, key=lambda one: (int(one.rstrip("abcdefg")), one))


def test_what_is_known_is_filled_and_the_rest_stays_open() -> None:
    """An ethics approval is not invented."""
    found = {one.number: one.answer for one in filled(TRIPOD_AI, {"aim": "Evaluation"})}
    assert found["4"] == "Evaluation"
    assert found["17"] == OPEN
    assert sum(answer != OPEN for answer in found.values()) == 1


def test_every_fact_that_is_known_is_asked_for(analysis: Analysis, provenance: Provenance) -> None:
    """No answer is made that no item takes."""
    asked = {item.fact for item in (*TRIPOD_AI, *CLAIM)}
    assert facts(analysis, provenance).keys() <= asked
