"""The reasons as pictures."""

import numpy as np

from node.domain.prediction import Attribution, Contribution, Interval, Nomogram, NomogramItem, Quantity
from node.reports import why
from node.reports.drawing import INK, OUTLINE, Canvas
from tests.unit.node.reports.factory import attribution

SIDE = 600
BOX = (0, 0, SIDE, SIDE)


def _solid(canvas: Canvas, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """The columns between ``left`` and ``right`` that hold ink all the way between two rows."""
    return np.nonzero((canvas.pixels[top:bottom, left:right] == INK).all(axis=(0, 2)))[0] + left


def test_bars_go_right_for_what_raises_and_are_to_scale() -> None:
    """A contribution half as large has a bar half as long; one that lowers the output is hollow, to the left."""
    canvas = Canvas(SIDE, 120)
    reasons = (Contribution("a", 1.0), Contribution("b", 0.5), Contribution("c", -1.0))
    why.bars(canvas, reasons, (0, 0, SIDE, 120))
    first, second, third = (_solid(canvas, 26 * row + 8, 26 * row + 18, 320, 540) for row in range(3))
    assert abs(len(first) - 2 * len(second)) <= 2
    assert first.min() == second.min()
    assert third.size == 0


def test_the_bars_say_where_they_end() -> None:
    """What is drawn next begins below them; rows that do not fit are not drawn over the edge."""
    canvas = Canvas(SIDE, SIDE)
    assert why.bars(canvas, attribution().contributions, (0, 10, SIDE, SIDE)) == 10 + 5 * 26
    assert why.bars(canvas, attribution().contributions, (0, 10, SIDE, 70)) == 10 + 2 * 26


def test_three_reasons_are_the_strongest() -> None:
    """The short form shows three, under a title."""
    canvas = Canvas(SIDE, SIDE)
    assert why.strongest(canvas, attribution(), "high NTR", BOX) == 26 + 3 * 26


def test_nothing_that_moved_is_drawn_as_nothing() -> None:
    """Contributions of zero have no bar, however few they are: the scale has a floor."""
    canvas = Canvas(SIDE, 60)
    why.bars(canvas, (Contribution("a", 0.0), Contribution("b", 0.001)), (0, 0, SIDE, 60))
    assert _solid(canvas, 8, 18, 320, 540).size <= 2
    assert _solid(canvas, 34, 44, 320, 540).size <= 4


def test_a_range_is_a_bar_and_a_number_a_stroke() -> None:
    """The reading shows how far a probability is known."""
    canvas = Canvas(SIDE, 120)
    probabilities = ((Quantity.T1, Interval(0.2, 0.2)), (Quantity.T2, Interval(0.2, 0.7)))
    why.reading(canvas, Nomogram((), Interval(10.0, 10.0), probabilities), (0, 0, SIDE, 120))
    stroke, bar = (_solid(canvas, 24 + 26 * row + 9, 24 + 26 * row + 17, 56, 450) for row in range(2))
    assert len(stroke) == 5
    assert len(bar) > 100


def test_an_answer_stands_at_its_points() -> None:
    """Fifty points are in the middle of the axis."""
    canvas = Canvas(SIDE, SIDE)
    item = NomogramItem("Item", "yes", Interval(50.0, 50.0), (("no", 0.0), ("yes", 50.0)))
    why.whole_nomogram(canvas, Nomogram((item,), Interval(50.0, 50.0), ()), BOX)
    rows, columns = np.nonzero((canvas.pixels == OUTLINE).all(axis=2))
    mark = columns[np.abs(rows - (44 + 70 + 30)) <= 6]
    assert abs(mark.mean() - (170 + SIDE - 20) / 2) <= 2


def test_every_reason_adds_up_to_the_output() -> None:
    """However little room there is, the last line is drawn inside the page."""
    canvas = Canvas(SIDE, 300)
    rows = tuple(Contribution(f"v{number}", 0.1) for number in range(30))
    why.every_reason(canvas, Attribution(0.0, 3.0, rows), "high NTR", (0, 0, SIDE, 300))
    assert (canvas.pixels[250:] == INK).any()
