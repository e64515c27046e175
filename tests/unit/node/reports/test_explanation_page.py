"""The explanation page."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from node.domain.prediction import Attribution, Contribution
from node.domain.reporting import Report
from node.reports.drawing import OUTLINE
from node.reports.evidence import gather
from node.reports.explanation_page import explanation_page, has_reasons
from tests.unit.node.reports.factory import attribution, gtrnet, nomogram, porcelain

MakeReport = Callable[..., Report]


def _page(report: Report) -> np.ndarray:
    return explanation_page(report, gather(report, [2]))


def test_a_result_without_reasons_needs_none(make_report: MakeReport) -> None:
    """Only a Shapley attribution or a nomogram makes a page."""
    assert not has_reasons(make_report())
    assert has_reasons(make_report(replace(porcelain(), attribution=attribution())))
    assert has_reasons(make_report(replace(gtrnet(), nomogram=nomogram())))


def test_every_reason_is_drawn_between_the_base_and_the_output(make_report: MakeReport, words: list[str]) -> None:
    """A reader can add up: the base, each contribution, the output."""
    _page(make_report(replace(porcelain(), attribution=attribution())))
    for expected in ("base (mean over the reference patients): -0.04", "+1.25", "-0.62", "CEA imputed", "-0.02"):
        assert expected in words
    assert "base and all contributions together: +1.02 logits" in words


def test_reasons_that_find_no_room_are_summed(make_report: MakeReport, words: list[str]) -> None:
    """Nothing is left out silently: the last row holds what the others add up to."""
    rows = tuple(Contribution(f"v{number}", 0.01) for number in range(60))
    _page(make_report(replace(porcelain(), attribution=Attribution(0.0, 0.6, rows))))
    (last,) = (word for word in words if word.endswith(" more"))
    assert words[words.index(last) + 1] == f"+{0.01 * int(last.split()[0]):.2f}"


def test_the_nomogram_is_drawn_to_scale(make_report: MakeReport, words: list[str]) -> None:
    """A known answer is a mark at its points, an unknown one a bar over all that it could be."""
    page = _page(make_report(replace(gtrnet(), nomogram=nomogram())))
    marked = (page == OUTLINE).all(axis=2)
    left, right = 194, 980  # the axis of 0 and of 100 points
    widths = {}
    for name, row in (("Tumour size", 1), ("Differentiation", 2)):
        band = marked[_row_of(row) - 4 : _row_of(row) + 4, left - 8 : right + 8].any(axis=0)
        columns = np.nonzero(band)[0] + left - 8
        widths[name] = (columns.min(), columns.max())
    per_point = (right - left) / 100
    assert abs(sum(widths["Tumour size"]) / 2 - (left + 13 * per_point)) <= 2
    assert abs(widths["Differentiation"][0] - left) <= 2
    assert abs(widths["Differentiation"][1] - (left + 22 * per_point)) <= 2
    assert "Total: 98 to 120 points" in words
    assert "unknown: 0 to 22 points" in words


def _row_of(item: int) -> int:
    """The y of the line of ``item`` (from 0) on a page that holds a nomogram alone."""
    return 204 + 44 + 70 + 84 * item + 30
