"""The key images."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from node.domain.reporting import Report
from node.reports import drawing, key_image, page
from node.reports.drawing import OUTLINE, Canvas
from node.reports.evidence import gather
from tests.unit.node.reports.factory import CtSpec, gtrnet, porcelain

MakeReport = Callable[..., Report]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of text that is drawn."""
    drawn: list[str] = []
    original = Canvas.text

    def text(self: Canvas, at: tuple[int, int], words: str, *args: object, **options: object) -> None:
        drawn.append(words)
        original(self, at, words, *args, **options)

    monkeypatch.setattr(Canvas, "text", text)
    return drawn


def _image(report: Report, index: int = 2) -> np.ndarray:
    return key_image.key_image(report, gather(report, [index]), index)


def test_the_outline_is_where_the_region_is(make_report: MakeReport) -> None:
    """In the large picture the edge encloses the pixels of the region, within one pixel of the CT."""
    report = make_report()
    pixels = _image(report)[156:793, 24:661]
    rows, columns = np.nonzero((pixels == OUTLINE).all(axis=2))
    # 64 x 80 pixels in 634 wide: 507 high, 63 + 1 below the top of the panel; the region is rows 16-31, columns 20-39
    scale = 634 / 80
    top = (636 - round(64 * scale)) / 2
    assert rows.min() == pytest.approx(top + 16 * scale, abs=scale)
    assert rows.max() == pytest.approx(top + 32 * scale, abs=scale)
    assert columns.min() == pytest.approx(20 * scale, abs=scale)
    assert columns.max() == pytest.approx(40 * scale, abs=scale)


def test_the_map_is_seen(make_report: MakeReport) -> None:
    """With evidence the picture is coloured where the map is, and nowhere outside it."""
    report = make_report()
    plain = page.Slice.of(report, 2).plain(drawing.whole((64, 80), (0.8, 0.8), 320, 256))
    shown = page.Slice.of(report, 2).explained(drawing.whole((64, 80), (0.8, 0.8), 320, 256))
    changed = (np.asarray(plain) != np.asarray(shown)).any(axis=2)
    assert changed[100:120, 125:155].all()
    assert not changed[:50].any()


def test_the_legend_says_what_is_shown(make_report: MakeReport, words: list[str]) -> None:
    """The bar has words at its ends and says what the evidence is for, with method, slice and window."""
    _image(make_report())
    for expected in ("low", "high", "evidence for cT3", "Slice 3 of 6, z = 106.0 mm   W 350 / L 40 HU"):
        assert expected in words
    assert any("Grad-CAM" in line for line in words)


def test_who_and_what_and_how_far_is_on_the_picture(make_report: MakeReport, words: list[str]) -> None:
    """Patient, study, algorithm with version, and the warnings are in the pixels."""
    _image(make_report(None, CtSpec(name=b"Doe^Jane")))
    page_text = "\n".join(words)
    for expected in ("PAT-7", "Doe, Jane", "CT ABDOMEN", "ACC-1", "GTRNet 1.0.0", "UNVERIFIED"):
        assert expected in page_text
    assert "NOT FOR CLINICAL USE" in page_text
    assert "untrained, for plumbing only" in page_text
    assert {"R", "L"} <= set(words)


def test_an_empty_map_says_so(make_report: MakeReport, words: list[str]) -> None:
    """No evidence is words, not a blank picture; and there is no colour bar without a map."""
    _image(make_report(gtrnet(empty=True)))
    assert key_image.NO_EVIDENCE in words
    assert "low" not in words


def test_a_slice_outside_the_map_says_so(make_report: MakeReport, words: list[str]) -> None:
    """A key slice that the map does not reach is told apart from one without legend."""
    report = make_report()
    explanation = replace(report.prediction.explanation, key_slices=(0,))
    _image(replace(report, prediction=replace(report.prediction, explanation=explanation)), 0)
    assert "(none on this slice)" in words


def test_the_answer_is_never_cut(make_report: MakeReport, words: list[str]) -> None:
    """A question that is too long for one line with its answer makes room for the answer."""
    asked = replace(porcelain(), title="Predicted neutrophil-to-T-cell ratio of this lesion, from its texture")
    _image(make_report(asked))
    assert asked.conclusion.value in words
