"""Charts: everything lies where its value says, inside of the picture."""

import pytest

from node.web.charts import Chart, columns, distribution, over_time, reliability


def test_columns_stand_on_one_another_from_the_ground() -> None:
    """Their heights are as their values."""
    chart = columns("x", ["a", "b"], [(3.0, 1.0), (6.0, 0.0)])
    first, second, third = chart.boxes
    assert first.y + first.height == pytest.approx(chart.bottom)
    assert second.y + second.height == pytest.approx(first.y)
    assert first.height == pytest.approx(3 * second.height, abs=0.3)
    assert third.height == pytest.approx(2 * first.height, abs=0.3)
    assert (first.kind, second.kind, third.kind) == ("first", "second", "first")


@pytest.mark.parametrize("highest", [0.0, 0.003, 1.0, 7.0, 12.0, 99.0, 100.0, 12345.0])
def test_axes_have_a_few_round_marks_and_reach_the_highest(highest: float) -> None:
    """Whatever the size of the numbers."""
    chart = columns("x", ["a"], [(highest,)])
    marks = [float(tick.words) for tick in chart.y_ticks]
    assert 2 <= len(marks) <= 6
    assert marks[0] == 0.0
    assert marks[-1] >= highest
    assert all(box.y >= chart.top - 0.1 for box in chart.boxes)


def test_intervals_lie_around_their_dots_and_gaps_stay_empty() -> None:
    """None is nothing, not zero."""
    chart = over_time("x", ["a", "b", "c"], [(0.5, 0.4, 0.7), None, (0.9, 0.8, 1.0)], highest=1.0, threshold=0.7)
    assert len(chart.dots) == 2
    assert all(dot.high < dot.y < dot.low for dot in chart.dots)
    assert len(chart.lines) == 1
    assert chart.guides[0][1] == pytest.approx(chart.dots[0].high)


def test_a_reference_is_a_staircase_over_the_same_bins() -> None:
    """Two points a bin."""
    chart = distribution("x", (0.0, 0.5, 1.0), (0.25, 0.75), (0.5, 0.5))
    assert len(chart.lines[0].split()) == 4
    assert chart.boxes[1].height == pytest.approx(3 * chart.boxes[0].height, abs=0.3)
    assert distribution("x", (0.0, 1.0), (1.0,)).lines == ()


def test_perfect_calibration_lies_on_the_dashed_line() -> None:
    """From corner to corner."""
    chart = reliability("x", [(0.5, 0.5, 0.4, 0.6)])
    x1, y1, x2, y2 = chart.guides[0]
    assert chart.dots[0].x == pytest.approx((x1 + x2) / 2)
    assert chart.dots[0].y == pytest.approx((y1 + y2) / 2)


def test_many_names_are_thinned_out() -> None:
    """Ninety days in eight marks."""
    chart: Chart = columns("x", [str(number) for number in range(90)], [(1.0,)] * 90)
    assert len(chart.x_ticks) <= 8
