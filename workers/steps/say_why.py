"""Say why: the notice of a job that ends without a result, as objects."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from node.domain.identifiers import JobId
from node.domain.identity import Correction
from node.domain.imaging import Series
from node.domain.lifecycle import JobState
from node.domain.ports import NoticeObjectWriter
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Notice, NoticeKind, ReportObject
from node.store.jobs import Claim
from workers.stored import require_intact

_KINDS: Final = {JobState.NOT_ANALYSED: NoticeKind.NOT_ANALYSED, JobState.QUARANTINED: NoticeKind.HELD}
_FOR_OPERATORS: Final = frozenset({ReasonCode.INTERNAL, ReasonCode.STRUCK_OUT})
"""Reasons whose detail names places in programs."""


def say_why(
    claim: Claim,
    series: Series,
    state: JobState,
    reason: Reason,
    *,
    correction: Correction,
    predecessors: tuple[Path, ...],
    node_version: str,
    writers: Iterable[NoticeObjectWriter],
) -> tuple[ReportObject, ...]:
    """The objects, under the patient and study of the first image of the series, whose bytes are what was received.

    ``series`` is that of the patient whom ``correction`` names, where the archive has another than the images.

    Raises:
        Quarantined, StorageFailed: the image is gone, has changed, or cannot be read now.
        Retryable, Fatal: it, or a predecessor, cannot be used.
    """
    first = series.instances[0]
    require_intact([first])
    assert first.path is not None  # noqa: S101 — what is intact has a file; for the type checker
    notice = Notice(
        kind=_KINDS[state],
        job_id=JobId(claim.job_id),
        version=claim.version,
        manifest=claim.manifest,
        fixed_at=_local(claim.fixed_at),
        node_version=node_version,
        series=series,
        source=first.path,
        reason=reason.code.sentence,
        detail="" if reason.code in _FOR_OPERATORS else reason.detail,
        correction=correction,
        predecessor_paths=predecessors,
    )
    return tuple(made for writer in writers for made in writer.write(notice))


def _local(moment: datetime) -> datetime:
    """In the site's zone: its offset goes into the objects, where it speaks for the study's own times too."""
    return moment.astimezone()
