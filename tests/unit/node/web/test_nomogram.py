"""The nomogram has each answer at its points."""

from typing import Any

import pytest

from node.web.nomogram import LABELS, WIDTH, nomogram

SIZE: dict[str, Any] = {
    "name": "size", "answer": ">= 5 cm", "points": [40.0, 40.0], "scale": [["< 5 cm", 0.0], [">= 5 cm", 40.0]]
}  # fmt: skip
SCORE: dict[str, Any] = {"name": "score", "answer": None, "points": [0.0, 100.0], "scale": [["-3", 0.0], ["3", 100.0]]}


def test_marks_and_ticks_lie_on_the_ruler_of_points() -> None:
    """Forty points are where the ruler says forty."""
    drawn = nomogram({"items": [SIZE, SCORE], "total": [40.0, 140.0]})
    ruler, size = drawn.lines[0], drawn.lines[1]
    forty = next(tick.x for tick in ruler.ticks if tick.words == "40")
    assert size.mark_low == size.mark_high == pytest.approx(forty)
    assert [tick.words for tick in size.ticks] == ["< 5 cm", ">= 5 cm"]
    assert size.ticks[1].x == pytest.approx(forty)
    assert not size.is_range


def test_an_unknown_answer_is_a_range() -> None:
    """Over everything that it could be."""
    score = nomogram({"items": [SIZE, SCORE], "total": [40.0, 140.0]}).lines[2]
    assert (score.answer, score.is_range) == ("unknown", True)
    assert (score.mark_low, score.mark_high) == (LABELS, pytest.approx(score.end_x))


def test_the_total_has_a_line_of_its_own() -> None:
    """Long enough for the most points that there are, with this patient's on it."""
    total = nomogram({"items": [SIZE, SCORE], "total": [40.0, 140.0]}).lines[-1]
    assert (total.label, total.answer) == ("Total points", "40 to 140")
    assert float(total.ticks[-1].words) >= 140
    assert total.mark_low < total.mark_high <= WIDTH


def test_words_that_would_run_into_each_other_stand_on_two_heights() -> None:
    """Answers with nearly the same points; short ones that are far enough apart stand on one."""
    far = {"name": "score", "answer": "b", "points": [20.0, 20.0], "scale": [["-3", 0.0], ["-2", 20.0], ["-1", 40.0]]}
    assert not any(tick.is_low for tick in nomogram({"items": [far], "total": [2.0, 2.0]}).lines[1].ticks)
    close = {"name": "type", "answer": "b", "points": [2.0, 2.0], "scale": [["a", 0.0], ["b", 2.0], ["c", 4.0]]}
    assert [tick.is_low for tick in nomogram({"items": [close], "total": [2.0, 2.0]}).lines[1].ticks] == [
        False,
        True,
        False,
    ]
