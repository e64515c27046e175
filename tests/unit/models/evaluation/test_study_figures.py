"""Pictures of several models side by side."""

import numpy as np

from models.evaluation import study_figures
from models.evaluation.figures import svg


def test_shapley_values_stand_in_order_of_their_size() -> None:
    """The largest on top, with a point for each case."""
    figure = study_figures.shapley([[("small", 0.1), ("large", -2.0)], [("small", -0.1), ("large", 1.0)]])
    bars, points = figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["small", "large"]
    assert sum(len(line.get_xdata()) for line in points.lines[:2]) == 4


def test_many_inputs_are_cut_to_the_largest() -> None:
    """A figure that nobody can read says nothing."""
    figure = study_figures.shapley([[(f"x{number}", float(number)) for number in range(60)]])
    assert len(figure.axes[0].get_yticklabels()) == 20


def test_an_overlay_shows_the_slice_twice_and_draws_the_region() -> None:
    """Once plain, once with the map; the same picture gives the same bytes."""
    plane = np.linspace(-200, 300, 400, dtype=np.float32).reshape(20, 20)
    region = np.zeros((20, 20), dtype=np.float32)
    region[4:8, 4:8] = 1
    first, second = (svg(study_figures.overlay(plane, region * 0.7, region)) for _ in range(2))
    assert first == second
    figure = study_figures.overlay(plane, region, region)
    assert [len(axes.images) for axes in figure.axes] == [1, 2]


def test_an_empty_region_has_no_outline() -> None:
    """And is no error."""
    plane = np.zeros((20, 20), dtype=np.float32)
    assert len(study_figures.overlay(plane, plane, plane).axes) == 2
