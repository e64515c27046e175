"""Which result objects are written, and by what: one line each, in the order of delivery."""

from importlib import import_module
from typing import Final

from node.domain.ports import ReportWriter
from node.errors import UsageError

WRITERS: Final[dict[str, str]] = {
    "summary": "node.reports.sc:SummaryWriter",
    "key-images": "node.reports.sc:KeyImageWriter",
    "segmentation": "node.reports.seg:SegmentationWriter",
    "structured-report": "node.reports.sr:StructuredReportWriter",
    "parametric-map": "node.reports.pm:ParametricMapWriter",
}


def resolve(name: str) -> ReportWriter:
    """The writer registered as ``name``; raises UsageError when there is none."""
    if name not in WRITERS:
        raise UsageError(f"unknown result object {name!r}; there are {', '.join(WRITERS)}")
    module, _, attribute = WRITERS[name].partition(":")
    writer = getattr(import_module(module), attribute)()
    if not isinstance(writer, ReportWriter):
        raise UsageError(f"{WRITERS[name]} is not a report writer")
    return writer
