"""Compose: write the report as DICOM objects, every kind that is registered."""

from collections.abc import Iterable

from node.domain.ports import ReportWriter
from node.domain.reporting import Report, ReportObject


def compose(report: Report, writers: Iterable[ReportWriter]) -> tuple[ReportObject, ...]:
    """All objects of one report, in the order a viewer should list them."""
    objects = [made for writer in writers for made in writer.write(report)]
    return tuple(sorted(objects, key=lambda made: made.kind.value))
