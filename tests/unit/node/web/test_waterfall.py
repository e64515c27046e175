"""The waterfall leads from the base to the result."""

from typing import Any

import pytest

from node.web.waterfall import MOST_ROWS, waterfall


def attribution(*logits: float, base: float = -1.0) -> dict[str, Any]:
    """Contributions of those sizes."""
    contributions = [
        {"name": f"input {number}", "answer": "5", "is_imputed": False, "logits": value}
        for number, value in enumerate(logits)
    ]
    return {"base": base, "output": base + sum(logits), "contributions": contributions}


def test_each_bar_begins_where_the_one_before_ends() -> None:
    """From the base to the output, the largest first."""
    drawn = waterfall(attribution(0.25, 2.0, -0.5))
    assert [bar.value for bar in drawn.bars] == ["+2.00", "-0.50", "+0.25"]
    start = drawn.base_x
    for bar in drawn.bars:
        left, right = bar.x, bar.x + bar.width
        assert (right if bar.raises else left) == pytest.approx(bar.end_x, abs=0.2)
        assert (left if bar.raises else right) == pytest.approx(start, abs=0.2)
        start = bar.end_x
    assert drawn.bars[-1].end_x == pytest.approx(drawn.output_x, abs=0.2)


def test_many_small_ones_are_one_bar_and_none_is_lost() -> None:
    """Their sum is what it leads over."""
    drawn = waterfall(attribution(*([0.1] * 30)))
    assert len(drawn.bars) == MOST_ROWS + 1
    assert (drawn.bars[-1].label, drawn.bars[-1].value) == ("18 others", "+1.80")
    assert drawn.bars[-1].end_x == pytest.approx(drawn.output_x, abs=0.2)


@pytest.mark.parametrize("logits", [(), (0.0,), (0.0, 0.0)])
def test_nothing_that_moved_anything_is_drawn_too(logits: tuple[float, ...]) -> None:
    """Base and result are one place."""
    drawn = waterfall(attribution(*logits))
    assert drawn.base_x == drawn.output_x


def test_words_about_a_place_stay_inside() -> None:
    """At an edge they begin or end there; in between they stand over it."""
    drawn = waterfall(attribution(3.0, -1.0))
    assert [drawn.anchor(x) for x in (drawn.base_x, drawn.width / 2, float(drawn.width))] == ["start", "middle", "end"]


def test_what_was_imputed_says_so() -> None:
    """With the value that stood in."""
    one = attribution(0.5)
    one["contributions"][0]["is_imputed"] = True
    assert waterfall(one).bars[0].label == "input 0 = 5 (imputed)"
