"""The names of a report's objects: UIDs, series descriptions and tracking identifiers, the same for the same report."""

from typing import Final

from node.domain.identifiers import InstanceUID, SeriesUID, Uid
from node.domain.prediction import TrainingStatus
from node.domain.reporting import Notice, NoticeKind, ObjectKind, Report
from node.reports.codes import subject

NOT_FOR_CLINICAL_USE: Final = "not for clinical use"
UNVERIFIED: Final = "unverified"
_LONG_STRING: Final = 64  # characters of an LO (PS3.5 section 6.2)

_CONTENTS: Final[dict[ObjectKind, str]] = {
    ObjectKind.SUMMARY: "summary",
    ObjectKind.KEY_IMAGES: "key images",
    ObjectKind.SEGMENTATION: "region",
    ObjectKind.STRUCTURED_REPORT: "report",
    ObjectKind.PARAMETRIC_MAP: "map",
    ObjectKind.DOCUMENT: "document",
    ObjectKind.ENHANCED_REPORT: "text report",
}
_NOTICES: Final[dict[NoticeKind, str]] = {
    NoticeKind.NOT_ANALYSED: "AI notice: not analysed, this is no negative result",
    NoticeKind.HELD: "AI notice: not analysed, held for a person",
    NoticeKind.WITHDRAWN: "AI notice: WITHDRAWN, do not use the AI result",
}
_REJECTION: Final = "AI rejection note: objects withdrawn"


def _parts(report: Report | Notice, kind: ObjectKind) -> tuple[str, ...]:
    if isinstance(report, Notice):
        return (report.job_id, report.manifest, report.kind.name, report.reason, report.detail, kind.name)
    return (report.job_id, report.manifest, report.algorithm.digest, kind.name)


def series_uid(report: Report | Notice, kind: ObjectKind) -> SeriesUID:
    """The series that the report's objects of ``kind`` are in."""
    return SeriesUID.derived("series", report.series.uid, *_parts(report, kind))


def instance_uid(report: Report | Notice, kind: ObjectKind, index: int = 0) -> InstanceUID:
    """The SOP Instance UID of the report's object ``index`` (from 0) of ``kind``."""
    return InstanceUID.derived("instance", report.series.uid, *_parts(report, kind), str(index))


def dimension_uid(report: Report, kind: ObjectKind) -> Uid:
    """The Dimension Organization UID (0020,9164) of the report's object of ``kind``."""
    return Uid.derived("dimensions", instance_uid(report, kind))


def tracking_uid(report: Report) -> Uid:
    """The Tracking Unique Identifier (PS3.16 TID 4108) of the lesion: the same in every version of the analysis."""
    roi = report.roi
    return Uid.derived("tracking", report.series.uid, roi.source, roi.source_instance_uid or "", roi.label)


def tracking_identifier(report: Report) -> str:
    """The Tracking Identifier of the lesion as a person reads it.

    Plain words on purpose: names in the style of annotation tools make OHIF recompute the values.
    """
    return f"Lesion in the {report.roi.anatomy.key}"


def may_not_be_used(report: Report) -> bool:
    """Whether the algorithm is not validated, so that every object says "not for clinical use"."""
    return report.algorithm.status is not TrainingStatus.VALIDATED


def warnings(report: Report) -> tuple[str, ...]:
    """What must stand beside every number, most important first."""
    disclaimer = report.algorithm.disclaimer
    limits = (NOT_FOR_CLINICAL_USE,) if may_not_be_used(report) else ()
    return (UNVERIFIED, *limits, *((disclaimer,) if disclaimer else ()))


def notice_description(notice: Notice, kind: ObjectKind) -> str:
    """Series Description (0008,103E) of a notice, at most 64 ASCII characters."""
    start = _REJECTION if kind is ObjectKind.REJECTION_NOTE else _NOTICES[notice.kind]
    return f"{start} ({UNVERIFIED})"


def series_description(report: Report, kind: ObjectKind) -> str:
    """Series Description (0008,103E): what it is first, then its limits, at most 64 ASCII characters.

    A disclaimer that does not fit is shortened to its first clause, then to the training status, never mid-clause:
    half a clause can say the opposite.
    """
    start = f"AI {subject(report.prediction)}: {_CONTENTS[kind]}"
    end = f" ({UNVERIFIED})"
    if may_not_be_used(report):
        end = f", {NOT_FOR_CLINICAL_USE}{end}"
    algorithm = report.algorithm
    disclaimer = algorithm.disclaimer.encode("ascii", errors="replace").decode("ascii").replace("\\", "/")
    choices = (disclaimer, disclaimer.split(",")[0], algorithm.status.value) if disclaimer else ()
    for choice in choices:
        if len(text := f"{start}, {choice}{end}") <= _LONG_STRING:
            return text
    return start + end
