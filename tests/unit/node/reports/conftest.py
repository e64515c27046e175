"""Fixtures for the result objects: reports whose series lies in a fresh folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.domain.prediction import Prediction
from node.domain.reporting import Notice, NoticeKind, ObjectReference, Report
from node.reports.drawing import Canvas
from node.reports.sr import StructuredReportWriter
from tests.unit.node.reports.factory import CtSpec, build_report, gtrnet

ReportFactory = Callable[..., Report]


@pytest.fixture
def make_report(tmp_path: Path) -> ReportFactory:
    """``make_report(prediction, spec)`` writes the series into a fresh folder and returns the report."""

    def make(prediction: Prediction | None = None, spec: CtSpec | None = None) -> Report:
        return build_report(tmp_path, prediction or gtrnet(), spec)

    return make


@pytest.fixture
def make_notice(make_report: ReportFactory, tmp_path: Path) -> Callable[..., Notice]:
    """``make_notice(kind, spec)``: a notice about that series; a withdrawal is of the objects that were written."""

    def make(kind: NoticeKind, spec: CtSpec | None = None) -> Notice:
        report = make_report(None, spec)
        notice = Notice(
            kind=kind,
            job_id=report.job_id,
            version=report.version,
            manifest=report.manifest,
            fixed_at=report.fixed_at,
            node_version=report.node_version,
            series=report.series,
            source=report.series.instances[0].path or tmp_path,
            reason="The contour of the lesion holds no voxel of this series.",
            detail="contour 2",
        )
        if kind is not NoticeKind.WITHDRAWN:
            return notice
        (made,) = StructuredReportWriter().write(report)
        path = tmp_path / "withdrawn.dcm"
        path.write_bytes(made.content)
        withdrawn = (ObjectReference(made.sop_class_uid, made.uid, made.series_uid),)
        return replace(notice, source=path, predecessor_paths=(path,), withdrawn=withdrawn)

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
