"""Which result objects are written, and by what: one line each, in the order of delivery."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from node.domain.ports import NoticeObjectWriter, ReportWriter
from node.errors import UsageError
from node.settings import ReportsSettings

WRITERS: Final[dict[str, str]] = {
    "summary": "node.reports.sc:SummaryWriter",
    "key-images": "node.reports.sc:KeyImageWriter",
    "segmentation": "node.reports.seg:SegmentationWriter",
    "structured-report": "node.reports.sr:StructuredReportWriter",
    "parametric-map": "node.reports.pm:ParametricMapWriter",
    "document": "node.reports.document:DocumentWriter",
    "enhanced-report": "node.reports.sr:EnhancedReportWriter",
}
NOTICE_WRITERS: Final[dict[str, str]] = {
    "notice": "node.reports.notice:NoticeWriter",
    "notice-report": "node.reports.notice:NoticeReportWriter",
    "rejection-note": "node.reports.rejection:RejectionNoteWriter",
}


def wanted_writers(settings: ReportsSettings) -> tuple[ReportWriter, ...]:
    """The writers of what is always written and of what the settings ask for, in the order of delivery."""
    optional = {"document": settings.pdf, "enhanced-report": settings.enhanced_sr}
    return tuple(resolve(name) for name in WRITERS if optional.get(name, True))


def resolve(name: str) -> ReportWriter:
    """The writer registered as ``name``; raises UsageError when there is none."""
    writer = _resolve(name, WRITERS)
    if not isinstance(writer, ReportWriter):
        raise UsageError(f"{WRITERS[name]} is not a report writer")
    return writer


def resolve_notice(name: str) -> NoticeObjectWriter:
    """The writer of notices registered as ``name``; raises UsageError when there is none."""
    writer = _resolve(name, NOTICE_WRITERS)
    if not isinstance(writer, NoticeObjectWriter):
        raise UsageError(f"{NOTICE_WRITERS[name]} is not a writer of notices")
    return writer


def _resolve(name: str, writers: Mapping[str, str]) -> object:
    if name not in writers:
        raise UsageError(f"unknown result object {name!r}; there are {', '.join(writers)}")
    module, _, attribute = writers[name].partition(":")
    return getattr(import_module(module), attribute)()
