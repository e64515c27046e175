"""Figures: each draws what it is given, as SVG that is the same each time, and as a picture."""

from xml.etree import ElementTree as ET

from models.evaluation import figures
from models.evaluation.analysis import Analysis


def test_each_figure_is_drawn(analysis: Analysis) -> None:
    """As well-formed SVG with its words in it."""
    part = analysis.sets[0]
    variant = part.variants[0]
    drawn = {
        "sensitivity": figures.roc_curves(variant, analysis.classes),
        "called": figures.confusion(variant, analysis.classes),
        "observed share": figures.calibration(*variant.calibration[0]),
        "net benefit": figures.decision(variant.decision),
        "at risk": figures.survival(part.survival[0]),
        "centre": figures.forest(next(one for one in variant.subgroups if one.descriptor == "centre")),
    }
    for words, figure in drawn.items():
        text = figures.svg(figure)
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 — our own
        assert words in text
        assert figures.png(figure)[:4] == b"\x89PNG"


def test_the_curves_of_two_classes_are_one(analysis: Analysis) -> None:
    """The other would be its mirror."""
    variant = analysis.sets[0].variants[0]
    four = figures.roc_curves(variant, analysis.classes).axes[0]
    two = figures.roc_curves(variant, ("low", "high")).axes[0]
    assert len(four.lines) == 5
    assert len(two.lines) == 2


def test_the_same_figure_gives_the_same_bytes(analysis: Analysis) -> None:
    """No date, no chance."""
    variant = analysis.sets[0].variants[0]
    once, again = (figures.svg(figures.decision(variant.decision)) for _ in range(2))
    assert once == again
