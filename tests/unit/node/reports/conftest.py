"""Fixtures for the result objects: reports whose series lies in a fresh folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.domain.prediction import Prediction
from node.domain.reporting import Report
from node.reports.drawing import Canvas
from tests.unit.node.reports.factory import CtSpec, build_report, gtrnet

ReportFactory = Callable[..., Report]


@pytest.fixture
def make_report(tmp_path: Path) -> ReportFactory:
    """``make_report(prediction, spec)`` writes the series into a fresh folder and returns the report."""

    def make(prediction: Prediction | None = None, spec: CtSpec | None = None) -> Report:
        return build_report(tmp_path, prediction or gtrnet(), spec)

    return make


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
